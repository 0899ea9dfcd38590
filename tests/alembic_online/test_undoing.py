"""What undoes an online operation, as `make revision` writes it into a downgrade; nothing is lost on the way."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import render_python_code
from alembic.operations import ops

import alembic_online.autogenerate.render  # noqa: F401 - knows how the operations are written
from alembic_online.operations.column_sync import SyncColumnsOnlineOp, UnsyncColumnsOnlineOp
from alembic_online.operations.constraints import (
    AddCheckOnlineOp,
    AddForeignKeyOnlineOp,
    AddUniqueOnlineOp,
    DropConstraintOnlineOp,
)
from alembic_online.operations.indexes import CreateIndexOnlineOp, DropIndexOnlineOp
from alembic_online.operations.not_null import DropNotNullOnlineOp, SetNotNullOnlineOp
from tests.each import each

BY_NAME = sa.Index("ix", "name")
GUIDES = sa.Table(
    "guides",
    sa.MetaData(schema="tours"),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("boss", sa.ForeignKey("tours.guides.id", name="fk")),
    sa.Column("name", sa.Text),
    sa.CheckConstraint("id > 0", name="ck"),
    sa.UniqueConstraint("name", name="uq"),
    BY_NAME,
)
CONSTRAINTS = {constraint.name: constraint for constraint in GUIDES.constraints}
COLUMNS = ("guides", "old", "new")
UNDONE: list[tuple[ops.MigrateOperation, str]] = [
    (
        AddForeignKeyOnlineOp("fk", "guides", "guides", ["boss"], ["id"], source_schema="tours"),
        "drop_constraint_online('fk', 'guides', schema='tours')",
    ),
    (
        AddCheckOnlineOp("ck", "guides", "id > 0", schema="tours"),
        "drop_constraint_online('ck', 'guides', schema='tours')",
    ),
    (
        AddUniqueOnlineOp("uq", "guides", ["name"], schema="tours"),
        "drop_constraint_online('uq', 'guides', schema='tours')",
    ),
    (
        DropConstraintOnlineOp.from_constraint(CONSTRAINTS["fk"]),
        "add_foreign_key_online('fk', 'guides', 'guides', ['boss'], ['id'], {})".format(
            "source_schema='tours', referent_schema='tours'"
        ),
    ),
    (
        DropConstraintOnlineOp.from_constraint(CONSTRAINTS["ck"]),
        "add_check_online('ck', 'guides', 'id > 0', schema='tours')",
    ),
    (
        DropConstraintOnlineOp.from_constraint(CONSTRAINTS["uq"]),
        "add_unique_online('uq', 'guides', ['name'], schema='tours')",
    ),
    (SyncColumnsOnlineOp(*COLUMNS, schema="tours"), "unsync_columns_online('guides', 'old', 'new', schema='tours')"),
    (UnsyncColumnsOnlineOp(*COLUMNS, schema="tours"), "sync_columns_online('guides', 'old', 'new', schema='tours')"),
    (SetNotNullOnlineOp("guides", "old", schema="tours"), "drop_not_null_online('guides', 'old', schema='tours')"),
    (DropNotNullOnlineOp("guides", "old", schema="tours"), "set_not_null_online('guides', 'old', schema='tours')"),
    (CreateIndexOnlineOp.from_index(BY_NAME), "drop_index_online('ix', table_name='guides', schema='tours')"),
    (
        DropIndexOnlineOp.from_index(BY_NAME),
        "create_index_online('ix', 'guides', ['name'], unique=False, schema='tours')",
    ),
]


@each("operation, undone", UNDONE)
def test_each_operation_is_undone_by_its_opposite(operation: ops.MigrateOperation, undone: str) -> None:
    written = render_python_code(ops.UpgradeOps([operation.reverse()]))
    assert [line.strip() for line in written.splitlines() if "op." in line] == [f"op.{undone}"]


def test_one_of_another_kind_is_undone_by_its_definition() -> None:
    constraint = sa.Constraint(name="ex", info={"definition": "EXCLUDE USING gist (room WITH &&)"})
    constraint._set_parent(GUIDES)  # noqa: SLF001 - as SQLAlchemy's own do when they are in a table
    undone = DropConstraintOnlineOp.from_constraint(constraint).reverse()
    assert isinstance(undone, ops.ExecuteSQLOp)
    assert str(undone.sqltext) == "ALTER TABLE tours.guides ADD CONSTRAINT ex EXCLUDE USING gist (room WITH &&)"


@pytest.mark.parametrize("constraint", [None, sa.Constraint(name="ex")], ids=["unknown", "undefined"])
def test_one_whose_definition_is_not_known_is_not_undone(constraint: sa.Constraint | None) -> None:
    operation = DropConstraintOnlineOp("ex", "guides", constraint=constraint)
    with pytest.raises(ValueError, match="can't restore ex of guides: its definition is not known"):
        operation.reverse()
