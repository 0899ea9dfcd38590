"""`python -m api`: the commands of the api's image, besides serving."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any, NoReturn, TypeVar

import rich.progress
import typer
from fastapi_users.exceptions import UserAlreadyExists
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from api.background import Background
from api.crud.accounts.manager import UserManager
from api.crud.exports import export_csv
from api.crud.imports.load import Loaded, load_csv
from api.crud.imports.parents import ImportRefused
from api.crud.photos import imports as photos_in
from api.crud.photos.sweep import Sweep, sweep
from api.crud.resources import RESOURCES
from api.crud.seeds import seed as seed_zoo
from api.database.driver import Database, PooledConnection
from api.database.engine import Transactions, create_engine, transaction, transactions_of_a_command
from api.database.errors import explain_database_error
from api.enums import UserType
from api.errors import BadGateway, Unavailable, Unprocessable
from api.external_services.mail import Mail
from api.external_services.s3 import S3
from api.external_services.s3_backups import Backups
from api.external_services.s3_buckets import make_buckets
from api.main import create_app
from api.models.users import User
from api.schemas.users import PASSWORD_RULE, UserCreate
from api.settings import ENVIRONMENT, Settings, load_settings

NOTHING_LOADED = "Nothing was loaded."
WRONG_SETTINGS, UNREACHABLE = 3, 4
SEED = Path(__file__).parent.parent / "seed"
T = TypeVar("T")

Resource = StrEnum("Resource", {name: name for name in RESOURCES})  # type: ignore[misc]  # typer lists an enum's values

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


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
        _fail(f"{file}: {error.strerror}")
    with opened as rows:
        loaded = _run(_import(resource.value, rows, update=update, dry_run=dry_run), NOTHING_LOADED)
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
    _run(_export(resource.value), "The file is not complete.")


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
    loaded = _run(_seed(), NOTHING_LOADED)
    if loaded is None:
        typer.echo("ENVIRONMENT is production, or SEED is false: nothing loaded")
    elif loaded:
        typer.echo(", ".join(f"{count} {name}" for name, count in loaded.items()) + " loaded")
        if load_settings().s3_url:
            try:
                import_photos(SEED / "photos")
            except typer.Exit:  # it has said why; all else works without photos
                typer.echo(f"The zoo has none yet: python -m api import-photos {SEED.name}/photos", err=True)
        else:
            typer.echo("no photos: S3_URL is not set")
    else:
        typer.echo("The zoo is not empty: nothing loaded")


async def _seed() -> dict[str, int] | None:
    settings = load_settings()
    if settings.environment == "production" or not settings.seed:
        return None
    async with transaction(settings) as session:
        return await seed_zoo(session, SEED)


@app.command()
def import_photos(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="JPEG, PNG, WebP.")],
) -> None:
    """Load photos of animals from a folder, whose files are named after the animals, or their ids.

    A number after the name tells several photos of an animal apart. A photo that an animal has is left out, so that an
    import that was interrupted can be repeated.

    Example: python -m api import-photos photos/    (Amara.jpg, Amara-2.jpg, 70.png)
    """
    loaded, refused = _run(_import_photos(list(folder.iterdir())), "Not all photos were loaded: repeat it.")
    typer.echo(f"{loaded} photos loaded")
    if refused:
        _fail(*refused)


async def _import_photos(files: list[Path]) -> tuple[int, list[str]]:
    async with _photos() as (transactions, s3):
        async with transactions() as session:
            named, refused = await photos_in.find(session, files)
        console = Console(stderr=True)
        shown = rich.progress.track(named, "Loading photos", console=console, disable=not console.is_terminal)
        found = await photos_in.import_photos(transactions, s3, shown)
    return len(named) - len(found), refused + found


@app.command()
def sweep_photos(
    apply: Annotated[bool, typer.Option("--apply", help="Delete what is old enough; repair what can be.")] = False,
    backup_days: Annotated[int, typer.Option(min=1, help="For how long backups of the database are kept.")] = 30,
) -> None:
    """Compare the storage with the database: report objects of no photo, and photos without their objects.

    With --apply, objects are deleted that were reported more than --backup-days ago for the first time, and renditions
    that are missing are made again.

    Example: python -m api sweep-photos
    """
    found = _run(_sweep_photos(timedelta(days=backup_days), apply=apply), "The storage was not compared.")
    for key, since in found.unknown.items():
        typer.echo(f"of no photo since {since:%Y-%m-%d}: {key}")
    for key in found.deletable:
        typer.echo(f"{'deleted' if apply else 'would be deleted'}: {key}")
    for photo in found.repairable:
        typer.echo(f"photo {photo}: its renditions are missing, and {'will be' if apply else 'can be'} made again")
    for photo in found.lost:
        typer.secho(f"photo {photo}: its original is missing", fg="red")


async def _sweep_photos(kept_for: timedelta, *, apply: bool) -> Sweep:
    async with _photos() as (transactions, s3):
        return await sweep(transactions, s3, kept_for, apply=apply)


@asynccontextmanager
async def _photos() -> AsyncIterator[tuple[Transactions, S3]]:
    """The database, and the storage of the photos; ValueError if there is none."""
    settings = load_settings()
    settings.require_storage()
    if settings.s3_url is None:
        raise ValueError("S3_URL is not set: there are no photos")
    s3 = S3(settings)
    try:
        async with transactions_of_a_command(settings) as transactions:
            yield transactions, s3
    finally:
        await s3.close()


@app.command()
def buckets() -> None:
    """Make the buckets of photos and of backups, with their rules: to be run before the api, with a key that may do it.

    What is there already stays, and gets the rules of this release.
    """
    missing = _run(_buckets(), "The buckets are not complete.")
    typer.echo("S3_URL is not set: there are no photos" if missing is None else "The buckets are ready")
    for what in missing or ():
        typer.secho(f"the storage can't do it by the S3 API, so see to it yourself: {what}", fg="yellow")


async def _buckets() -> list[str] | None:
    settings = load_settings()
    settings.require_storage()
    return await make_buckets(settings) if settings.s3_url else None


@app.command()
def backups() -> None:
    """List the backups of the database in S3_BACKUP_BUCKET: the size in bytes, and the name."""
    _run(_list_backups(), "The backups were not listed.")


@app.command()
def put_backup(name: str) -> None:
    """Write standard input into S3_BACKUP_BUCKET: all of it, or nothing. deploy/backup calls this."""
    _run(_put_backup(name), "The backup was not stored.")


@app.command()
def get_backup(name: str) -> None:
    """Write a backup of S3_BACKUP_BUCKET to standard output. deploy/backup calls this."""
    _run(_get_backup(name), "The backup is not complete.")


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


@app.command()
def create_user(
    email: str,
    kind: Annotated[UserType, typer.Option("--type", help="What the user may do.")] = UserType.VISITOR,
) -> None:
    """Create an account. The password is prompted for, or read from standard input; never from the command line.

    Example: python -m api create-user ngozi@zoo.example --type admin
    """
    try:
        ENVIRONMENT.set(load_settings().environment)
        data = UserCreate(email=email, password=_read_password(), type=kind)
    except ValidationError as error:
        _fail(*(f"{found['loc'][0]}: {found['msg'].removeprefix('Value error, ')}" for found in error.errors()))
    except ValueError as error:  # the settings
        _fail(str(error))
    user = _run(_create_user(data), "No user was created.")
    typer.echo(f"{user.email} is a user of type {user.type}")


def _read_password() -> str:
    if sys.stdin.isatty():
        typer.echo(f"{PASSWORD_RULE}.", err=True)
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return password
    return sys.stdin.readline().rstrip("\r\n")


async def _create_user(data: UserCreate) -> User:
    settings = load_settings()
    async with transaction(settings) as session:
        manager = UserManager(session, settings.token_secret.get_secret_value(), Mail(settings), Background())
        return await manager.create(data)


def _run(work: Coroutine[Any, Any, T], otherwise: str) -> T:
    """Run `work`; if it fails for a reason that the caller can correct, print it and `otherwise`, and exit.

    The exit code is 1, or, as that of the migrator, 3 if a setting is wrong, and 4 if the database can't be reached, or
    the storage fails.
    """
    try:
        return asyncio.run(work)
    except ImportRefused as error:
        _fail(*error.findings, otherwise)
    except UserAlreadyExists:
        _fail("There is an account with this address already", otherwise)
    except Unprocessable as error:
        _fail(*(f"{found['loc'][-1]}: {found['msg']}" for found in error.detail if isinstance(found, dict)), otherwise)
    except (BadGateway, Unavailable) as error:
        why = ": ".join(str(part) for part in (error.detail, error.__cause__) if part)
        _fail(why, otherwise, code=UNREACHABLE)
    except (SQLAlchemyError, ConnectionError, TimeoutError) as error:
        reason = explain_database_error(error)
        if reason is None:
            raise
        _fail(f"{reason.detail}: {error}", otherwise, code=UNREACHABLE if isinstance(reason, Unavailable) else 1)
    except ValueError as error:  # the settings
        _fail(str(error), code=WRONG_SETTINGS)


def _fail(*lines: str, code: int = 1) -> NoReturn:
    for line in lines:
        typer.secho(line, err=True, fg="red")
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
