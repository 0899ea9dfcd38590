"""The Alembic environment: what the tool has to know of this app is said here."""

from alembic_online import run
from api import __version__
from api.models import Base

run(target_metadata=Base.metadata, application="api", release=__version__, reader_role="zoo_api")
