"""A port that a test is given is its own."""

import subprocess
import sys
from subprocess import PIPE

from tests.conftest import ROOT
from tests.ports import find_free_port

IS_GIVEN = "import sys, tests.ports as p; print(*(p.find_free_port() for _ in range(300)), flush=1); sys.stdin.read()"


def is_given_ports() -> "subprocess.Popen[str]":
    """A process that prints the ports that it is given, and keeps them until its standard input ends."""
    return subprocess.Popen([sys.executable, "-c", IS_GIVEN], cwd=ROOT, text=True, stdin=PIPE, stdout=PIPE)


def test_no_two_processes_are_given_the_same_port_though_nothing_listens_there_yet() -> None:
    with is_given_ports() as one, is_given_ports() as another:
        assert one.stdout
        assert another.stdout
        given = {*one.stdout.readline().split(), *another.stdout.readline().split()}
        own = {str(find_free_port()) for _ in range(300)}
    assert len(given | own) == 900
