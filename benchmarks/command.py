"""What a command takes: its time, its CPU, and its memory."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

from benchmarks.stack import ROOT

# The most memory that a process ever had counts from before its exec, when it was still its parent: so the parent is
# this small one.
PARENT = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
seconds = time.perf_counter() - began
print(json.dumps([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Taken(NamedTuple):
    """What a command took."""

    seconds: float
    cpu: float  # seconds, of user and system
    peak: int  # bytes of memory (RSS) at most


def run(command: Sequence[str], environment: Mapping[str, str], file: IO[bytes] | None = None) -> Taken:
    """Run it in the checkout to its end, with `file` as its input; what it prints is dropped.

    Raises `subprocess.CalledProcessError` if it fails.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PARENT, *command],
        cwd=ROOT, env=environment, stdin=file, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return Taken(*json.loads(done.stdout))
