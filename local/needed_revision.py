"""`python -m local.needed_revision`: the api needs the newest revision that takes nothing away; write that into it."""

import re
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_online.runs.contract import is_contract

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "api" / "database" / "engine.py"
NEEDED = re.compile(r'^SCHEMA_REVISION = ".*"', re.MULTILINE)


def main() -> None:
    """Set SCHEMA_REVISION in api/database/engine.py."""
    script = ScriptDirectory.from_config(Config(toml_file=str(ROOT / "pyproject.toml")))
    newest = next(found.revision for found in script.walk_revisions() if not is_contract(found))
    ENGINE.write_text(NEEDED.sub(f'SCHEMA_REVISION = "{newest}"', ENGINE.read_text()))


if __name__ == "__main__":
    main()
