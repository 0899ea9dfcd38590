"""A process that is forked from one with the libraries loaded is like any other (tests/python.py)."""

import inspect
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.checkouts import copy_checkout, linked_checkout, write_quick_python
from tests.conftest import SOCKET_DIR
from tests.python import ROOT, Python, run

ENV = {"PATH": os.environ["PATH"], "ONLY": "this"}
SLEEP = "import time; print('here', flush=True); time.sleep(60)"


def test_it_has_the_environment_the_folder_and_the_files_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'beside'")
    code = "import beside, os, sys; print(dict(os.environ), os.getcwd(), input(), beside.NAME); sys.exit('bad')"
    done = run("-c", code, env=ENV, cwd=tmp_path, stdin="told\n")
    assert (done.returncode, done.stdout) == (1, f"{ENV} {tmp_path} told beside\n")
    assert done.stderr == "bad\n"


@pytest.mark.parametrize("said", [0, 3, 256 + 3, None], ids=str)
def test_it_ends_as_any_other_with_its_threads_and_what_is_to_be_done_at_its_end(said: int | None) -> None:
    code = (
        "import atexit, sys, threading, time; atexit.register(print, 'at the end', end='')\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('a thread'))).start()\n"
        f"print('error', file=sys.stderr, end=''); sys.exit({said})"
    )
    done = run("-c", code, env=ENV)
    assert (done.returncode, done.stdout, done.stderr) == ((said or 0) % 256, "a thread\nat the end", "error")


def test_a_failure_of_it_is_a_traceback() -> None:
    done = run("-c", "1 / 0", env=ENV)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_no_library_has_noted_where_it_was_imported(tmp_path: Path) -> None:
    done = run("-c", "import gunicorn.config as c; print(c.Chdir.default)", env=ENV, cwd=tmp_path)
    assert done.stdout == f"{tmp_path}\n"


WHERE = "import sys; print('api.main' in sys.modules, __import__('api').__file__)"


@pytest.mark.parametrize(("own", "is_imported"), [((), True), (("api",), False)])
def test_it_has_the_modules_of_its_own_checkout_and_of_no_other(
    tmp_path: Path, own: tuple[str, ...], is_imported: bool
) -> None:
    checkout = linked_checkout(tmp_path, own)
    there = ROOT if is_imported else checkout
    assert run("-c", WHERE, env=ENV, cwd=checkout).stdout == f"{is_imported} {there / 'api' / '__init__.py'}\n"


def test_it_is_its_callers_child_and_ends_by_a_signal_as_such() -> None:
    with Python("-c", SLEEP, env=ENV, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        assert psutil.Process(process.pid).ppid() == os.getpid()
        process.kill()
        assert process.wait() == -signal.SIGKILL


def test_an_interrupt_reaches_it_whatever_started_the_tests() -> None:
    with Python("-c", SLEEP, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert said.endswith(b"KeyboardInterrupt\n")


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A checkout's Python, whose `-m local` is forked."""
    write_quick_python(tmp_path / "python")
    return tmp_path / "python"


def test_that_of_a_checkout_has_its_environment_folder_and_files_too_and_its_exit_code(quick: Path) -> None:
    (quick.parent / "local.py").write_text(
        "import os, sys; print(os.environ['ONLY'], os.getcwd(), input(), sys.argv[1:], sys.executable); sys.exit('bad')"
    )
    command = [str(quick), "-m", "local", "an argument"]
    done = subprocess.run(
        command, cwd=quick.parent, env=ENV, input="told\n", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "bad\n")
    assert done.stdout == f"this {quick.parent} told ['an argument'] {quick}\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_that_of_a_checkout_too(quick: Path, signum: signal.Signals) -> None:
    (quick.parent / "local.py").write_text(SLEEP)
    command = [str(quick), "-m", "local"]
    with subprocess.Popen(
        command, cwd=quick.parent, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signum)
        _, said = process.communicate()
    assert process.returncode == -signum
    assert said.endswith(b"KeyboardInterrupt\n") == (signum == signal.SIGINT)


def test_what_can_not_be_imported_is_an_error_whoever_has_imported_the_rest(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "zoo")
    (checkout / "tests" / "test_broken.py").write_text("def test_before(): pass\nimport no_such_module\n")
    environment = {name: value for name, value in os.environ.items() if name not in {SOCKET_DIR, "TMPDIR"}}
    command = [sys.executable, "-m", "pytest", "--numprocesses=2", "tests/test_broken.py", "tests/test_ports.py"]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert "No module named 'no_such_module'" in done.stdout, done
    assert re.search(r"= \d+ passed, 1 error in", done.stdout)
    assert done.returncode == 1


def test_subprocess_has_the_options_in_the_order_that_is_relied_on() -> None:
    names = list(inspect.signature(subprocess.Popen._execute_child).parameters)  # type: ignore[attr-defined]  # noqa: SLF001
    assert names[2:17] == [
        "executable", "preexec_fn", "close_fds", "pass_fds", "cwd", "env", "startupinfo", "creationflags", "shell",
        "p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite",
    ]  # fmt: skip
