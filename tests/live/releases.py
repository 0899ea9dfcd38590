"""Two releases of the api: this one, and one with two columns of animals under other names."""

import re
from pathlib import Path
from typing import Any

from api.models.search import search_index
from tests.faults.checkout import checkout_with

OLD, NEW = "0.3.0", "0.4.0"
PAIRS = str(search_index("animals", "common_name").expressions[0])

# Revisions that add what the new release needs, and revisions that remove what only the old one needs.
EXPAND = {
    "columns": (
        'op.add_column("animals", sa.Column("common_name", sa.Text))\n'
        'op.add_column("animals", sa.Column("home_id", sa.BigInteger))'
    ),
    "sync_name": 'op.sync_columns_online("animals", "name", "common_name")',
    "sync_home": 'op.sync_columns_online("animals", "exhibit_id", "home_id")',
    "backfill": 'op.backfill("animals", {"common_name": "name", "home_id": "exhibit_id"})',
    "not_null": 'op.set_not_null_online("animals", "common_name")',
    "index_name": (
        'op.create_index_online("ix_animals_common_name_id", "animals", ["common_name", "id"],'
        ' postgresql_where=sa.text("deleted_at IS NULL"))'
    ),
    "index_pairs": (
        f'op.create_index_online("ix_animals_common_name_pairs", "animals", [sa.literal_column({PAIRS!r})],'
        ' postgresql_using="gin")'
    ),
    "index_home": (
        'op.create_index_online("ix_animals_home_id_id", "animals", ["home_id", "id"],'
        ' postgresql_where=sa.text("deleted_at IS NULL"))'
    ),
    "foreign_key": (
        'op.add_foreign_key_online("fk_animals_home_id_exhibits", "animals", "exhibits", ["home_id"], ["id"])'
    ),
}
CONTRACT = {
    "may_be_null": 'op.drop_not_null_online("animals", "name")',
    "unsync_name": 'op.unsync_columns_online("animals", "name", "common_name")',
    "unsync_home": 'op.unsync_columns_online("animals", "exhibit_id", "home_id")',
    "drop": 'op.drop_column("animals", "name")\nop.drop_column("animals", "exhibit_id")',
}
NEWEST_NEEDED = list(EXPAND)[-1]


def new_release(folder: Path, revisions_before: Any = None) -> Path:  # as in `checkout_with`
    """A checkout of the new release: models that map the new columns to the attributes that the code uses."""
    checkout = checkout_with(
        folder,
        own=["api"],
        attributes={key: {"phase": "contract", "safe_from_release": NEW} for key in CONTRACT},
        **(revisions_before or {}),
        **EXPAND,
        **CONTRACT,
    )
    changes = {
        "api/__init__.py": [(OLD, NEW)],
        "api/database/engine.py": [(r'SCHEMA_REVISION = ".*"', f'SCHEMA_REVISION = "{NEWEST_NEEDED}"')],
        "api/models/animals.py": [
            (r"name: Mapped\[str\]$", 'name: Mapped[str] = mapped_column("common_name")'),
            (r'mapped_column\(ForeignKey\("exhibits.id"\)\)', 'mapped_column("home_id", ForeignKey("exhibits.id"))'),
        ],
    }
    for name, replacements in changes.items():
        code = (checkout / name).read_text()
        for pattern, replacement in replacements:
            code, found = re.subn(pattern, replacement, code, flags=re.MULTILINE)
            assert found, pattern
        (checkout / name).write_text(code)
    return checkout
