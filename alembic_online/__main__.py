"""What Alembic lacks: where the schema is, whether pending revisions are safe, and what they will do."""

import os
from typing import Annotated

import typer

from alembic_online.commands import backfill
from alembic_online.commands.exporter import exporter
from alembic_online.commands.lint import lint
from alembic_online.commands.plan import plan
from alembic_online.commands.rehearse import rehearse
from alembic_online.commands.repair import repair
from alembic_online.commands.status import status
from alembic_online.commands.wait import wait
from alembic_online.log import configure_log

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def options(
    config: Annotated[
        str | None, typer.Option("-c", "--config", help="Alembic's; by default alembic.ini, or pyproject.toml.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where a failure came from.")] = False,
) -> None:
    """What Alembic lacks: where the schema is, whether pending revisions are safe, and what they will do."""
    configure_log(os.environ.get("LOG_FORMAT", ""))
    if config:
        os.environ["ALEMBIC_CONFIG"] = config  # as `alembic` does
    if debug:
        os.environ["MIGRATOR_DEBUG"] = "1"


for command in (status, wait, exporter, repair, plan, rehearse, lint):
    app.command()(command)
app.add_typer(backfill.app, name="backfill")


if __name__ == "__main__":
    app()
