"""The code in safe ways can be pasted: it is Python, it has the names of the statement, and it runs."""

import ast
import re
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from alembic_online.lint.calls import as_text
from api.models import Base
from local.postgres import Server
from tests.alembic_online.lint.bodies import CONTRACT, lint_bodies, lint_body
from tests.alembic_online.lint.examples import HERE, examples, findings
from tests.alembic_online.lint.running import copy, template
from tests.alembic_online.operating import operate
from tests.conftest import superuser
from tests.each import each

__all__ = ["template"]  # a fixture

CALL = re.compile(r"(?:with op\.get_context\(\)\.autocommit_block\(\): )?\bop\.(?!get_context)\w+\(")
MADE = re.compile(r"CREATE (?:UNIQUE )?(?:TYPE|DOMAIN|TABLE|MATERIALIZED VIEW|INDEX) (\w+)")
NAMED = {*MADE.findall((HERE / "schema.sql").read_text()), *Base.metadata.tables}


def calls(text: str) -> Iterator[str]:
    """The calls of `op` in a text, each up to its closing parenthesis."""
    end = 0
    for found in CALL.finditer(text):
        if found.start() < end:  # inside another call
            continue
        ends = [each.end() for each in re.finditer(r"\)", text) if each.end() > found.end()]
        end = next(each for each in ends if _is_python(text[found.start() : each]))
        yield text[found.start() : end]


