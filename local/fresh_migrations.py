"""`make fresh-migrations`: one first revision, written from the models, in place of all revisions.

For a project of one's own, before its first release. Both ways to the schema are tried on a scratch Postgres, and
compared as pg_dump writes them: what the revisions make and the models do not know, such as a function, is named.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import asyncpg
import typer

from alembic_online.errors import ConfigurationError
from alembic_online.settings import load_settings
from local.postgres import DATABASE, SUPERUSER, PostgresBusy, Server, attach, binaries, serve
from stack_settings import DatabaseUrl, connect, read_url

ROOT = Path(__file__).parent.parent
DATA = ROOT / ".data" / "postgres"
VERSIONS = ROOT / "migrator" / "versions"
FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
TABLES = (
    "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    " AND relname !~ '^(alembic_version$|migration_)' ORDER BY 1"
)
CONNECT_SECONDS = 10
# The tables, columns and enum types of a database, each with the statement that drops it, in an order that leaves none
# that is still used: columns, tables, types. Partitions go with their table.
OBJECTS = (
    "WITH tables AS (SELECT oid, relname FROM pg_class"
    " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    " AND relname !~ '^(alembic_version$|migration_)')"
    " SELECT relname, format('DROP TABLE IF EXISTS %I CASCADE', relname) FROM tables UNION ALL"
    " SELECT relname || '.' || attname, format('ALTER TABLE %I DROP COLUMN IF EXISTS %I CASCADE', relname, attname)"
    " FROM tables JOIN pg_attribute ON attrelid = tables.oid AND attnum > 0 AND NOT attisdropped AND attislocal"
    " UNION ALL SELECT typname, format('DROP TYPE %I CASCADE', typname) FROM pg_type"
    " WHERE typtype = 'e' AND typnamespace = 'public'::regnamespace ORDER BY 2"
)
NEVER = "where it may have been applied, add revisions instead: docs/fresh-start.md"


class Failed(Exception):
    """What to tell, in a line or several."""


def uncommitted() -> str | None:
    """A revision that git could not bring back; None if there is none."""
    command = ["git", "status", "--porcelain", "--ignored", "--untracked-files=all", "--", str(VERSIONS / "*.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = (done.stdout if done.returncode == 0 else "?? all of them").splitlines()
    return lines[0][3:] if lines else None


async def table_with_rows(url: DatabaseUrl) -> str | None:
    """The first table that has a row, of those that revisions create; None if there is none.

    Failed if the database does not answer.
    """
    try:
        connection = await connect(url, timeout=CONNECT_SECONDS, settings={})
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Failed(f"the database of MIGRATION_DATABASE_URL can't be looked at: {error}") from error
    try:
        for table in [record[0] for record in await connection.fetch(TABLES)]:
            if await connection.fetch(f'SELECT FROM "{table}" LIMIT 1'):
                return str(table)
        return None
    finally:
        await connection.close()


@contextmanager
def used_database() -> Iterator[DatabaseUrl | None]:
    """The URL of the database that make's commands use; None if `make run` has made none yet."""
    settings = load_settings()
    if settings.migration_database_url is not None:
        yield settings.database()
    elif not DATA.exists():
        yield None
    else:
        try:
            with serve(DATA, database=DATABASE, purpose="make fresh-migrations") as server:
                yield read_url(server.url(SUPERUSER))
        except PostgresBusy:
            yield read_url(attach(DATA).url(SUPERUSER))


async def leave_out_what_is_gone(server: Server) -> list[str]:
    """Drop the tables, columns and types of before that are not there after: no model has them any more. Their names,
    without the columns of such tables.
    """
    before, after = [await asyncpg.connect(server.url(SUPERUSER, name)) for name in ("before", "after")]
    try:
        kept = {name for name, _ in await after.fetch(OBJECTS)}
        gone = [
            (name, drop)
            for name, drop in await before.fetch(OBJECTS)
            if name not in kept and ("." not in name or name.partition(".")[0] in kept)
        ]
        for _, drop in gone:
            await before.execute(drop)
        return sorted(name for name, _ in gone)
    finally:
        await before.close()
        await after.close()


