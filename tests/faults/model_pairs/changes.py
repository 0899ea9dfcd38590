"""Changes of models, made up by Hypothesis: what people do to theirs between two releases."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from tests.faults.model_pairs.models import Column, Models, Table
from tests.faults.model_pairs.strategies import (
    KEYS,
    columns,
    keys,
    models,
    references,
    referrable,
    referring,
    tables,
    unique_keys,
)
from tests.faults.model_pairs.types import CHECKS, COLUMNS, KEPT, LABELS, TEXTS, TYPES


@st.composite
def changed(draw: st.DrawFn, first: Models) -> Models:
    """The models after one to four changes."""
    second = first
    for _ in range(draw(st.integers(1, 4))):
        second = draw(st.sampled_from(CHANGES))(draw, second)
    return second


def _change_table(draw: st.DrawFn, before: Models, change: Callable[[Table], Table]) -> Models:
    number = draw(st.integers(0, len(before.tables) - 1))
    return replace(
        before,
        tables=tuple(change(table) if each == number else table for each, table in enumerate(before.tables)),
    )


def _change_column(draw: st.DrawFn, before: Models, change: Callable[[Column], Column]) -> Models:
    def in_table(table: Table) -> Table:
        if not table.columns:
            return table
        number = draw(st.integers(0, len(table.columns) - 1))
        return replace(
            table,
            columns=tuple(change(column) if each == number else column for each, column in enumerate(table.columns)),
        )

    return _change_table(draw, before, in_table)


def add_table(draw: st.DrawFn, before: Models) -> Models:
    made = draw(tables(len(before.enums)))
    if any((table.schema, table.name) == (made.schema, made.name) for table in before.tables):
        return before
    made = draw(referring(made, [*before.tables, made]))
    return replace(before, tables=(*before.tables, made))


def add_column(draw: st.DrawFn, before: Models) -> Models:
    def change(table: Table) -> Table:
        free = [name for name in COLUMNS if name not in {column.name for column in table.columns}]
        made = draw(columns(draw(st.sampled_from(free)), len(before.enums), is_numbered=table.key in KEYS))
        return replace(table, columns=(*table.columns, made))

    return _change_table(draw, before, change)


def add_reference(draw: st.DrawFn, before: Models) -> Models:
    to = referrable(list(before.tables))

    def change(table: Table) -> Table:
        taken = {reference.table[1][:20] for reference in table.references}
        free = [other for other in to if other.name[:20] not in taken]
        return replace(table, references=(*table.references, draw(references(free)))) if free else table

    return _change_table(draw, before, change)


def change_reference(draw: st.DrawFn, before: Models) -> Models:
    def change(table: Table) -> Table:
        made = [
            replace(reference, ondelete=draw(st.sampled_from([None, "CASCADE", "SET NULL"])), nullable=True)
            for reference in table.references
        ]
        return replace(table, references=tuple(made))

    return _change_table(draw, before, change)


def change_keys(draw: st.DrawFn, before: Models) -> Models:
    def change(table: Table) -> Table:
        made = draw(st.lists(keys(table.columns), max_size=2))
        kept = draw(st.lists(st.sampled_from(table.keys), max_size=2)) if table.keys else []
        return replace(table, keys=unique_keys((*kept, *(key for key in made if key))))

    return _change_table(draw, before, change)


def change_default(draw: st.DrawFn, before: Models) -> Models:
    return _change_column(draw, before, lambda column: replace(column, default=draw(st.none() | st.integers(0, 13))))


def change_check(draw: st.DrawFn, before: Models) -> Models:
    return _change_column(
        draw, before, lambda column: replace(column, check=draw(st.none() | st.integers(0, len(CHECKS) - 1)))
    )


def change_nullable(draw: st.DrawFn, before: Models) -> Models:
    return _change_column(draw, before, lambda column: replace(column, nullable=not column.nullable))


def change_comment(draw: st.DrawFn, before: Models) -> Models:
    comment = st.none() | st.sampled_from(TEXTS)
    with_column = _change_column(draw, before, lambda column: replace(column, comment=draw(comment)))
    return _change_table(draw, with_column, lambda table: replace(table, comment=draw(comment)))


def add_label(draw: st.DrawFn, before: Models) -> Models:
    if not before.enums:
        return before
    number = draw(st.integers(0, len(before.enums) - 1))
    labels = before.enums[number]
    free = [label for label in LABELS if label not in labels]
    place = draw(st.integers(0, len(labels)))
    made = (*labels[:place], draw(st.sampled_from(free)), *labels[place:]) if free else labels
    return replace(before, enums=tuple(made if each == number else old for each, old in enumerate(before.enums)))


def drop_column(draw: st.DrawFn, before: Models) -> Models:
    refused = replace(before, refused=before.refused | {"column"})
    return _change_table(
        draw, refused, lambda table: replace(table, columns=table.columns[1:]) if len(table.columns) > 1 else table
    )


def drop_table(_: st.DrawFn, before: Models) -> Models:
    gone = before.tables[0]
    others = [
        replace(table, references=tuple(r for r in table.references if r.table != (gone.schema, gone.name)))
        for table in before.tables[1:]
    ]
    return replace(before, tables=tuple(others), refused=before.refused | {"table"}) if others else before


def change_key(draw: st.DrawFn, before: Models) -> Models:
    numbered = ("identity", "serial", "numbered", "by default")

    def change(table: Table) -> Table:
        return replace(table, key=draw(st.sampled_from(numbered))) if table.key in numbered else table

    return _change_table(draw, before, change)


def change_type(draw: st.DrawFn, before: Models) -> Models:
    refused = replace(before, refused=before.refused | {"type"})
    kinds = st.sampled_from([*TYPES])
    return _change_column(draw, refused, lambda column: replace(column, kind=draw(kinds), default=None))


def drop_label(draw: st.DrawFn, before: Models) -> Models:  # noqa: ARG001
    dropped = [next((label for label in labels if label not in KEPT), None) for labels in before.enums]
    made = tuple(
        tuple(label for label in labels if label != gone) for labels, gone in zip(before.enums, dropped, strict=True)
    )
    return replace(before, enums=made, refused=before.refused | {"label"})


CHANGES = (
    add_table, add_column, add_column, add_reference, change_reference, change_keys, change_default, change_check,
    change_nullable, change_comment, change_key, add_label, drop_column, drop_table, change_type, drop_label,
)  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Models]:
    """Three releases of the models, one after the other."""
    found = [draw(models())]
    for _ in range(2):
        found.append(draw(changed(found[-1])))
    return found