@pytest.fixture(scope="module")
def safe_ways(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of each statement of these tests, the safe way of the first finding whose safe way has code."""
    statements = [sql for sql, _ in [*CALLS, *PROOFS]]
    bodies = [("", f"op.execute({as_text(sql)!r})") for sql in statements]
    return {
        sql: next(each.safe_way for each in found if "op." in each.safe_way)
        for sql, found in zip(statements, lint_bodies(tmp_path_factory.mktemp("safe_ways"), bodies), strict=True)
    }


def test_each_call_in_a_safe_way_is_python_and_names_the_table() -> None:
    for file in examples("unsafe"):
        named = NAMED & _words(file.read_text().split('"""', 2)[2])
        for finding in findings("unsafe")[file]:
            for call in calls(finding.safe_way):
                assert not named or finding.rule == "not-sql" or any(name in call for name in named), (file, call)


CALLS = [
    (
        "CREATE INDEX ON billing.invoices (lower(note) DESC, payer_id) INCLUDE (id) WITH (fillfactor = 70)",
        (
            'op.create_index_online("ix_invoices_expression_payer_id", "invoices", [sa.text("lower(note) DESC"), '
            '"payer_id"], schema="billing", postgresql_include=["id"], postgresql_with={"fillfactor": 70})'
        ),
    ),
    (
        "CREATE UNIQUE INDEX uq ON invoices USING hash (note) NULLS NOT DISTINCT WHERE note <> ':x'",
        (
            'op.create_index_online("uq", "invoices", ["note"], unique=True, postgresql_using="hash", '
            "postgresql_nulls_not_distinct=True, postgresql_where=sa.text(\"note <> ':x'\"))"
        ),
    ),
    (
        (
            "ALTER TABLE billing.invoices ADD FOREIGN KEY (payer_id) REFERENCES crm.payers (id) MATCH FULL "
            "ON UPDATE CASCADE ON DELETE SET NULL (payer_id) DEFERRABLE INITIALLY DEFERRED"
        ),
        (
            'op.add_foreign_key_online("fk_invoices_payer_id_payers", "invoices", "payers", ["payer_id"], '
            '["id"], source_schema="billing", referent_schema="crm", onupdate="CASCADE", '
            'ondelete="SET NULL (payer_id)", match="FULL", deferrable=True, initially="DEFERRED")'
        ),
    ),
    (
        "ALTER TABLE invoices ADD FOREIGN KEY (payer_id) REFERENCES payers",
        ('op.add_foreign_key_online("fk_invoices_payer_id_payers", "invoices", "payers", ["payer_id"], [...])'),
    ),
    (
        "ALTER TABLE s.invoices ADD CHECK (\"Sum\" > 0 AND tag <> 'it''s')",
        (
            'op.add_check_online(op.f("ck_invoices_Sum_tag"), "invoices", "\\"Sum\\" > 0 AND tag <> \'it\'\'s\'", '
            'schema="s")'
        ),
    ),
    (
        "ALTER TABLE invoices ADD UNIQUE NULLS NOT DISTINCT (a, b) INCLUDE (c) DEFERRABLE",
        (
            'op.add_unique_online("uq_invoices_a_b", "invoices", ["a", "b"], postgresql_include=["c"], '
            "postgresql_nulls_not_distinct=True, deferrable=True)"
        ),
    ),
    (
        "ALTER TABLE billing.invoices ALTER note SET NOT NULL",
        'op.set_not_null_online("invoices", "note", schema="billing")',
    ),
    (
        "ALTER TABLE invoices ADD NOT NULL note",
        'op.set_not_null_online("invoices", "note")',
    ),
    (
        "UPDATE billing.invoices i SET total = i.net + c.extra FROM payers c WHERE c.id = i.payer_id",
        (
            'op.backfill("invoices", {"total": "(SELECT invoices.net + c.extra FROM payers c WHERE c.id = '
            'invoices.payer_id)"}, where="EXISTS (SELECT FROM payers c WHERE c.id = invoices.payer_id)", '
            'schema="billing")'
        ),
    ),
    ("UPDATE invoices SET total = total + 1", 'op.backfill("invoices", {"total": "total + 1"}, where=...)'),
    (
        "UPDATE invoices SET token = gen_random_uuid()",
        'op.backfill("invoices", {"token": "gen_random_uuid()"}, where=...)',
    ),
    (
        "UPDATE invoices SET (a, b) = (SELECT 1, 2), c = DEFAULT",
        'op.backfill("invoices", {"a": ..., "b": ..., "c": ...})',
    ),
    ("UPDATE invoices i SET total = invoices.total FROM invoices", 'op.backfill("invoices", ...)'),
    ("WITH d AS (UPDATE billing.invoices SET a = 1) SELECT", 'op.backfill("invoices", ..., schema="billing")'),
    (
        "REINDEX INDEX billing.ix",
        'with op.get_context().autocommit_block(): op.execute("REINDEX INDEX CONCURRENTLY billing.ix")',
    ),
    (
        "ALTER TABLE billing.invoices DETACH PARTITION invoices_2025 CONCURRENTLY",
        (
            "with op.get_context().autocommit_block(): "
            'op.execute("ALTER TABLE billing.invoices DETACH PARTITION invoices_2025 CONCURRENTLY")'
        ),
    ),
    ("DROP INDEX billing.ix_invoices", 'op.drop_index_online("ix_invoices", ..., schema="billing")'),
]


@each("sql, call", CALLS)
def test_the_call_has_all_that_the_statement_has(safe_ways: dict[str, str], sql: str, call: str) -> None:
    assert list(calls(safe_ways[sql])) == [call]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE invoices ADD UNIQUE (number, during WITHOUT OVERLAPS)",
        "ALTER DOMAIN cents ADD NOT NULL",
        "ALTER DOMAIN cents SET NOT NULL",
        "REINDEX SYSTEM",
    ],
)
def test_what_postgres_has_no_online_way_for_gets_no_call(tmp_path: Path, sql: str) -> None:
    blocking = [each for each in lint_body(tmp_path, f"op.execute({sql!r})") if each.rule.startswith("blocking-")]
    assert ["op." in each.safe_way for each in blocking] == [False]


@pytest.fixture
async def scratch(maintenance: asyncpg.Connection, template: str) -> AsyncIterator[str]:
    """A database where everything may be done."""
    async with copy(maintenance, template) as database:
        yield database


