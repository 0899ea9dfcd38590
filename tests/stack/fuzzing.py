"""Requests of all kinds, made from the OpenAPI document by schemathesis, and their answers compared with it."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.rounds import rounds
from tests.stack.stack import Stack

CONFIG = ROOT / "tests" / "stack" / "schemathesis.toml"


def fuzz(stack: Stack, token: str, folder: Path, *operations: str) -> None:
    """Send requests of these operations with a token, and require that the document describes each answer.

    In the quick form those that schemathesis deduces from the document, at all its bounds, and chains of them; the full
    form has random ones, too.
    """
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    command += [f"{stack.address}/openapi.json", "--header", f"Authorization: Bearer {token}", *operations]
    command += rounds(quick=["--phases", "coverage,stateful", "--max-examples", "5"], full=["--max-examples", "30"])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-8000:]
