"""Secrets in files, for docker-compose.secrets.yml, as editors write them."""

import base64
import json
import re
import secrets
from itertools import cycle
from pathlib import Path

from tests.conftest import ROOT

SECRETS_FILE = ROOT / "docker-compose.secrets.yml"
NASTY = "16 and more: $HOME ${x} #%@/:?&=+ \"d\" 'q' `b` \\n é雪"
AROUND = ("{}", "{}\n", "{}\r\n", "\ufeff{}\r\n", " \t{} \n\n")


def strong() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def write_secrets(folder: Path) -> None:
    """Write them into `folder`, and compose.yml, which names them. There is no pooler until its URL is written."""
    names = re.findall(r"^  (\w+): \{file: ", SECRETS_FILE.read_text(), re.MULTILINE)
    assert "database_password" in names
    for name, form in zip(names, cycle(AROUND), strict=False):
        # Keys of S3 are letters and digits.
        secret = strong() if name.startswith("s3_") else f"{name}, {NASTY}"
        if name == "migrator_pooler_url":
            secret = ""
        (folder / name).write_bytes(form.format(secret).encode())
    named = {"secrets": {name: {"file": str(folder / name)} for name in names}}
    (folder / "compose.yml").write_text(json.dumps(named))
