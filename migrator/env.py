"""The Alembic environment: it tells alembic_online what it has to know of this app."""

from alembic_online import run
from api import __version__
from api.models import Base

run(target_metadata=Base.metadata, application="api", release=__version__, reader_role="zoo_api")
