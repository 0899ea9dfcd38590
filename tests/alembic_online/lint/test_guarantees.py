"""What a dropped constraint or index was, is told by the revisions before it."""

import textwrap
from pathlib import Path

import pytest

from alembic_online.lint import lint_revision
from tests.alembic_online.lint.bodies import REVISION
from tests.alembic_online.lint.examples import project

MADE = """
op.create_table(
    "orders",
    sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
    sa.Column("number", sa.Text(), unique=True),
    sa.Column("at", sa.Text()),
    sa.UniqueConstraint("number", "at", name="odd_name"),
    sa.CheckConstraint("at <> ''", name="at_all"),
)
op.create_index("by_at", "orders", ["at"], unique=True)
op.create_index("of_some", "orders", ["at"], unique=True, postgresql_where=sa.text("at > 'x'"))
op.create_index("uq_not_unique", "orders", ["at"])
op.execute("ALTER TABLE orders ADD CONSTRAINT alone UNIQUE (number, id)")
op.execute("ALTER TABLE orders RENAME CONSTRAINT pk_orders TO main")
"""


def rules(folder: Path, *bodies: str) -> set[str]:
    """The rules that the last of these revisions, each after the one before, breaks."""
    for number, body in enumerate([MADE, *bodies]):
        text = REVISION.format(header="", body=textwrap.indent(textwrap.dedent(body), "    "))
        down = f'"{number - 1}"' if number else "None"
        text = text.replace('"one"', f'"{number}"').replace("down_revision = None", f"down_revision = {down}")
        (folder / f"{number}.py").write_text(text)
    return {finding.rule for finding in lint_revision(project(folder), str(len(bodies)))}


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ('op.drop_constraint("odd_name", "orders")', "drop-key"),
        ('op.drop_constraint_online("odd_name", "orders")', "drop-key"),
        ('op.drop_constraint("main", "orders")', "drop-key"),
        ('op.drop_constraint("orders_number_key", "orders")', "drop-key"),
        ('op.drop_index_online("by_at", "orders")', "drop-key"),
        ('op.drop_constraint("ck_orders_at_all", "orders")', "drop-check"),
        ('op.drop_constraint_online("at_all", "orders")', "drop-check"),
        ('op.drop_constraint("unheard_of", "orders", type_="unique")', "drop-key"),
        ('op.drop_constraint("uq_unheard_of", "orders")', "drop-key"),
        ('op.drop_constraint("alone", "orders")', "drop-key"),
    ],
)
def test_a_key_or_check_is_found_whatever_its_name(tmp_path: Path, body: str, rule: str) -> None:
    assert rules(tmp_path, body) == {rule}


@pytest.mark.parametrize(
    "bodies",
    [
        ['op.drop_index_online("uq_not_unique", "orders")'],
        ['op.drop_index_online("ix_orders_api_key", "orders")'],
        [
            'op.create_index_online("other", "orders", ["at", "number"], unique=True)',
            'op.execute("ALTER TABLE orders ADD UNIQUE USING INDEX other, DROP CONSTRAINT odd_name")',
        ],
        ['op.drop_constraint("fk_orders", "orders", type_="foreignkey")'],
        [
            'op.create_index_online("other", "orders", ["at", "number"], unique=True)',
            'op.drop_constraint_online("odd_name", "orders")',
        ],
        [
            'op.add_check_online(op.f("longer"), "orders", "at <> \'x\'")',
            'op.drop_constraint_online("at_all", "orders")',
        ],
    ],
)
def test_one_that_another_one_replaces_or_that_nobody_needs_is_not(tmp_path: Path, bodies: list[str]) -> None:
    assert rules(tmp_path, *bodies) == set()
