"""An app's migrations, and all that is known here of the app: its env.py says it, and nothing else does."""

import os
from dataclasses import dataclass
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData

from alembic_online.errors import ConfigurationError

FOUND = "alembic_online.found"  # of a Config's attributes: where env.py puts what it says, and then runs nothing


@dataclass(frozen=True)
class Project:
    """What the app's env.py has given to `alembic_online.run`, with Alembic's configuration and its revisions.

    Sessions of the app are named `<application>@<release>`. `reader_role` is the role that only reads the tool's own
    tables; None where there is no other role than the one that migrates.
    """

    config: Config
    scripts: ScriptDirectory
    metadata: MetaData
    application: str
    release: str
    reader_role: str | None = None

    @property
    def root(self) -> Path:
        """The folder that Alembic's configuration is in."""
        named = [self.config.toml_file_name, self.config.config_file_name]
        files = [Path(name).absolute() for name in named if name is not None]
        return next((file.parent for file in files if file.exists()), Path.cwd())


def load_project() -> Project:
    """The project whose configuration `alembic` would find here. ConfigurationError where there is none."""
    config = find_config()
    found: list[Project] = []
    config.attributes[FOUND] = found
    scripts = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, scripts, fn=lambda *_: []):  # with another env.py nothing is run either
        scripts.run_env()
    if not found:
        raise ConfigurationError(
            f"{scripts.env_py_location} does not say what there is to migrate: have it call alembic_online.run()"
        )
    del config.attributes[FOUND]
    return found[0]


def find_config() -> Config:
    """Alembic's configuration, from where `alembic` takes it: ALEMBIC_CONFIG, alembic.ini, pyproject.toml."""
    given = os.environ.get("ALEMBIC_CONFIG", "")
    is_toml = Path(given).name == "pyproject.toml"
    return Config(
        file_="alembic.ini" if is_toml or not given else given,
        toml_file=given if is_toml else "pyproject.toml",
    )
