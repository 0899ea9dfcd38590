"""The images, built once, and a stack that most tests share."""

import os
from collections.abc import Iterator

import pytest

from tests.stack.stack import IMAGES, IPTABLES, REPLICAS, Stack, docker, has_engine, running

# Breaks networks of containers, from within.
IPTABLES_IMAGE = """
FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends iptables
"""


@pytest.fixture(scope="session", autouse=True)
def images() -> Iterator[list[str]]:
    """The stack's images as this checkout builds them, for the time of the tests."""
    if not has_engine():
        if os.environ.get("CI"):
            pytest.fail("no Docker engine answers, and CI needs one")
        pytest.skip("no Docker engine answers")
    Stack(REPLICAS).compose("build")
    docker("build", "--tag", IPTABLES, "-", input=IPTABLES_IMAGE)
    yield IMAGES
    docker("image", "rm", "--force", *IMAGES)


@pytest.fixture(scope="session")
def shared_stack(images: list[str]) -> Iterator[Stack]:  # noqa: ARG001 - built before
    with running(Stack()) as stack:
        yield stack


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """The shared stack, whole again whatever the test before has done to it."""
    shared_stack.compose("up", "--detach", "--wait")
    return shared_stack


@pytest.fixture(scope="session")
def shared_stack_at_work(images: list[str]) -> Iterator[Stack]:  # noqa: ARG001 - built before
    with running(Stack()) as stack:
        yield stack


@pytest.fixture
def stack_at_work(shared_stack_at_work: Stack) -> Stack:
    """The stack that clients are at work on: its records are theirs alone."""
    shared_stack_at_work.compose("up", "--detach", "--wait")
    return shared_stack_at_work
