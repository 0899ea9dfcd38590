"""The project that migrator/env.py describes."""

from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_online.project import Project
from api import __version__
from api.models import Base
from tests.conftest import ROOT

_CONFIG = Config(toml_file=ROOT / "pyproject.toml")
ZOO = Project(_CONFIG, ScriptDirectory.from_config(_CONFIG), Base.metadata, "api", __version__, "zoo_api")
