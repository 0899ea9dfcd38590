"""`python -m alembic_online exporter`: what `status` says, as metrics for Prometheus."""

from typing import Annotated

import typer

from alembic_online.commands import Setup, run


def exporter(port: Annotated[int, typer.Option(min=1, max=65_535, help="Listens at all addresses.")] = 9188) -> None:
    """Serve what `status` and `backfill status` say as metrics for Prometheus, until it is stopped.

    It looks at the database every 15 seconds, also while a run is at work.

    Example: python -m alembic_online exporter --port 9188
    """
    run(lambda setup: _export(setup, port))


async def _export(setup: Setup, port: int) -> None:
    from alembic_online.exporter import export  # noqa: PLC0415 - no other command needs its library

    await export(setup, port)
