"""Differences between the models and the database that Alembic does not look for, as a plugin of its.

constraints  CHECK and EXCLUDE
defaults     defaults, identities, generated columns
enums        values of enum types
keys         primary keys
names        names that Postgres would truncate
sequences    sequences that stand in the models by themselves
differences  the operations that say what was found
"""

from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority

from alembic_online.compare import constraints, defaults, enums, keys, names, sequences

PLUGINS = ["alembic.autogenerate.*", "~alembic.autogenerate.defaults", "alembic_online.compare"]
"""For Alembic's option `autogenerate_plugins`."""


def _register() -> None:
    plugin = Plugin("alembic_online.compare")
    plugin.add_autogenerate_comparator(names.require_short, "autogenerate", priority=DispatchPriority.FIRST)
    plugin.add_autogenerate_comparator(constraints.compare, "table", "checks and exclusions")
    plugin.add_autogenerate_comparator(defaults.compare, "column", "server_default")
    plugin.add_autogenerate_comparator(defaults.compare_generated, "table", "generated columns")
    plugin.add_autogenerate_comparator(keys.compare, "table", "primary keys")
    plugin.add_autogenerate_comparator(enums.compare, "schema", "enum values")
    plugin.add_autogenerate_comparator(sequences.compare, "schema", "sequences")


_register()
