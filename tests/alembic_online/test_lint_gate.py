"""What is linted before a run begins."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory

from alembic_online.errors import ConfigurationError
from alembic_online.runs.lint_gate import gate
from tests.alembic_online.zoo import ZOO

UNSAFE = """
from alembic import op
revision, down_revision = "unsafe", None
def upgrade(): op.execute("ALTER TABLE animals ALTER name TYPE varchar(9)")
def downgrade(): pass
"""


@pytest.mark.parametrize("baseline", [None, "unsafe"])
def test_a_revision_that_is_not_safe_is_not_begun_unless_the_baseline_has_it(
    tmp_path: Path, baseline: str | None
) -> None:
    (tmp_path / "unsafe.py").write_text(UNSAFE)
    config = Config()
    if baseline:
        config.set_section_option("alembic_online", "lint_after", baseline)
    scripts = ScriptDirectory(str(tmp_path), version_locations=[str(tmp_path)])
    planned = [RevisionStep(scripts.revision_map, scripts.get_revision("unsafe"), True)]
    steps = gate(lambda *_: planned, replace(ZOO, config=config, scripts=scripts))
    context: Any = None
    if baseline:
        assert steps((), context) == planned
    else:
        with pytest.raises(ConfigurationError, match="Nothing was begun: correct it"):
            steps((), context)
