"""Revisions, written by autogenerate and run, in one process and on one connection: what Alembic's commands do."""

import asyncio
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic.autogenerate.api import RevisionContext
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from alembic_online.autogenerate.step import Note, Nothing, flat
from alembic_online.drift.report import compare_with_models
from alembic_online.lint import lint_revisions
from alembic_online.literal import keep_literal
from alembic_online.project import Project
from alembic_online.rehearsal.dump import PgDump
from alembic_online.runs.command import options
from alembic_online.runs.connection import RUN, create_engine
from alembic_online.runs.online import give_time
from alembic_online.settings import Settings
from local.postgres import binaries
from tests.conftest import ROOT
from tests.faults.model_pairs.catalog import Dump, dump, settled

T = TypeVar("T")

OF_THE_MODELS = ("json-column", "prefer-timestamp-tz", "ban-create-domain-with-constraint")


class Bench:
    """A database with a history of revisions of its own, which `clear` empties."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._url = Settings(migration_database_url=url).database()
        self._engine = create_engine(self._url, RUN, lock_timeout="5000")
        self._connection = self._runner.run(self._connect())
        self._folder = Path(tempfile.mkdtemp(prefix="pairs-"))

    async def _connect(self) -> Any:
        connection = await self._engine.connect()
        await connection.run_sync(give_time, 5)
        keep_literal(connection.dialect)
        return connection

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()
        shutil.rmtree(self._folder)

    def do(self, work: Callable[..., T], *arguments: Any) -> T:
        """`work` on the connection."""

        async def run() -> T:
            return await self._connection.run_sync(work, *arguments)  # type: ignore[no-any-return]

        return self._runner.run(run())

    def execute(self, *statements: str) -> None:
        """Execute these, and commit."""

        def run(connection: Connection) -> None:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()

        self.do(run)

    def clear(self) -> None:
        """Drop all that was made, and begin a new history."""

        def drop(connection: Connection) -> None:
            connection.rollback()
            names = connection.exec_driver_sql(
                "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
            ).scalars()
            for name in names.all():
                quoted = connection.dialect.identifier_preparer.quote_identifier(name)
                connection.exec_driver_sql(f"DROP SCHEMA {quoted} CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
            connection.exec_driver_sql("GRANT USAGE ON SCHEMA public TO zoo_api")
            connection.exec_driver_sql(
                "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO zoo_api"
            )
            connection.exec_driver_sql("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO zoo_api")
            connection.commit()

        self.do(drop)
        shutil.rmtree(self._folder)
        (self._folder / "versions").mkdir(parents=True)
        shutil.copy(ROOT / "migrator" / "script.py.mako", self._folder)
        config = Config(cmd_opts=Namespace(quiet=True))
        config.set_main_option("script_location", str(self._folder))
        self.config, self.scripts = config, ScriptDirectory.from_config(config)

    def project(self, models: sa.MetaData) -> Project:
        return Project(self.config, self.scripts, models, "api", "1.0.0", "zoo_api")

    def write(self, models: sa.MetaData) -> list[Any]:
        """Let autogenerate write the revisions from the database to these models, the first first."""
        return [script for script in self._compare(models).generate_scripts() if script is not None]

    def write_by_hand(self, lines: list[str]) -> Any:
        """A contract revision with these lines."""
        part = SimpleNamespace(why="by hand", safe_from_release="1.0.0")
        name = f"by_hand_{len(self.scripts.get_revisions('heads'))}_{len(list(self.scripts.walk_revisions()))}"
        return self.scripts.generate_revision(
            name, "by hand", head="head", refresh=True, upgrades="\n    ".join(lines), imports="", parts={name: part}
        )

    def rest(self, models: sa.MetaData) -> tuple[list[str], list[Any]]:
        """What autogenerate would write now: comments, and operations."""
        found = self._compare(models).generated_revisions
        operations = [each for script in found for container in script.upgrade_ops_list for each in flat(container.ops)]
        notes = [each.text for each in operations if isinstance(each, Note)]
        return notes, [each for each in operations if not isinstance(each, Note | Nothing)]

    def _compare(self, models: sa.MetaData) -> RevisionContext:
        given = {
            "message": "a change", "autogenerate": True, "sql": False, "head": "head", "splice": False,
            "branch_label": None, "version_path": None, "rev_id": None, "depends_on": None,
        }  # fmt: skip
        revisions = RevisionContext(self.config, self.scripts, given)

        def compare(rev: Any, context: Any) -> list[Any]:
            revisions.run_autogenerate(rev, context)
            return []

        self._run(models, compare, template_args=revisions.template_args, revision_context=revisions)
        return revisions

    def lint(self, models: sa.MetaData, written: list[Any]) -> list[str]:
        """What the lint finds in these, but for types that the models choose."""
        found = lint_revisions(self.project(models), [each.revision for each in written])
        return [str(finding) for finding in found if finding.rule not in OF_THE_MODELS]

    def upgrade(self, models: sa.MetaData) -> None:
        self._run(models, lambda rev, _: self.scripts._upgrade_revs("head", rev))  # noqa: SLF001 - as alembic.command

    def downgrade(self, models: sa.MetaData, target: str) -> None:
        self._run(models, lambda rev, _: self.scripts._downgrade_revs(target, rev))  # noqa: SLF001 - as alembic.command

    def drift(self, models: sa.MetaData) -> list[str]:
        def find(connection: Connection) -> list[str]:
            found = compare_with_models(connection, self.project(models))
            connection.rollback()
            return [*found.changes, *found.not_compared]

        return self.do(find)

    def dump(self) -> Dump:
        """What there is."""
        return self.do(dump)

    def pg_dump(self) -> list[str]:
        """What there is, as pg_dump writes it."""
        program = PgDump(str(binaries() / "pg_dump"))
        return sorted(map(settled, self._runner.run(program.schema(self._url))))

    def _run(self, models: sa.MetaData, fn: Any, **more: Any) -> None:
        def run(connection: Connection) -> None:
            connection.rollback()
            with EnvironmentContext(self.config, self.scripts, fn=fn, **more) as environment:
                environment.configure(connection=connection, **options(self.project(models)))
                with environment.begin_transaction():
                    environment.run_migrations()
            connection.rollback()

        self.do(run)
