"""How a run can fail; each error has the exit code that tells a platform what to do about it.

MigratorError
├── ConfigurationError      3  nothing was tried; correct the settings or the revisions
├── DatabaseUnreachable     4  nothing was tried; run again when the database is there
├── LocksNotObtained        5  rolled back; run again, perhaps at a quieter time
├── LockLost                5  rolled back; run again
├── ChangedRevision         6  nothing was tried; a file that was applied has been edited
├── UnknownRevision         6  nothing was tried; the database was changed by somebody else
├── ReleaseBelowFloor       6  nothing was tried; the schema has lost what this release of the app uses
├── SchemaDrift             6  all is applied, but the schema differs from the models
├── ReleaseInTheWay         7  a contract revision was not begun; a release at work needs what it takes away, or is
│                              still there after a rollout
├── ContractInTheWay        7  nothing was tried; a contract revision has to be applied first
└── ExpandInTheWay          7  nothing was tried; an expand revision has to be applied before a contract revision

Anything else that a revision raises ends with 1, rolled back.
"""

from typing import ClassVar

MIGRATION_FAILED = 1


class MigratorError(Exception):
    """Base. The message is one sentence, which says what to do."""

    exit_code: ClassVar[int]


class ConfigurationError(MigratorError):
    """Settings or revisions that no run can start with."""

    exit_code = 3


class DatabaseUnreachable(MigratorError):
    """The database does not answer, or refuses the login."""

    exit_code = 4


class LocksNotObtained(MigratorError):
    """Others held the migration lock, or a lock on a table, for too long."""

    exit_code = 5


class LockLost(MigratorError):
    """The connection that held the migration lock is gone: another migrator may be at work."""

    exit_code = 5


class ChangedRevision(MigratorError):
    """The file of an applied revision has changed since."""

    exit_code = 6


class UnknownRevision(MigratorError):
    """The database is at a revision that neither this release nor the history knows."""

    exit_code = 6


class ReleaseBelowFloor(MigratorError):
    """The release is older than the first that can work with the schema."""

    exit_code = 6


class SchemaDrift(MigratorError):
    """The schema differs from the models, though all revisions are applied."""

    exit_code = 6


class ReleaseInTheWay(MigratorError):
    """A release of the app is at work that uses what a contract revision takes away, or another than is rolled out."""

    exit_code = 7


class ContractInTheWay(MigratorError):
    """A contract revision is pending that a run in this phase does not apply, and that has to be applied first."""

    exit_code = 7


class ExpandInTheWay(MigratorError):
    """An expand revision is pending that a run of contract does not apply, and that has to be applied first."""

    exit_code = 7
