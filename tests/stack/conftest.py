"""The images, built once, and stacks that tests share."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.stack.stack import IMAGES, IPTABLES, REPLICAS, Stack, docker, has_engine, running

SERVICES = ("db", "migrator", "storage", "buckets", "api")
# Breaks the networks of containers, from inside their namespace.
IPTABLES_IMAGE = """
FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends iptables
"""


@pytest.fixture(scope="session", autouse=True)
def images() -> Iterator[list[str]]:
    """The stack's images, built from this checkout, until the tests end."""
    if not has_engine():
        if os.environ.get("CI"):
            pytest.fail("no Docker engine answers, and CI needs one")
        pytest.skip("no Docker engine answers")
    with ThreadPoolExecutor() as threads:
        iptables = threads.submit(docker, "build", "--tag", IPTABLES, "-", input=IPTABLES_IMAGE)
        Stack(REPLICAS).compose("build")
        iptables.result()
    yield IMAGES
    docker("image", "rm", "--force", *IMAGES)


@pytest.fixture(scope="session")
def new_stack(images: list[str]) -> Iterator[tuple[Stack, dict[str, Any]]]:  # noqa: ARG001 - built before
    """A stack that many tests share, and what Docker said about its containers when it was new."""
    with running(Stack()) as stack:
        yield stack, {service: stack.inspect(service) for service in SERVICES}


@pytest.fixture
def stack(new_stack: tuple[Stack, dict[str, Any]]) -> Stack:
    """The shared stack, intact again, whatever the test before has done to it."""
    shared, _ = new_stack
    shared.make_intact()
    return shared


@pytest.fixture(scope="session")
def shared_bare_stack(images: list[str]) -> Iterator[Stack]:  # noqa: ARG001 - built before
    with running(Stack(), "db") as stack:
        yield stack


@pytest.fixture
def bare_stack(shared_bare_stack: Stack) -> Stack:
    """A stack of which only the database runs, which is new."""
    shared_bare_stack.compose("rm", "--stop", "--force", "api", "migrator")
    shared_bare_stack.sql("postgres", "DROP DATABASE zoo WITH (FORCE)", database="postgres")
    shared_bare_stack.sql("postgres", "CREATE DATABASE zoo", database="postgres")
    shared_bare_stack.compose("exec", "--no-TTY", "db", "/docker-entrypoint-initdb.d/10-roles.sh")
    return shared_bare_stack


@pytest.fixture(scope="session")
def shared_replicas(images: list[str]) -> Iterator[Stack]:  # noqa: ARG001 - built before
    with running(Stack(REPLICAS)) as stack:
        yield stack


@pytest.fixture
def replicas(shared_replicas: Stack) -> Stack:
    """Two replicas behind the proxy, intact again."""
    shared_replicas.make_intact()
    return shared_replicas


@pytest.fixture(scope="session")
def shared_stack_at_work(images: list[str]) -> Iterator[Stack]:  # noqa: ARG001 - built before
    with running(Stack()) as stack:
        yield stack


@pytest.fixture
def stack_at_work(shared_stack_at_work: Stack) -> Stack:
    """The stack for tests with clients at work: only these change its records."""
    shared_stack_at_work.make_intact()
    return shared_stack_at_work
