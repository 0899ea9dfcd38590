"""Drift: differences between the schema and the models.

Guarantee: after a run that ends at the newest revision, changes that were made by hand, and changes that no revision
makes, are in the log; with MIGRATOR_DRIFT=fail the run ends with 6.
"""

import logging
from typing import Any

import structlog
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData

from alembic_online.errors import SchemaDrift
from alembic_online.project import Project
from alembic_online.runs.history import BACKFILLS, TABLE_NAME

OWN_TABLES = {TABLE_NAME, BACKFILLS}

log = structlog.get_logger(__name__)


def compare_options(project: Project) -> dict[str, Any]:
    """Alembic's options for every comparison with the models; other schemas and the tool's own tables are left out."""

    def include_name(name: str | None, kind: str, _: object) -> bool:
        if kind == "schema":
            return name is None or name in project.schemas
        return not (kind == "table" and name in OWN_TABLES)

    return {
        "include_name": include_name,
        "include_schemas": bool(project.schemas),
        "compare_server_default": True,
    }


def find_drift(context: MigrationContext, models: MetaData) -> list[str]:
    """What would have to change in the schema to agree with the models, as `alembic check` finds it."""
    logging.getLogger("alembic.autogenerate").setLevel(logging.WARNING)  # it would log each of them, too
    found = compare_metadata(context, models)
    # Changes of one column are in a nested list.
    flat = [change for entry in found for change in (entry if isinstance(entry, list) else [entry])]
    return [_sentence(*change) for change in flat]


def _sentence(kind: str, *what: Any) -> str:
    action = kind.replace("_", " ")
    if kind.startswith("modify"):
        _, table, column, _, existing, wanted = what
        return f"{action} of {table}.{column} from {existing} to {wanted}"
    if kind.endswith("column"):
        _, table, column = what
        return f"{action} {table}.{column.name}"
    table = getattr(what[0], "table", None)
    return f"{action} {what[0].name}" + ("" if table is None else f" on {table.name}")


def report_drift(context: MigrationContext, models: MetaData, *, fail: bool) -> None:
    """Log the drift, if any; with `fail`, also raise SchemaDrift."""
    drift = find_drift(context, models)
    if drift:
        log.warning("the schema is not what the models say", changes=drift)
        if fail:
            raise SchemaDrift(
                "all revisions are applied, but the schema is not what the models say: undo what was changed by hand, "
                f"or write a revision ({'; '.join(drift)})"
            )
