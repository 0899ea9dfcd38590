"""Runs a command, and says what went wrong."""

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import typer
from sqlalchemy.exc import SQLAlchemyError

from api.crud.imports.parents import ImportRefused
from api.database.errors import explain_database_error
from api.errors import BadGateway, Unavailable, Unprocessable

WRONG_SETTINGS, UNREACHABLE = 3, 4
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], otherwise: str) -> T:
    """Run `work`; if it fails for a reason that the caller can correct, print it and `otherwise`, and exit.

    The exit code is 1, or, as that of the migrator, 3 if a setting is wrong, and 4 if the database can't be reached, or
    the storage fails.
    """
    try:
        return asyncio.run(work)
    except ImportRefused as error:
        fail(*error.findings, otherwise)
    except Unprocessable as error:
        fail(*(f"{found['loc'][-1]}: {found['msg']}" for found in error.detail if isinstance(found, dict)), otherwise)
    except (BadGateway, Unavailable) as error:
        why = ": ".join(str(part) for part in (error.detail, error.__cause__) if part)
        fail(why, otherwise, code=UNREACHABLE)
    except (SQLAlchemyError, ConnectionError, TimeoutError) as error:
        reason = explain_database_error(error)
        if reason is None:
            raise
        fail(f"{reason.detail}: {error}", otherwise, code=UNREACHABLE if isinstance(reason, Unavailable) else 1)
    except ValueError as error:  # the settings
        fail(str(error), code=WRONG_SETTINGS)


def fail(*lines: str, code: int = 1) -> NoReturn:
    """Print these lines, and exit."""
    for line in lines:
        typer.secho(line, err=True, fg="red")
    raise typer.Exit(code)
