"""`python -m local`: the whole stack on this machine, on an embedded Postgres, without Docker."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import typer

from local import storage
from local.postgres import DATABASE, SUPERUSER, PostgresBusy, PostgresError, attach, die_with_parent, held, serve
from local.storage import StorageError

HOST = "127.0.0.1"
DATA = Path(__file__).parent.parent / ".data" / "postgres"
STORAGE = DATA.with_name("storage")

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def run(port: int = typer.Option(8000, envvar="PORT", min=1, max=65535, help="The port to serve on.")) -> None:
    """Migrate, load the seed data if the zoo is empty, and serve with reload. Ctrl-C stops all of it.

    Unless S3_URL is set, there is an embedded storage.
    """
    address = f"http://{HOST}:{port}"
    if reason := _why_not(port):
        with held(DATA, "another command"):  # if another command of this checkout is at work, this says so instead
            pass
        raise typer.Exit(_fail(f"port {port}: {reason}; choose another: make run PORT={port + 1}"))
    purpose = f"`make run` for {address}"
    with serve(DATA, database=DATABASE, purpose=purpose) as server, ExitStack() as stack:
        env = os.environ | server.environment()
        started = None if os.environ.get("S3_URL") else stack.enter_context(storage.serve(STORAGE))
        _must(["alembic", "upgrade", "head"], env)
        if started:
            stored = started.wait()
            _must(["api", "buckets"], env | stored.admin_environment())
            env |= stored.environment()
        _must(["api", "seed"], env)
        typer.secho(f"\n  It serves at {address}, with docs at {address}/docs", bold=True)
        typer.echo("  Ctrl-C stops it\n")
        raise typer.Exit(_call(["local.serve", HOST, str(port)], env))


def _must(command: list[str], env: Mapping[str, str]) -> None:
    if _call(command, env) != 0:
        raise typer.Exit(_fail(f"{' '.join(command)} failed: see above"))


@app.command()
def postgres() -> None:
    """Keep the embedded Postgres running for commands in other shells. Ctrl-C stops it."""
    with serve(DATA, database=DATABASE, purpose="`make postgres`") as server, suppress(KeyboardInterrupt):
        typer.echo(f"Postgres is running: {server.url(SUPERUSER)}")
        signal.pause()


# What follows the module is the module's: its options, --help among them.
@app.command(name="exec", context_settings={"allow_extra_args": True, "allow_interspersed_args": False})
def execute(module: str, context: typer.Context) -> None:
    """Run a Python module, such as `alembic current`, on the database in MIGRATION_DATABASE_URL and DATABASE_URL.

    If neither is set: on the embedded Postgres, which is started for it unless it is running already. The embedded
    storage is used if it is running.
    """
    command = [module, *context.args]
    if os.environ.get("DATABASE_URL") or os.environ.get("MIGRATION_DATABASE_URL"):
        raise typer.Exit(_call(command, os.environ))
    try:
        with serve(DATA, database=DATABASE, purpose=" ".join(command)) as server:
            raise typer.Exit(_call(command, os.environ | server.environment()))
    except PostgresBusy:
        stored = None if os.environ.get("S3_URL") else storage.running_in(STORAGE)
        env = os.environ | attach(DATA).environment() | (stored.environment() if stored else {})
        raise typer.Exit(_call(command, env)) from None


def _call(command: list[str], env: Mapping[str, str]) -> int:
    """Run `python -m COMMAND` to its end; its exit code. However this process ends, the command ends, too."""
    die = partial(die_with_parent, signal.SIGTERM)
    with subprocess.Popen([sys.executable, "-m", *command], env=env, preexec_fn=die) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # the command gets Ctrl-C, too
            except SystemExit:
                process.terminate()
                process.wait()
                raise


def _why_not(port: int) -> str | None:
    """Why `port` can't be served on; None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error.strerror
    return None


def _fail(message: str) -> int:
    typer.secho(f"error: {message}", err=True, fg="red")
    return 1


if __name__ == "__main__":
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda number, _: sys.exit(128 + number))
    try:
        app()
    except (PostgresError, StorageError) as error:
        sys.exit(_fail(str(error)))
