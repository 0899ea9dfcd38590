"""A port that a test is given is its own."""

import subprocess
import sys

from tests.conftest import ROOT
from tests.ports import find_free_port

IS_GIVEN = "import sys, tests.ports as p; print(*(p.find_free_port() for _ in range(300)), flush=1); sys.stdin.read()"


def test_no_two_processes_are_given_the_same_port_though_nothing_listens_there_yet() -> None:
    command, pipe = [sys.executable, "-c", IS_GIVEN], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as other:  # until its input ends
        assert other.stdout
        given = set(other.stdout.readline().split())
        own = {str(find_free_port()) for _ in range(300)}
    assert len(given | own) == 600
