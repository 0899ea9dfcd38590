"""`python -m api`: the commands of the api's image, besides serving."""

import asyncio
import io
import json
import sys
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO, TypeVar

import rich.progress
import typer
from fastapi_users.exceptions import UserAlreadyExists
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from api.background import Background
from api.crud.accounts.manager import UserManager
from api.crud.imports import RESOURCES, ImportRefused, load_csv
from api.crud.seeds import seed as seed_zoo
from api.database.engine import transaction
from api.database.errors import explain_database_error
from api.enums import UserType
from api.errors import Unavailable, Unprocessable
from api.external_services.mail import Mail
from api.main import create_app
from api.models import User
from api.schemas.users import UserCreate
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
) -> None:
    """Load records from a CSV file: all of it, or nothing.

    The first line names the fields, as the API does; an empty cell is null. Animals and staff may have a column
    `exhibit`, the exhibit's name, in place of `exhibit_id`.

    Example: python -m api import animals animals.csv
    """
    try:
        opened = _open_csv(file, f"Loading {resource.value}")
    except OSError as error:
        _fail(f"{file}: {error.strerror}")
    with opened as rows:
        loaded = _run(_import(resource.value, rows), NOTHING_LOADED)
    typer.echo(f"{loaded} {resource.value} loaded")


def _open_csv(path: str, label: str) -> AbstractContextManager[TextIO]:
    """The text of a file, or of standard input; on a terminal a bar shows how much of the file has been read."""
    encoding, newline = "utf-8-sig", ""  # spreadsheets write a byte order mark; csv wants line ends unchanged
    if path == "-":
        return io.TextIOWrapper(sys.stdin.buffer, encoding, newline=newline)
    console = Console(stderr=True)
    return rich.progress.open(
        path,
        "r",
        encoding=encoding,
        newline=newline,
        description=label,
        console=console,
        disable=not console.is_terminal,
    )


async def _import(resource: str, rows: TextIO) -> int:
    settings = load_settings()
    ENVIRONMENT.set(settings.environment)
    async with transaction(settings) as session:
        return await load_csv(session, resource, rows)


@app.command()
def seed() -> None:
    """Load the seed data, if the zoo is empty."""
    loaded = _run(_seed(), NOTHING_LOADED)
    if loaded:
        typer.echo(", ".join(f"{count} {name}" for name, count in loaded.items()) + " loaded")
    else:
        typer.echo("The zoo is not empty: nothing loaded")


async def _seed() -> dict[str, int]:
    async with transaction(load_settings()) as session:
        return await seed_zoo(session, SEED)


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

    The exit code is 1, or, as that of the migrator, 3 if a setting is wrong, and 4 if the database can't be reached.
    """
    try:
        return asyncio.run(work)
    except ImportRefused as error:
        _fail(*error.findings, otherwise)
    except UserAlreadyExists:
        _fail("There is an account with this address already", otherwise)
    except Unprocessable as error:
        _fail(*(f"{found['loc'][-1]}: {found['msg']}" for found in error.detail if isinstance(found, dict)), otherwise)
    except Unavailable as error:
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
