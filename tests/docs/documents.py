"""Runs the commands in Markdown files, and compares their output."""

import os
import re
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

from local.postgres import DATABASE, serve
from tests.conftest import FAST_AND_FORGETFUL, find_free_port, uncoloured

PORT = re.compile(r"\b80[1-9]\d\b")
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_document(path: Path, checkout: Path) -> None:
    """Run the `sh` blocks of a document, one shell each; the output of the last one has the lines of a `text` block.

    They are in this order, with anything between them; `...` in a line stands for any text. The checkout's Postgres is
    kept running, so that not each of the many commands starts it. Ports in the document are replaced by free ones, and
    processes that its blocks leave in the background are ended.
    """
    with serve(checkout / ".data" / "postgres", FAST_AND_FORGETFUL, DATABASE), ExitStack() as background:
        _run_blocks(_with_free_ports(path.read_text()), checkout, background)


def _with_free_ports(document: str) -> str:
    for port in set(PORT.findall(document)):
        document = document.replace(port, str(find_free_port()))
    return document


def _end(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)


def _run_blocks(document: str, checkout: Path, background: ExitStack) -> None:
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "CI"}}
    environment["LOG_FORMAT"] = "text"  # as on the reader's terminal
    printed = ""
    for kind, content in BLOCK.findall(document):
        if kind == "sh":
            with subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", content],
                cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                start_new_session=True,
            ) as shell:  # fmt: skip
                background.callback(_end, shell.pid)
                printed = uncoloured(shell.communicate()[0])
            assert shell.returncode == 0, f"{content}\n{printed}"
        else:
            lines = [".*".join(re.escape(part) for part in line.strip().split("...")) for line in content.splitlines()]
            assert re.search(".*".join(lines), printed, re.DOTALL), f"{content}\nis not in\n{printed}"
