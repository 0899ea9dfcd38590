"""The whole OpenAPI document against the real server: whatever is sent, no 5xx, and no answer it does not describe."""

import subprocess
import sys
from pathlib import Path

from local.postgres import Server
from tests.api.live import live_api
from tests.conftest import ROOT, uncoloured


def test_no_request_gets_an_answer_that_is_not_in_the_document(
    server: Server, database: str, free_port: int, tmp_path: Path
) -> None:
    with live_api(server.environment(database), free_port) as address:
        done = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "tests/api/schemathesis.toml"),
                "run", f"{address}/openapi.json",
            ],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, uncoloured(done.stdout)[-8000:]