PROOFS = [
    (
        "CREATE INDEX ON meals (lower(note) DESC, price) INCLUDE (label) WHERE diet = 'meat'",
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_meals_expression_price'::regclass",
    ),
    (
        "ALTER TABLE meals ADD FOREIGN KEY (animal_id) REFERENCES animals (id) ON DELETE SET NULL (animal_id)",
        "SELECT convalidated FROM pg_constraint WHERE conname = 'fk_meals_animal_id_animals'",
    ),
    (
        "ALTER TABLE public.meals ADD CHECK (note ~ '^[a-z:]+$' AND note <> ':x')",
        "SELECT convalidated FROM pg_constraint WHERE conname = 'ck_meals_note'",
    ),
    (
        "ALTER TABLE meals ADD CONSTRAINT uq_meals UNIQUE (note, label)",
        "SELECT convalidated FROM pg_constraint WHERE conname = 'uq_meals'",
    ),
    (
        "ALTER TABLE weights ADD PRIMARY KEY (animal_id, measured_at)",
        "SELECT contype = 'p' FROM pg_constraint WHERE conname = 'pk_weights'",
    ),
    (
        "ALTER TABLE meals ALTER note SET NOT NULL",
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'meals'::regclass AND attname = 'note'",
    ),
    (
        "ALTER TABLE meals ADD CONSTRAINT ck_meals CHECK (price > 0); ",
        "SELECT convalidated FROM pg_constraint WHERE conname = 'ck_meals'",
    ),
    (
        "ALTER TABLE animals DROP CONSTRAINT fk_animals_exhibit_id_exhibits CASCADE",
        "SELECT NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'fk_animals_exhibit_id_exhibits')",
    ),
    (
        "ALTER TABLE meals ALTER portions TYPE bigint",
        "SELECT portions_new = 2 FROM meals",
    ),
    (
        "ALTER TABLE meals ALTER served_at TYPE timestamptz USING served_at AT TIME ZONE 'Europe/Berlin'",
        "SELECT served_at_new = '2026-01-01 11:00Z' FROM meals",
    ),
    (
        "ALTER TABLE meals ADD COLUMN token uuid NOT NULL UNIQUE DEFAULT gen_random_uuid()",
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'meals'::regclass AND attname = 'token'",
    ),
    (
        "ALTER TABLE meals ADD COLUMN cook_id bigint DEFAULT 1 NOT NULL REFERENCES staff (id) CHECK (cook_id > 0)",
        "SELECT count(*) = 2 FROM pg_constraint WHERE conname IN ('fk_meals_cook_id_staff', 'ck_meals_cook_id')",
    ),
    (
        "ALTER TABLE meals ADD COLUMN number bigserial",
        "SELECT number IS NOT NULL FROM meals",
    ),
    (
        "UPDATE animals a SET description = e.name FROM exhibits e WHERE e.id = a.exhibit_id AND a.name <> 'x'",
        "SELECT bool_and(description = 'Savanna') FROM animals",
    ),
    (
        "REINDEX TABLE meals",
        "SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'meals'::regclass",
    ),
    (
        "REFRESH MATERIALIZED VIEW species_counts",
        "SELECT animals = 10 FROM species_counts",
    ),
    (
        "CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "SELECT inhparent = 'visits'::regclass FROM pg_inherits WHERE inhrelid = 'visits_2026'::regclass",
    ),
    (
        "ALTER DOMAIN kilograms ADD CHECK (VALUE > 0)",
        "SELECT NOT convalidated FROM pg_constraint WHERE conname = 'ck_kilograms'",
    ),
]


@pytest.mark.parametrize(("sql", "proof"), PROOFS)
async def test_what_is_to_be_pasted_runs(
    server: Server, scratch: str, safe_ways: dict[str, str], sql: str, proof: str
) -> None:
    kept = [call for call in _pasted(safe_ways[sql]) if "op.drop_column(" not in call]
    await operate(server, scratch, *(partial(_paste, call) for call in kept))
    connection = await superuser(server, scratch)
    assert await connection.fetchval(proof)
    await connection.close()


def test_what_is_to_be_pasted_is_safe(safe_ways: dict[str, str], tmp_path: Path) -> None:
    is_contract = re.compile(r"\bop\.(drop_column|unsync_columns_online)\(")
    revisions = []
    for sql, _ in PROOFS:
        pasted = _pasted(said := safe_ways[sql])
        assert pasted, sql
        bodies = ["\n".join(pasted)] if "in the same revision" in said else pasted
        revisions += [(CONTRACT if is_contract.search(body) else "", body) for body in bodies]
    found = zip(revisions, lint_bodies(tmp_path, revisions), strict=True)
    assert [(body, str(each)) for (_, body), findings in found for each in findings] == []


def _pasted(said: str) -> list[str]:
    """The calls of a safe way, but for those that are left for later."""
    now, *_ = re.split(r" in (?:contract revisions|a contract revision)", said)
    return [call for call in calls(now) if "..." not in call]


def _paste(call: str, op: Any) -> None:
    exec(call, {"op": op, "sa": sa})


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))
