"""`python -m api`: the commands of the api's image, besides serving."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, Annotated

import rich.progress
import typer
from rich.console import Console

from api.commands.photos import app as photos
from api.commands.photos import seed_photos
from api.commands.run import fail, run
from api.commands.users import app as users
from api.crud.exports import export_csv
from api.crud.imports.load import Loaded, load_csv
from api.crud.resources import RESOURCES
from api.crud.seeds import seed as seed_zoo
from api.database.driver import Database, PooledConnection
from api.database.engine import create_engine, transaction
from api.external_services.s3_backups import Backups
from api.external_services.s3_buckets import make_buckets
from api.log import configure_log
from api.main import create_app
from api.settings import ENVIRONMENT, Settings, load_settings

NOTHING_LOADED = "Nothing was loaded."
SEED = Path(__file__).parent.parent / "seed"

Resource = StrEnum("Resource", {name: name for name in RESOURCES})  # type: ignore[misc]  # typer lists an enum's values

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(photos)
app.add_typer(users)


@app.callback()
def log_as_while_serving() -> None:
    """Besides what commands print, there is what the code that they share with the routes logs."""
    configure_log(os.environ.get("LOG_FORMAT", ""))


@app.command()
def openapi() -> None:
    """Write the OpenAPI document to standard output."""
    typer.echo(json.dumps(create_app(Settings(environment="local")).openapi(), indent=2))


@app.command(name="import")
def import_(
    resource: Resource,
    file: Annotated[str, typer.Argument(metavar="FILE.csv", help="A CSV file, or - for standard input.")],
    update: Annotated[bool, typer.Option("--update", help="Change records that the file names by id.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Load records from a CSV file: all of it, or nothing.

    The first line names the fields, as the API does; an empty cell is null. What a record belongs to may stand there by
    name: animals may have a column `exhibit` in place of `exhibit_id`.

    With --update, a column `id`, or one whose values are unique, says which record a row changes; without an id, and
    if no record has the value, the row is a new record. Only the file's columns change.

    Example: python -m api import animals animals.csv
    """
    try:
        opened = _open_csv(file, f"Loading {resource.value}")
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    with opened as rows:
        loaded = run(_import(resource.value, rows, update=update, dry_run=dry_run), NOTHING_LOADED)
    would = "would be " if dry_run else ""
    if update:
        typer.echo(
            f"{resource.value}: {loaded.new} {would}new, {loaded.changed} {would}changed, {loaded.same} the same"
        )
    else:
        typer.echo(f"{loaded.new} {resource.value} {would}loaded")


def _open_csv(path: str, label: str) -> AbstractContextManager[IO[bytes]]:
    """A file, or standard input; on a terminal a bar shows how much of the file has been read."""
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    console = Console(stderr=True)
    return rich.progress.open(path, "rb", description=label, console=console, disable=not console.is_terminal)


async def _import(resource: str, rows: IO[bytes], *, update: bool, dry_run: bool) -> Loaded:
    settings = load_settings()
    ENVIRONMENT.set(settings.environment)
    async with transaction(settings) as session:
        loaded = await load_csv(session, RESOURCES[resource], rows, update=update)
        if dry_run:
            await session.rollback()
        return loaded


@app.command()
def export(resource: Resource) -> None:
    """Write all records to standard output, as CSV that `import --update` reads again.

    Example: python -m api export animals > animals.csv
    """
    run(_export(resource.value), "The file is not complete.")


async def _export(resource: str) -> None:
    engine = create_engine(load_settings(), application_name="api command")
    try:
        async for part in export_csv(Database(partial(PooledConnection, engine)), RESOURCES[resource]):
            sys.stdout.buffer.write(part)
    finally:
        await engine.dispose()


@app.command()
def seed() -> None:
    """Load the seed data, if the zoo is empty; never in production, nor if SEED is false."""
    loaded = run(_seed(), NOTHING_LOADED)
    if loaded is None:
        typer.echo("ENVIRONMENT is production, or SEED is false: nothing loaded")
    elif loaded:
        typer.echo(", ".join(f"{count} {name}" for name, count in loaded.items()) + " loaded")
        seed_photos(SEED)
    else:
        typer.echo("The zoo is not empty: nothing loaded")


async def _seed() -> dict[str, int] | None:
    settings = load_settings()
    if settings.environment == "production" or not settings.seed:
        return None
    async with transaction(settings) as session:
        return await seed_zoo(session, SEED)


@app.command()
def buckets() -> None:
    """Make the buckets, with their rules: to be run before the api, with a key that may do it.

    What is there already stays, and gets the rules of this release.
    """
    missing = run(_buckets(), "The buckets are not complete.")
    typer.echo("S3_URL is not set: there are no buckets" if missing is None else "The buckets are ready")
    for what in missing or ():
        typer.secho(f"the storage can't do it by the S3 API, so see to it yourself: {what}", fg="yellow")


async def _buckets() -> list[str] | None:
    settings = load_settings()
    settings.require_storage()
    return await make_buckets(settings) if settings.s3_url else None


@app.command()
def backups() -> None:
    """List the backups of the database in S3_BACKUP_BUCKET: the size in bytes, and the name."""
    run(_list_backups(), "The backups were not listed.")


@app.command()
def put_backup(name: str) -> None:
    """Write standard input into S3_BACKUP_BUCKET: all of it, or nothing. deploy/backup calls this."""
    run(_put_backup(name), "The backup was not stored.")


@app.command()
def get_backup(name: str) -> None:
    """Write a backup of S3_BACKUP_BUCKET to standard output. deploy/backup calls this."""
    run(_get_backup(name), "The backup is not complete.")


async def _list_backups() -> None:
    async with _backups() as found:
        async for stored in found.list():
            typer.echo(f"{stored.size:>15} {stored.key}")


async def _put_backup(name: str) -> None:
    async with _backups() as found:
        await found.put(name, sys.stdin.buffer)


async def _get_backup(name: str) -> None:
    async with _backups() as found:
        async for part in found.get(name):
            sys.stdout.buffer.write(part)


@asynccontextmanager
async def _backups() -> AsyncIterator[Backups]:
    settings = load_settings()
    settings.require_storage()
    found = Backups(settings)
    try:
        yield found
    finally:
        await found.close()


if __name__ == "__main__":
    app()
