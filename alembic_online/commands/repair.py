"""`python -m alembic_online repair`: repairs what an interrupted run left behind."""

from typing import Annotated

import typer
from sqlalchemy import text

from alembic_online.commands import Setup, run
from alembic_online.commands.status import look
from alembic_online.runs.connection import LOCK, RUN
from alembic_online.runs.lock import migration_lock
from alembic_online.runs.online import give_time

# An interrupted REINDEX CONCURRENTLY leaves copies of an index, with these suffixes; the index itself still exists.
COPIES = ("_ccnew", "_ccold")


def repair(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Rebuild invalid indexes, and drop what an interrupted REINDEX left behind. Reads and writes go on meanwhile.

    Example: python -m alembic_online repair --yes
    """
    found = run(look)
    # Copies are dropped first, because REINDEX drops those of its own index.
    statements = sorted(_mend(index) for index in found.invalid_indexes)
    if not statements:
        typer.echo("nothing to repair: no index is invalid")
        return
    typer.echo("\n".join(statements))
    if not yes:
        typer.confirm("Run this?", abort=True)
    run(lambda setup: _execute(setup, statements))
    typer.echo(f"{len(statements)} repaired")


def _mend(index: str) -> str:
    is_copy = index.rstrip('"').rstrip("0123456789").endswith(COPIES)
    return f"{'DROP' if is_copy else 'REINDEX'} INDEX CONCURRENTLY {index}"


async def _execute(setup: Setup, statements: list[str]) -> None:
    async with (
        migration_lock(setup.connect(LOCK), setup.settings.migrator_lock_timeout),
        setup.connect(RUN).connect() as connection,
    ):
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.run_sync(give_time, setup.settings.migrator_retry_seconds)
        for statement in statements:
            await connection.execute(text(statement))
