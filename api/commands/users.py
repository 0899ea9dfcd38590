"""The command for users."""

import sys
from typing import Annotated

import typer
from fastapi_users.exceptions import UserAlreadyExists
from pydantic import ValidationError

from api.background import Background
from api.commands.run import fail, run
from api.crud.accounts.manager import UserManager
from api.database.engine import transaction
from api.enums.users import UserType
from api.errors import TAKEN
from api.external_services.mail import Mail
from api.models.users import User
from api.schemas.users import PASSWORD_RULE, UserCreate
from api.settings import ENVIRONMENT, load_settings

NOT_CREATED = "No user was created."

app = typer.Typer()


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
        fail(*(f"{found['loc'][0]}: {found['msg'].removeprefix('Value error, ')}" for found in error.errors()))
    except ValueError as error:  # the settings
        fail(str(error))
    user = run(_create_user(data), NOT_CREATED)
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
        try:
            return await manager.create(data, safe=False)
        except UserAlreadyExists:
            fail(TAKEN, NOT_CREATED)
