"""`docker compose watch`, in a checkout whose files change."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from api.database.engine import SCHEMA_REVISION
from tests.rounds import rounds
from tests.stack.stack import Stack, run_docker


@contextmanager
def watching(stack: Stack, log: Path) -> Iterator[None]:
    """The api as `docker compose watch` needs it, and that command until the block ends."""
    stack.compose("up", "--detach", "--wait", "--no-deps", "api")
    with log.open("w") as output:
        command = stack.command("watch", "--no-up")
        with subprocess.Popen(command, env=stack.environment, stdout=output, stderr=output) as process:
            try:
                until(lambda: "Watch enabled" in log.read_text() or "watching" in log.read_text(), log)
                yield
            finally:
                process.terminate()


def until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)


def test_code_is_copied_requirements_build_anew_and_a_revision_is_migrated(elsewhere: Stack, tmp_path: Path) -> None:
    """The last test on that stack, whose images are others then."""
    stack, checkout, log = elsewhere, elsewhere.root, tmp_path / "log"

    def status_of(path: str) -> int:
        try:
            return stack.get(path).status_code
        except httpx.TransportError:  # it is being replaced
            return 0

    def image() -> str:
        """Of which the api's container is; nothing while there is none."""
        return run_docker("inspect", "--format", "{{.Image}}", stack.container("api"), check=False).stdout

    with stack.changed(checkout / "docker-compose.watch.yml"), watching(stack, log):
        before = image()
        health = checkout / "api" / "routers" / "health.py"
        health.write_text(health.read_text() + '\n\n@router.get("/new")\nasync def new() -> None: ...\n')
        until(lambda: status_of("/health/new") == 200, log)
        assert image() == before

        (checkout / "migrator" / "versions" / "2099_01_01_0000-new.py").write_text(
            f'"""New."""\nfrom alembic import op\nrevision = "new"\ndown_revision = "{SCHEMA_REVISION}"\n'
            'def upgrade():\n    op.execute("CREATE TABLE new ()")\n'
        )
        until(lambda: stack.sql("postgres", "SELECT to_regclass('new')").stdout == "new\n", log)

        # In the quick form they stay the same, or all would be installed anew; the image is another one all the same.
        (checkout / "seed" / "new").touch()
        requirements = checkout / "requirements" / "api.txt"
        requirements.write_text(rounds(quick="", full="# another\n") + requirements.read_text())
        until(lambda: image() not in {before, ""} and status_of("/health/new") == 200, log)
