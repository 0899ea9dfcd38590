"""What a revision means literally is what the database has afterwards: after upgrade, and after the SQL of --sql."""

import textwrap
from io import StringIO
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects import postgresql

from alembic_online.literal import OFFLINE, InQuotes, keep_literal
from alembic_online.revision_sql import read_statements
from local.postgres import Server
from tests.alembic_online.lint.bodies import REVISION
from tests.alembic_online.lint.examples import project
from tests.alembic_online.operating import operate
from tests.conftest import ROOT

# Text that SQLAlchemy, or a driver, might take for a parameter or a format, and a tab, of which Alembic makes spaces.
ODD = """:x\t% %% %s %(y)s 10:30 {"a":1, "b":null} [[:alpha:]]"""
BODY = '''
op.create_table(
    "odd % :t",
    sa.Column("as_str", sa.Text(), server_default=ODD, comment=ODD),
    sa.Column("as_text", sa.Text(), server_default=sa.text(f"'{ODD}'")),
    sa.Column("% :c", postgresql.JSONB(), server_default=sa.text("""'{"a":1, "b":"50 %"}'""")),
    sa.Column("share", sa.Text(), sa.Computed(f"as_str || '{ODD}'", persisted=True)),
    sa.CheckConstraint(f"as_str <> '{ODD} '", name=op.f("ck % :k")),
    sa.Column("kind", sa.Enum("a :b", "50 %", name="kind % :e"), server_default="a :b"),
    comment=ODD,
)
op.add_column("odd % :t", sa.Column("added", sa.Text(), server_default=sa.text(f"'{ODD}'")))
op.alter_column("odd % :t", "added", comment=ODD)
op.alter_column("odd % :t", "as_str", server_default=sa.text(f"'{ODD}!'"))
op.create_check_constraint(op.f("made"), "odd % :t", f"added <> '{ODD}?'")
op.create_index("i % :i", "odd % :t", [sa.text(f"(as_str || '{ODD}')")], postgresql_where=sa.text(f"added <> '{ODD}'"))
op.execute(f"""INSERT INTO "odd % :t" (added) VALUES ('{ODD}')""")
op.execute(sa.text(f"""INSERT INTO "odd % :t" (added) VALUES (':w' || :v || '{ODD}')""").bindparams(v="5 % :v"))
op.execute(sa.DDL("""COMMENT ON COLUMN "odd % :t".share IS '5 % of %s, %%'"""))
table = sa.table("odd % :t", sa.column("added", sa.Text()))
op.execute(sa.insert(table).values(added=ODD))
op.bulk_insert(table, [{"added": ODD}])
'''
FOUND = """
SELECT ARRAY(SELECT added FROM "odd % :t" ORDER BY ctid),
    (SELECT ARRAY[as_str, as_text, "% :c" ->> 'b', share, kind::text] FROM "odd % :t" LIMIT 1),
    ARRAY(SELECT description FROM pg_description WHERE objoid = c.oid ORDER BY objsubid),
    ARRAY(SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = c.oid ORDER BY conname),
    pg_get_indexdef('"i % :i"'::regclass)
FROM pg_class c WHERE oid = '"odd % :t"'::regclass
"""


@pytest.fixture
def revisions(tmp_path: Path) -> Path:
    """A folder with one revision, which does all that."""
    header = f"from sqlalchemy.dialects import postgresql\n\nODD = {ODD!r}\n"
    (tmp_path / "one.py").write_text(REVISION.format(header=header, body=textwrap.indent(BODY, "    ")))
    return tmp_path


def written(revisions: Path) -> str:
    """What `alembic upgrade --sql` writes."""
    buffer = StringIO()
    config = Config(output_buffer=buffer)
    config.set_main_option("script_location", str(ROOT / "migrator"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(revisions))
    command.upgrade(config, "one", sql=True)
    return buffer.getvalue()


async def found(connection: asyncpg.Connection) -> list[Any]:
    """What is in the database then."""
    return list(await connection.fetchrow(FOUND) or ())


async def test_text_is_in_the_database_as_it_is_written(
    server: Server, database: str, admin: asyncpg.Connection, revisions: Path
) -> None:
    revision = project(revisions).scripts.get_revision("one")
    assert revision is not None
    await operate(server, database, lambda _: revision.module.upgrade())
    rows, row, comments, constraints, index = await found(admin)
    assert rows == [ODD, f":w5 % :v{ODD}", ODD, ODD]
    assert row == [f"{ODD}!", ODD, "50 %", f"{ODD}!{ODD}", "a :b"]
    assert comments == [ODD, ODD, "5 % of %s, %", ODD]
    assert f"'{ODD} '" in constraints[0]
    assert f"'{ODD}?'" in constraints[1]
    assert index.count(f"'{ODD}'") == 2


async def test_the_sql_that_is_written_does_the_same(
    server: Server, database: str, admin: asyncpg.Connection, revisions: Path
) -> None:
    revision = project(revisions).scripts.get_revision("one")
    assert revision is not None
    await operate(server, database, lambda _: revision.module.upgrade())
    expected = await found(admin)
    await admin.execute('DROP TABLE "odd % :t"; DROP TYPE "kind % :e"; DROP TABLE alembic_version')
    await admin.execute(written(revisions))
    assert await found(admin) == expected


def test_lint_and_plan_read_what_is_written(revisions: Path) -> None:
    script = written(revisions)
    statements = [found.sql for found in read_statements(project(revisions), "one")]
    assert statements
    assert [sql for sql in statements if sql not in script] == []


def test_a_name_without_a_value_stays_and_one_with_a_value_in_quotes_is_refused() -> None:
    dialect = postgresql.dialect(**OFFLINE)  # type: ignore[no-untyped-call]
    keep_literal(dialect)
    for sql in (":x", "a[:x]", "'ä :x' -- :y", '$q$ :x $q$ || "ä:x"', "'not terminated :x"):
        assert str(sa.text(sql).compile(dialect=dialect)) == sql
    for sql in ("'ä :x'", "1 -- :x", "/* :x */ 1", "$q$ :x $q$", '"ä :x"'):
        with pytest.raises(InQuotes):
            sa.text(sql).bindparams(x=1).compile(dialect=dialect)
