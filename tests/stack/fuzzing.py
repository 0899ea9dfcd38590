"""Requests of all kinds, made from the OpenAPI document by schemathesis, and their answers compared with it."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.rounds import rounds
from tests.stack.stack import Stack

CONFIG = ROOT / "tests" / "stack" / "schemathesis.toml"


def fuzz(stack: Stack, token: str, folder: Path, *operations: str) -> None:
    """Send requests of these operations with a token, and require that the document describes each answer."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    command += [f"{stack.address}/openapi.json", "--header", f"Authorization: Bearer {token}", *operations]
    command += ["--max-examples", rounds(quick="5", full="30")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-8000:]