def alembic(server: Server, database: str, *arguments: str) -> None:
    """Run alembic on this database; Failed, with what it prints, if it fails.

    Before, tables of parts that were removed may still be there.
    """
    settings = {"LOG_FORMAT": "text", "MIGRATOR_DRIFT": "warn" if database == "before" else "fail"}
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=os.environ | server.environment(database) | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"alembic {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def schema(server: Server, database: str) -> Counter[str]:
    """The lines of the schema, with grants and default privileges; columns may be in another order."""
    of_the_tool = ["--exclude-table=public.migration_*", "--exclude-table=public.alembic_version"]
    dump: list[str | Path] = [
        binaries() / "pg_dump",
        "--schema-only",
        *of_the_tool,
        f"--dbname={server.url(SUPERUSER, database)}",
    ]
    text = subprocess.check_output(dump, text=True)
    lines = (line.strip().rstrip(",") for line in text.splitlines())
    return Counter(line for line in lines if line and not line.startswith(("--", "\\")))


def write(server: Server, folder: Path) -> tuple[str, str]:
    """Write the new revision, apply it, and put the old ones into `folder`; the newest of the old ones, and the new."""
    (old,) = re.findall(r'^SCHEMA_REVISION = "(\w+)"', (ROOT / "api/database/engine.py").read_text(), re.MULTILINE)
    kept = list(VERSIONS.glob("*.py"))
    for revision in kept:
        shutil.move(revision, folder)
    try:
        alembic(server, "after", "revision", "--autogenerate", "-m", "first revision")
        written = list(VERSIONS.glob("*.py"))
        if len(written) != 1:
            raise Failed(  # noqa: TRY301 - all of it is undone below
                f"the models need {len(written)} revisions:\n" + "\n".join(path.name for path in written)
            )
        text = written[0].read_text()
        why = "Why: all tables, for the first release of the api."
        written[0].write_text(re.sub(r"^Why: .*$", why, text, count=1, flags=re.MULTILINE))
        alembic(server, "after", "upgrade", "head")
    except BaseException:
        for revision in VERSIONS.glob("*.py"):
            revision.unlink()
        for revision in kept:
            shutil.move(folder / revision.name, VERSIONS)
        raise
    (new,) = re.findall(r'^revision = "(\w+)"', text, re.MULTILINE)
    return old, new


def replace_in_files(old: str, new: str) -> None:
    """Put the new revision in the place of the old one where files name it, SCHEMA_REVISION among them."""
    named = subprocess.run(["git", "grep", "-lz", old], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for name in filter(None, named.split("\0")):
        path = ROOT / name
        if path.exists():
            path.write_text(path.read_text().replace(old, new))


def main(
    force: bool = typer.Option(False, "--force", help="Though the database has data, or git lacks revisions."),
) -> None:
    """Write one first revision from the models, in place of all revisions.

    Not where a database has been migrated that is to be kept: its revisions would be gone.
    """
    if not force:
        if name := uncommitted():
            _fail(f"git does not have {name} as it is: commit it first, or add FORCE=1, and it is lost")
        try:
            with used_database() as url:
                table = url and asyncio.run(table_with_rows(url))
        except (ConfigurationError, Failed) as error:
            _fail(str(error))
        if table:
            _fail(f"the database has data, in {table}: {NEVER}; or remove it (make clean), or add FORCE=1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server may be another user's
        (folder / "versions").mkdir()
        with serve(folder / "data" / "postgres", FORGETFUL, "before") as server:
            server.create_database("after")
            try:
                alembic(server, "before", "upgrade", "head")
                old, new = write(server, folder / "versions")
            except Failed as error:
                _fail(str(error))
            replace_in_files(old, new)  # at once: the old revisions are gone, whatever else fails
            gone = asyncio.run(leave_out_what_is_gone(server))
            before, after = schema(server, "before"), schema(server, "after")
    typer.echo(f"migrator/versions has one revision now, {new}; git has the others")
    if gone:
        typer.echo(f"Without what no model has any more: {', '.join(gone)}")
    for title, lines in (("missing", before - after), ("too much", after - before)):
        if lines:
            _fail(
                f"{title} after it, as the models do not say so: write it into the new revision, or leave it out:\n"
                + "\n".join(f"  {line}" for line in lines.elements())
            )
    typer.echo(f"It makes {'all else' if gone else 'the same schema'} as they did, with the same rights.")


def _fail(reason: str) -> NoReturn:
    typer.secho(f"error: {reason}", err=True, fg="red")
    raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
