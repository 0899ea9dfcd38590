"""An app's migrations, and all that the tool knows of the app, which only its env.py says.

Settings for all of its databases are beside Alembic's own configuration: `[tool.alembic_online]` in pyproject.toml, or
the section `[alembic_online]` of alembic.ini.
"""

import os
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import MetaData

from alembic_online.compare.enums import enum_of
from alembic_online.errors import ConfigurationError, MigratorError
from alembic_online.loading import in_a_line, load_revisions

FOUND = "alembic_online.found"  # in Config.attributes: if it is set, env.py adds its project to it, and runs nothing


@dataclass(frozen=True)
class Project:
    """What the app's env.py passes to `alembic_online.run`, with Alembic's configuration and its revisions.

    Sessions of the app are named `<application>@<release>`. `reader_role` is the role that only reads the tool's own
    tables; None if the migrating role is the only one.

    `lint_after`, in the tool's section of the configuration, is the baseline: it, and those before it, are not linted.
    """

    config: Config
    scripts: ScriptDirectory
    metadata: MetaData
    application: str
    release: str
    reader_role: str | None = None

    @property
    def schemas(self) -> set[str]:
        """The schemas that the models name, for tables, types or sequences; what is without one is in the connection's
        schema, usually `public`.
        """
        tables = self.metadata.tables.values()
        types = (enum_of(column.type) for table in tables for column in table.columns)
        sequences = self.metadata._sequences.values()  # noqa: SLF001 - there is no other list
        return {each.schema for each in (*tables, *types, *sequences) if each is not None and each.schema is not None}

    @property
    def root(self) -> Path:
        """The folder of Alembic's configuration."""
        named = [self.config.toml_file_name, self.config.config_file_name]
        files = [Path(name).absolute() for name in named if name is not None]
        return next((file.parent for file in files if file.exists()), Path.cwd())

    def option(self, name: str) -> str | None:
        """A value of the tool's section of the configuration; ConfigurationError if it is not a string."""
        value = self.config.get_section("alembic_online", {}).get(name)
        if value is None and (file := Path(self.config.toml_file_name or "")).is_file():
            value = tomllib.loads(file.read_text()).get("tool", {}).get("alembic_online", {}).get(name)
        if not isinstance(value, str | None):
            raise ConfigurationError(f"{name} in [tool.alembic_online] is {value!r}: write a string")
        return value

    def is_linted(self, revision: str) -> bool:
        """Whether the revision is linted: all are, or those after `lint_after`."""
        return revision not in self._as_they_are

    @cached_property
    def _as_they_are(self) -> frozenset[str]:
        """`lint_after`, and all before it; ConfigurationError if it is not a revision."""
        baseline = self.option("lint_after")
        if baseline is None:
            return frozenset()
        try:
            self.scripts.get_revision(baseline)
        except CommandError as error:
            raise ConfigurationError(f"lint_after names a revision that does not exist: {error}") from error
        return frozenset(found.revision for found in self.scripts.iterate_revisions(baseline, "base"))


def load_project() -> Project:
    """The project whose configuration `alembic` would find here, with its revisions loaded.

    ConfigurationError if there is none, or if env.py or a revision can't be loaded.
    """
    config = find_config()
    found: list[Project] = []
    config.attributes[FOUND] = found
    scripts = ScriptDirectory.from_config(config)
    # An env.py that does not use the tool connects to the database: it finds nothing to run, and creates nothing there.
    with EnvironmentContext(config, scripts, fn=lambda *_: [], dont_mutate=True):
        try:
            scripts.run_env()
        except (MigratorError, CommandError):
            raise
        except (Exception, SystemExit) as error:
            raise ConfigurationError(f"{scripts.env_py_location} can't be loaded: {in_a_line(error)}") from error
    if not found:
        raise ConfigurationError(
            f"{scripts.env_py_location} does not call alembic_online.run(), so the tool does not know the models"
        )
    del config.attributes[FOUND]
    load_revisions(scripts)
    return found[0]


def find_config() -> Config:
    """Alembic's configuration, where `alembic` finds it: ALEMBIC_CONFIG, alembic.ini, pyproject.toml."""
    given = os.environ.get("ALEMBIC_CONFIG", "")
    is_toml = Path(given).name == "pyproject.toml"
    return Config(
        file_="alembic.ini" if is_toml or not given else given,
        toml_file=given if is_toml else "pyproject.toml",
    )
