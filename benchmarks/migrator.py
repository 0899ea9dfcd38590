"""`make bench-migrator`: what a run that finds nothing to do costs after a thousand revisions, with a thousand tables.

A project is written, with a revision and a model for each table; its database is created from the models, and stamped.
Drift is looked for in each run, as always: the last run is measured after something was changed by hand.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import table
from local.postgres import DATABASE, Server, binaries, serve

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_name("MIGRATOR.md")
TABLES = 1_000
ROUNDS = 5
LONGEST = 2.0  # seconds of CPU, for a run that finds nothing to do, after the imports
IMPORTED, RUN, STATUS = "imports, with the models", "`alembic upgrade head`", "`alembic-online status`"

INI = "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = %(here)s\n"
ENV = """\
from alembic_online import run

from models import metadata

run(target_metadata=metadata, application="large", release="1.0.0")
"""
MODELS = """\
import sqlalchemy as sa

metadata = sa.MetaData()
state = sa.Enum("new", "done", name="state")
for n in range({tables}):
    sa.Table(
        f"table_{{n}}",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("code", sa.String(20), nullable=False),
        sa.Column("name", sa.Text, server_default="", nullable=False),
        sa.Column("state", state, server_default="new", nullable=False),
        sa.Column("price", sa.Numeric(10, 2), server_default=sa.text("0"), nullable=False),
        sa.Column("wild", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("extra", sa.JSON, server_default="{{}}"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("before_id", sa.ForeignKey(f"table_{{max(0, n - 1)}}.id", name=f"fk_table_{{n}}_before"), index=True),
        sa.CheckConstraint("price BETWEEN 0 AND 100", name=f"ck_table_{{n}}_price"),
        sa.UniqueConstraint("code", name=f"uq_table_{{n}}_code"),
        sa.Index(f"ix_table_{{n}}_name", sa.text("lower(name)"), postgresql_where=sa.text("state <> 'done'")),
    )
"""
REVISION = '''\
"""table {n}"""
import sqlalchemy as sa
from alembic import op

revision = "{n:04}"
down_revision = {before!r}


def upgrade() -> None:
    op.create_table("table_{n}", sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True))


def downgrade() -> None:
    op.drop_table("table_{n}")
'''
IMPORTS = "import alembic.command, asyncpg, sqlalchemy.ext.asyncio, structlog, pydantic_settings"
STEPS = {
    "imports: Alembic, SQLAlchemy, asyncpg": ("-c", IMPORTS),
    IMPORTED: ("-c", f"{IMPORTS}, models"),
    RUN: ("-m", "alembic", "upgrade", "head"),
    STATUS: ("-m", "alembic_online", "status"),
}


@dataclass(frozen=True)
class Large:
    """A project with many tables and revisions, and its database."""

    folder: Path
    server: Server

    def command(self, *arguments: str) -> None:
        """Run `python ARGUMENTS` in the project."""
        environment = os.environ | self.server.environment() | {"PYTHONPATH": str(ROOT), "MIGRATOR_DRIFT": "warn"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def sql(self, *statements: str) -> None:
        """Run statements as the migrator."""
        psql: list[str | Path] = [
            binaries() / "psql",
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            self.server.url("zoo_migrator"),
        ]
        subprocess.run([*psql, *(part for each in statements for part in ("-c", each))], check=True)


def write_project(folder: Path, tables: int) -> None:
    """Write it, with as many revisions as tables."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(ENV)
    (folder / "models.py").write_text(MODELS.format(tables=tables))
    for n in range(tables):
        (versions / f"{n:04}.py").write_text(REVISION.format(n=n, before=f"{n - 1:04}" if n else None))


def create(large: Large) -> None:
    """Create its database: the schema as SQLAlchemy creates it, and all revisions as applied."""
    code = (
        "import models, os, sqlalchemy as sa; from alembic_online.settings import Settings; import asyncio;"
        "from alembic import command, config;"
        "from alembic_online.runs.connection import create_engine as create\n"
        "async def main():\n"
        "    async with create(Settings().database(), 'create').begin() as connection:\n"
        "        await connection.run_sync(models.metadata.create_all)\n"
        "asyncio.run(main())\n"
        "command.stamp(config.Config('alembic.ini'), 'head')"
    )
    large.command("-c", code)


def cost(large: Large, *arguments: str) -> tuple[float, float]:
    """CPU seconds and wall-clock seconds of `python ARGUMENTS`; Postgres's own are not in the CPU seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    large.command(*arguments)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended - began


def measure(
    tables: int = TABLES, rounds: int = ROUNDS, steps: Mapping[str, Sequence[str]] = STEPS
) -> dict[str, tuple[float, float]]:
    """The medians of each step, and of a run with drift: CPU seconds of the process, and seconds."""
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as name:
        folder = Path(name)
        with serve(folder / "data", {"max_locks_per_transaction": "1024"}, DATABASE) as server:
            large = Large(folder / "large", server)
            write_project(large.folder, tables)
            create(large)
            for step in (RUN, STATUS):  # what is compiled, and the record of the schema, come first
                if step in steps:
                    large.command(*steps[step])
            found = {
                step: _median([cost(large, *arguments) for _ in range(rounds)]) for step, arguments in steps.items()
            }
            large.sql("ALTER TABLE table_0 ADD COLUMN by_hand integer", "DROP INDEX ix_table_1_before_id")
            found[f"{RUN}, with drift"] = _median([cost(large, *STEPS[RUN]) for _ in range(rounds)])
    return found


def _median(costs: list[tuple[float, float]]) -> tuple[float, float]:
    cpu, clock = zip(*costs, strict=True)
    return statistics.median(cpu), statistics.median(clock)


def write(path: Path, found: dict[str, tuple[float, float]], tables: int) -> None:
    """Write what was found."""
    rows = [[step, f"{cpu:.2f} s", f"{clock:.2f} s"] for step, (cpu, clock) in found.items()]
    path.write_text(
        "# A run that finds nothing to do\n\n"
        f"`make bench-migrator`: {tables:,} revisions, and {tables:,} tables with ten columns, defaults, a check, a"
        " foreign key and three indexes each. CPU is that of the process, without Postgres's. What Alembic, SQLAlchemy"
        f" and the models take to be imported is not the tool's: after that, a run may take {LONGEST:g} s, and took"
        f" {tools_part(found):.2f} s.\n\n{table(['', 'CPU', 'clock'], rows)}\n"
    )


def tools_part(found: dict[str, tuple[float, float]]) -> float:
    """CPU seconds of a run after the imports: the revisions, the queries, drift."""
    return found[RUN][0] - found[IMPORTED][0]


def main() -> None:
    """Measure, and write MIGRATOR.md; ends with 1 if a run costs more than it may."""
    found = measure()
    write(RESULTS, found, TABLES)
    print(RESULTS.read_text())
    if tools_part(found) > LONGEST:
        sys.exit(f"error: after the imports, a run costs more than {LONGEST:g} s of CPU")


if __name__ == "__main__":
    main()
