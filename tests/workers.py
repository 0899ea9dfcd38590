"""pytest-xdist's workers, forked from a process that has imported the tests, which is most of the work before they run.

That needs Linux; elsewhere, and if not all can be imported, a worker is started as usual.
"""

import os
import shlex
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from tests import forked
from tests.forkserver import listen, serve_others


def start_forking(arguments: Sequence[str], running: ExitStack) -> str | None:
    """Fork a process that imports what pytest finds by these arguments; returns the command that starts a worker.

    To be called before this process has threads, or files that are removed at its end.
    """
    if sys.platform != "linux":
        return None
    folder = tempfile.mkdtemp(prefix="zoo-workers-", dir="/tmp")  # a socket's path has at most 107 bytes
    path = f"{folder}/socket"
    listening = listen(path)
    if os.fork() == 0:
        try:
            if _imports_all(arguments):
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # workers have a handler of their own
                serve_others(listening)
        except BaseException:  # noqa: BLE001 - it must not go on as the process from which it was forked
            traceback.print_exc()
        finally:
            os._exit(1)
    listening.close()
    running.callback(shutil.rmtree, folder)
    return shlex.join([sys.executable, "-IS", forked.__file__, path])


def _imports_all(arguments: Sequence[str]) -> bool:
    """Import the tests; False if a module can't be imported, or is skipped, which each worker has to see itself."""
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__  # pytest has exchanged them
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    collected = Collected()
    pytest.main([*arguments, "--numprocesses=0", "--collect-only", "--capture=no"], plugins=[collected])
    return collected.all_passed


class Collected:
    """A plugin of pytest: modules are imported, but no tests are made of them."""

    all_passed = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self) -> list[pytest.Item]:
        return []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.all_passed &= report.passed
