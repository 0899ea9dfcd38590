"""The images, built once, and stacks that tests share."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.checkouts import clone
from tests.ports import find_free_port
from tests.rounds import POOL_TIMEOUT
from tests.stack.elsewhere import of_somebody_else
from tests.stack.observed import observed as watched
from tests.stack.secret_files import SECRETS_FILE, write_secrets
from tests.stack.stack import COMMIT, IMAGES, NO_STORAGE, PREFIX, REPLICAS, TOOLS, Stack, docker, has_engine, running

# What breaks the networks of containers, from inside their namespace; a registry; and all that a shell needs.
TOOLS_IMAGE = """
FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends busybox-static docker-registry iptables
"""
# In the order of their use: after `releases`, the replicas are of other ones.
SHARED = (
    *("elsewhere", "replicas", "releases", "observed"),
    *("new_stack", "stack", "stack_at_work", "stack_to_change", "bare_stack"),
)
ONE = SHARED[SHARED.index("new_stack") :]  # that become each other


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a stack follow each other; those that need none come first."""

    def shared(item: pytest.Item) -> str | None:
        names: tuple[str, ...] = getattr(item, "fixturenames", ())
        if "new_replicas" in names:  # whatever a module calls them
            return "releases" if "releases" in names else "replicas"
        return max((name for name in names if name in SHARED), key=SHARED.index, default=None)

    items.sort(key=lambda item: -1 if (name := shared(item)) is None else SHARED.index(name))
    for item in items:
        if shared(item) in ONE:
            item.add_marker("one_stack")


@pytest.fixture(scope="session", autouse=True)
def images() -> Iterator[list[str]]:
    """The stack's images, built from this checkout, until the tests end."""
    if not has_engine():
        if os.environ.get("CI"):
            pytest.fail("no Docker engine answers, and CI needs one")
        pytest.skip("no Docker engine answers")
    with ThreadPoolExecutor() as threads:
        tools = threads.submit(docker, "build", "--tag", TOOLS, "-", input=TOOLS_IMAGE)
        stack = Stack(REPLICAS)
        stack.environment |= COMMIT
        stack.compose("build")
        tools.result()
    yield IMAGES
    docker("image", "rm", "--force", *IMAGES, f"{PREFIX}pgbouncer:1.26")  # which some tests have built


class Shared:
    """The stack that tests share at the moment. Another one takes its place, because each costs work while it runs."""

    def __init__(self, stacks: ExitStack) -> None:
        self.stacks, self.kind, self.stack = stacks, "", Stack()

    def get(self, kind: str, stack: AbstractContextManager[Stack]) -> Stack:
        """The stack of this kind that is there, or else this one, started."""
        if kind != self.kind:
            self.kind = ""
            self.stacks.close()
            self.stack, self.kind = self.stacks.enter_context(stack), kind
        return self.stack


@pytest.fixture(scope="session")
def shared(images: list[str]) -> Iterator[Shared]:  # noqa: ARG001 - built before
    with ExitStack() as stacks:
        yield Shared(stacks)


@pytest.fixture(scope="session")
def doctors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout in which `doctor` is run."""
    return clone(tmp_path_factory.mktemp("doctor") / "checkout")


@pytest.fixture
def doctor(doctors: Path) -> Callable[..., dict[str, str]]:
    """Runs `make doctor`: what it found, and how each is mended."""

    def run(*before: str, **changes: str) -> dict[str, str]:
        ports = {name: str(find_free_port()) for name in ("STORAGE_PORT", "API_PORT")}
        command = [*before, "make", "--silent", "doctor"]
        done = subprocess.run(
            command, cwd=doctors, env=os.environ | ports | changes, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) == (done.stdout == "nothing is missing\n"), done.stdout + done.stderr
        return dict(re.findall(r"^(\S.*)\n    (\S.*)$", done.stdout, re.MULTILINE))

    return run


@pytest.fixture
def elsewhere(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The stack of somebody else's checkout, with mail. No test takes away what it is."""
    return shared.get("elsewhere", of_somebody_else(tmp_path_factory.mktemp("elsewhere")))


@pytest.fixture(scope="session")
def secret_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the replicas' secrets, in which compose.yml names them."""
    folder = tmp_path_factory.mktemp("secrets")
    write_secrets(folder)
    return folder


@pytest.fixture
def new_replicas(shared: Shared, secret_files: Path) -> Stack:
    """Two replicas behind the proxy in production, as the test before has left them.

    Requests have the ids of traces, of which none is sent anywhere.
    """
    new = Stack(
        *(SECRETS_FILE, secret_files / "compose.yml", REPLICAS),
        ENVIRONMENT="production",
        SMTP_URL="smtp://zoo@mail",
        DATABASE_POOL_TIMEOUT=POOL_TIMEOUT,
        DATABASE_CONNECT_TIMEOUT=POOL_TIMEOUT,  # each new replica opens its own, and one took 2 s on a busy machine
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318",
        OTEL_TRACES_SAMPLER="always_off",
    )
    return shared.get("replicas", running(new))


@pytest.fixture
def replicas(new_replicas: Stack) -> Stack:
    """The same, intact again."""
    new_replicas.make_intact()
    return new_replicas


@pytest.fixture
def observed(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack that is watched; each test mends what it breaks."""
    return shared.get("observed", watched(tmp_path_factory.mktemp("observed")))


@pytest.fixture
def new_stack(shared: Shared) -> Stack:
    """A stack as it was started."""
    return shared.get("stack", running(Stack()))


@pytest.fixture
def stack(new_stack: Stack) -> Stack:
    """The shared stack, intact again, whatever the test before has done to it."""
    new_stack.make_intact()
    return new_stack


@pytest.fixture
def stack_at_work(stack: Stack) -> Stack:
    """The stack without any records, for tests with clients at work."""
    stack.sql("postgres", "TRUNCATE exhibits, animals RESTART IDENTITY CASCADE")
    return stack


@pytest.fixture
def stack_to_change(new_stack: Stack) -> Stack:
    """The shared stack as the test before has left it, for tests that start the api with settings of their own."""
    new_stack.was_changed = True
    return new_stack


@pytest.fixture
def bare_stack(shared: Shared) -> Stack:
    """A stack of which only the database runs, which is new; it has no storage. It takes the place of the whole one."""
    if shared.kind == "stack":
        shared.kind, stack = "bare", shared.stack
        stack.compose("rm", "--stop", "--force", "buckets", "storage")
        stack.files = (*stack.files, NO_STORAGE)
        stack.environment["S3_UPLOAD_URL"] = ""
    stack = shared.get("bare", running(Stack(NO_STORAGE, S3_UPLOAD_URL=""), "db"))
    stack.compose("up", "--detach", "--wait", "--remove-orphans", "db")
    stack.compose("rm", "--stop", "--force", "api", "seed", "migrator")
    stack.sql("postgres", "DROP DATABASE zoo WITH (FORCE)", database="postgres")
    stack.sql("postgres", "CREATE DATABASE zoo", database="postgres")
    stack.exec("db", "/docker-entrypoint-initdb.d/10-roles.sh")
    return stack
