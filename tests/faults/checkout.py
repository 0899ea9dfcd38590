"""Checkouts with further revisions, and their migrator in processes."""

import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.checkouts import linked_checkout
from tests.conftest import ROOT
from tests.processes.test_history import REVISIONS
from tests.python import Python


def checkout_with(
    folder: Path,
    *,
    own: Collection[str] = (),
    attributes: Any = None,  # not Mapping, because mypy compares `**revisions` with it
    downgrades: Any = None,
    **revisions: str,
) -> Path:
    """A linked checkout with these newest revisions, in this order: each value is the body of an `upgrade`.

    `attributes` are further variables of a revision's module, by its name: `{"drop": {"phase": "contract"}}`;
    `downgrades` are the bodies of `downgrade`, by the revision's name, if they do something.
    """
    checkout = linked_checkout(folder, own)
    previous = REVISIONS[-1]
    for number, (name, body) in enumerate(revisions.items()):
        lines, back = (
            "\n    ".join(part.strip().splitlines()) for part in (body, (downgrades or {}).get(name, "pass"))
        )
        declared = "".join(f"{key} = {value!r}\n" for key, value in (attributes or {}).get(name, {}).items())
        (checkout / "migrator" / "versions" / f"2099_01_01_{number:04}-{name}.py").write_text(
            f'"""{name}"""\nimport sqlalchemy as sa\nfrom alembic import op\n'
            f'revision = "{name}"\ndown_revision = "{previous}"\n{declared}'
            f"def upgrade():\n    {lines}\ndef downgrade():\n    {back}\n"
        )
        previous = name
    return checkout


def start(environment: dict[str, str], *arguments: str, cwd: Path = ROOT) -> Python:
    """Start Alembic, without waiting for it; by default `alembic upgrade head`."""
    environment = os.environ | {"LOG_FORMAT": "text"} | environment
    return Python("alembic", *(arguments or ("upgrade", "head")), env=environment, cwd=cwd, stderr=subprocess.PIPE)


def lock(table: str) -> str:
    """A line of a revision's body that takes a table's exclusive lock."""
    return (
        f"op.execute('LOCK TABLE {table}')  # lint: allow lock-table: so that others are in its way, and it in theirs"
    )


def concurrently(index: str, table: str = "animals", column: str = "name") -> str:
    """The body of a revision that builds an index of a column, or an expression, while the table is in use."""
    return (
        "with op.get_context().autocommit_block():\n"
        f'    op.create_index("{index}", "{table}", [sa.text("{column}")],'
        " postgresql_concurrently=True, if_not_exists=True)"
    )
