"""Runs the commands in Markdown files, and compares their output."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from local.postgres import DATABASE, serve
from tests.conftest import FAST_AND_FORGETFUL, uncoloured
from tests.ports import find_free_port
from tests.python import HANGS

PORT = re.compile(r"\b80[1-9]\d\b")
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_documents(paths: Sequence[Path], checkout: Path) -> None:
    """Run the `sh` blocks of documents, one shell each; the output of the last one has the lines of a `text` block.

    They are in this order, with anything between them; `...` in a line stands for any text. The checkout's Postgres is
    kept running, so that not each of the many commands starts it. Ports in the documents are replaced by free ones, and
    processes that its blocks leave in the background are ended.
    """
    with serve(checkout / ".data" / "postgres", FAST_AND_FORGETFUL, DATABASE), ExitStack() as background:
        for path in paths:
            run_blocks(_with_free_ports(path.read_text()), checkout, background)


def _with_free_ports(document: str) -> str:
    for port in set(PORT.findall(document)):
        document = document.replace(port, str(find_free_port()))
    return document


def _end(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)


def run_blocks(document: str, checkout: Path, background: ExitStack) -> None:
    """Run the `sh` blocks of a text, and compare the output of the last one with a `text` block."""
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


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECRETS = {"TOKEN": "access_token", "UPLOAD_URL": "url"}


def run_requests(text: str, address: str, checkout: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run the `curl` commands of the `console` blocks against `address`; what the last one has printed.

    Each prints what is shown below it, where `...` stands for any text; times are others. The variables of SECRETS have
    the values that were printed last. An answer that says what is about to happen is asked for until it has.
    """
    found = dict(environment or {})
    printed = ""
    for block in CONSOLE.findall(text):
        for command, _, shown in (each.partition("\n") for each in block.removeprefix("$ ").split("\n$ ")):
            if not command.startswith("curl "):
                continue
            deadline = time.monotonic() + HANGS
            pattern = ".*".join(re.escape(part) for part in TIME.sub("...", shown.strip()).split("..."))
            while True:
                printed = subprocess.check_output(
                    ["bash", "-c", command.replace("http://127.0.0.1:8000", address)],
                    cwd=checkout, env=os.environ | found, stderr=subprocess.DEVNULL, text=True,
                )  # fmt: skip
                if re.fullmatch(pattern, printed.replace("\r\n", "\n").strip(), re.DOTALL):
                    break
                repeatable = command.startswith("curl http") and " -" not in command
                assert repeatable, f"{command}\nprinted\n{printed}"
                assert time.monotonic() < deadline, f"{command}\nprinted\n{printed}"
                time.sleep(0.1)
            found |= {
                name: value[1]
                for name, field in SECRETS.items()
                if (value := re.search(f'"{field}":"([^"]+)"', printed))
            }
    return printed


def section(document: Path, heading: str) -> str:
    """The part of a document below the line `heading`, up to the next heading of its level."""
    level = heading.partition(" ")[0]
    below = document.read_text().partition(f"\n{heading}\n")[2]
    return below.partition(f"\n{level} ")[0]
