"""Requests of all kinds, made from the OpenAPI document by schemathesis, and their answers compared with it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.rounds import rounds
from tests.stack.stack import Stack
from tests.users import HASHED_PASSWORD

CONFIG = ROOT / "tests" / "stack" / "schemathesis.toml"
CLIENTS = ROOT / "tests" / "stack" / "clients.py"
USERS = f"""
WITH made AS (
    INSERT INTO users (id, email, hashed_password, type, is_active)
    SELECT gen_random_uuid(), 'user-' || number || '@zoo.example', '{HASHED_PASSWORD}', 'admin', true
    FROM generate_series(1, {rounds(quick=5_000, full=100_000)}) AS number
    RETURNING id, split_part(email, '@', 1) AS name
)
INSERT INTO access_tokens (token, user_id, created_at)
SELECT encode(sha256(name::bytea), 'hex'), id, statement_timestamp() FROM made
"""


def fuzz(stack: Stack, folder: Path) -> None:
    """Send requests of all operations, each of another admin; the document has to describe each answer.

    In the quick form those that schemathesis deduces from the document, at all its bounds, and chains of them; the full
    form has random ones, too.
    """
    stack.sql("postgres", USERS)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    command += [f"{stack.address}/openapi.json", "--header", "Authorization: Bearer anybody"]
    command += rounds(quick=["--phases", "coverage,stateful", "--max-examples", "5"], full=["--max-examples", "30"])
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"SCHEMATHESIS_HOOKS": str(CLIENTS)},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:]
    assert "Authentication failed" not in done.stdout  # that none of an operation's requests was let in
