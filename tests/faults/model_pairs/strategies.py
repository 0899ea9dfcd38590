"""Models, made up by Hypothesis."""

from dataclasses import replace

from hypothesis import strategies as st

from tests.faults.model_pairs.models import Column, Key, Models, Reference, Table
from tests.faults.model_pairs.types import CHECKS, COLUMNS, KEPT, LABELS, RANGES, SCHEMAS, TABLES, TEXTS, TYPES

INDEXABLE = {
    kind for kind in TYPES if kind not in {"json", "jsonb", "text[]", "integer[]", "tsvector", "int4range", "tstzrange"}
}
# Of tables that others may refer to: the columns of the key.
KEYS = {**dict.fromkeys(("identity", "serial", "numbered", "by default"), ("id",)), "two": ("id", "no")}


@st.composite
def columns(draw: st.DrawFn, name: str, enums: int, *, is_numbered: bool) -> Column:
    kinds = [*TYPES, *(f"enum{number}{form}" for number in range(enums) for form in ("", " check", " array"))]
    generated = draw(st.sampled_from([None] * 8 + ["STORED", "VIRTUAL"])) if is_numbered else None
    return Column(
        name,
        "text" if generated else draw(st.sampled_from(kinds)),
        default=draw(st.none() | st.integers(0, 13)),
        nullable=draw(st.booleans()),
        comment=draw(st.none() | st.sampled_from(TEXTS)),
        check=None if generated else draw(st.none() | st.integers(0, len(CHECKS) - 1)),
        python_default=draw(st.booleans()),
        generated=generated,
    )


@st.composite
def keys(draw: st.DrawFn, of: tuple[Column, ...]) -> Key | None:
    usable = [column for column in of if column.kind in INDEXABLE and column.generated != "VIRTUAL"]
    ranges = [column for column in of if column.kind in RANGES]
    if ranges and (not usable or draw(st.booleans())):
        return Key((draw(st.sampled_from(ranges)).name,), "exclusion")
    if not usable:
        return None
    chosen = draw(st.lists(st.sampled_from(usable), min_size=1, max_size=2, unique=True))
    forms = ["index", "index", "unique", "unique index", "partial"]
    if all(column.kind in {"text", "varchar"} for column in chosen):
        forms.append("expression")
    return Key(tuple(column.name for column in chosen), draw(st.sampled_from(forms)))


@st.composite
def tables(draw: st.DrawFn, enums: int) -> Table:
    names = draw(st.lists(st.sampled_from(COLUMNS), max_size=4, unique=True))
    kinds = ["identity", "serial", "numbered", "by default", "uuid", "two", *(["none"] if names else [])]
    key = draw(st.sampled_from(kinds))
    made = tuple(draw(columns(name, enums, is_numbered=key in KEYS)) for name in names)
    found = draw(st.lists(keys(made), max_size=2))
    return Table(
        draw(st.sampled_from(SCHEMAS)),
        draw(st.sampled_from(TABLES)),
        key,
        made,
        unique_keys(tuple(key for key in found if key)),
        comment=draw(st.none() | st.sampled_from(TEXTS[:5])),
    )


def unique_keys(found: tuple[Key, ...]) -> tuple[Key, ...]:
    """Of those with the same first column, one: the convention gives them one name."""
    return tuple({(key.columns[0], key.kind == "unique"): key for key in found}.values())


def referrable(found: list[Table]) -> list[Table]:
    return [table for table in found if table.key in KEYS]


@st.composite
def references(draw: st.DrawFn, to: list[Table]) -> Reference:
    table = draw(st.sampled_from(to))
    return Reference(
        (table.schema, table.name),
        nullable=draw(st.booleans()),
        ondelete=draw(st.sampled_from([None, "CASCADE", "SET NULL", "RESTRICT"])),
        use_alter=draw(st.booleans()),
        columns=KEYS[table.key],
        timing=draw(st.sampled_from([None, None, "DEFERRED", "IMMEDIATE"])),
    )


@st.composite
def labels(draw: st.DrawFn, kept: str) -> tuple[str, ...]:
    others = [label for label in LABELS if label != kept]
    return tuple(draw(st.permutations([kept, *draw(st.lists(st.sampled_from(others), max_size=2, unique=True))])))


@st.composite
def models(draw: st.DrawFn) -> Models:
    enums = tuple(draw(labels(kept)) for kept in KEPT[: draw(st.integers(0, len(KEPT)))])
    found = draw(
        st.lists(tables(len(enums)), min_size=1, max_size=3, unique_by=lambda table: (table.schema, table.name))
    )
    found = [draw(referring(table, found)) for table in found]
    naming = draw(st.sampled_from(["convention", "names", "unnamed"]))
    return Models(tuple(found), enums, naming, draw(st.sampled_from([None, None, "zoo"])))


@st.composite
def referring(draw: st.DrawFn, table: Table, found: list[Table]) -> Table:
    to = referrable(found)
    made = draw(st.lists(references(to), max_size=2, unique_by=lambda each: each.table[1][:20])) if to else []
    return replace(table, references=tuple(made))
