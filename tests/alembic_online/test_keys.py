"""Rows that a statement names by their key, told as Postgres would find them, with and without a database."""

import sqlalchemy as sa

from alembic_online.lint.models import schema_of
from alembic_online.sql import Schema, Work, find_effects
from tests.each import each

MODELS = sa.MetaData()
sa.Table(
    "orders",
    MODELS,
    sa.Column("id", sa.BigInteger(), primary_key=True),
    sa.Column("number", sa.Text(), unique=True),
    sa.Column("shop", sa.Text()),
    sa.Column("at", sa.Text()),
    sa.UniqueConstraint("shop", "at"),
)
sa.Table("log", MODELS, sa.Column("id", sa.BigInteger()))
sa.Table(
    "items",
    MODELS,
    sa.Column("id", sa.BigInteger(), primary_key=True),
    sa.Column("order_id", sa.ForeignKey("orders.id", ondelete="CASCADE")),
    schema="billing",
)


def works(sql: str, schema: Schema) -> dict[str, Work]:
    return {effect.table: effect.work for effect in find_effects(sql, schema)}


@each(
    "condition",
    [
        "id = 1",
        "1 = id",
        "id = '7'::bigint",
        "id IN (1, 2, -3)",
        "orders.id = 1 AND note <> 'x'",
        "(note = 'x' OR note = 'y') AND number = 'A-1'",
        "shop = 'a' AND at = 'b'",
    ],
)
def test_rows_named_by_a_key_are_few(condition: str) -> None:
    assert works(f"UPDATE orders SET note = 'x' WHERE {condition}", schema_of(MODELS)) == {"orders": Work.ONE_ROW}


@each(
    "condition",
    [
        "id > 1",
        "id <> 1",
        "id = 1 OR true",
        "NOT id = 1",
        "id NOT IN (1, 2)",
        "id = other",
        "id IN (SELECT id FROM orders)",
        "id = ANY (SELECT 1)",
        "shop = 'a'",
        "at = 'b' AND note = 'c'",
        "others.id = 1",
        "id IS NOT NULL",
    ],
)
def test_others_may_be_many(condition: str) -> None:
    sql = f"UPDATE orders SET note = 'x' FROM others WHERE {condition}"
    assert works(sql, schema_of(MODELS))["orders"] is Work.ROWS


@each(
    "sql, work",
    [
        ("DELETE FROM orders o USING others WHERE o.id = 1", Work.ONE_ROW),
        ("DELETE FROM orders o USING others WHERE id = 1", Work.ROWS),
        ("WITH gone AS (DELETE FROM orders WHERE id = 1 RETURNING 1) SELECT 1", Work.ONE_ROW),
        ("INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET note = 'x'", Work.ONE_ROW),
        ("INSERT INTO orders SELECT 1 ON CONFLICT (id) DO UPDATE SET note = 'x'", Work.ROWS),
        ("UPDATE log SET note = 'x' WHERE id = 1", Work.ROWS),
        ("UPDATE unknown SET note = 'x' WHERE id = 1", Work.ONE_ROW),
        ("UPDATE orders SET note = 'x'", Work.ALL_ROWS),
    ],
)
def test_a_key_is_one_of_the_changed_table(sql: str, work: Work) -> None:
    assert next(iter(works(sql, schema_of(MODELS)).values())) is work


def test_a_delete_may_change_many_rows_of_another_table() -> None:
    found = works("DELETE FROM orders WHERE id = 1", schema_of(MODELS))
    assert found == {"orders": Work.ONE_ROW, "billing.items": Work.ROWS}


@each(
    "actions, work, why",
    [
        ("WHEN MATCHED THEN DELETE", Work.ROWS, "deletes the matching rows"),
        ("WHEN MATCHED THEN UPDATE SET a = 1", Work.ROWS, "changes the matching rows"),
        (
            "WHEN MATCHED AND o.a THEN DELETE WHEN MATCHED THEN UPDATE SET a = 1",
            Work.ROWS,
            "changes or deletes the matching rows",
        ),
        ("WHEN NOT MATCHED THEN INSERT VALUES (1)", Work.ADD_ROWS, "adds rows"),
        ("WHEN MATCHED THEN DO NOTHING", Work.NONE, "changes no row"),
    ],
)
def test_a_merge_does_what_its_actions_do(actions: str, work: Work, why: str) -> None:
    effect = find_effects(f"MERGE INTO orders o USING s ON s.id = o.id {actions}")[0]
    assert (effect.work, effect.why) == (work, why)
