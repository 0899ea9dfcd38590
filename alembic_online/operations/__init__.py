"""Changes of a table in use, in online form: `op.create_index_online` and the rest, registered with Alembic.

Guarantees: each takes only locks that are held for an instant, or that block neither reads nor writes. Each looks into
the catalogs first, and does what is missing: the next run completes what a killed run began. Something of the same name
but of another kind, or on other columns, is not touched, and fails the revision. Each uses several transactions, so it
stands alone in its revision. With `--sql` all of its steps are written, because there are no catalogs to look into.

| operation | taken back by |
|---|---|
| `create_index_online` | `drop_index_online` |
| `add_foreign_key_online`, `add_check_online`, `add_unique_online` | `drop_constraint_online` |
| `set_not_null_online` | `drop_not_null_online` |
| `sync_columns_online` | `unsync_columns_online` |
| `backfill` | nothing: the column that it filled is dropped, or stays |
"""

from alembic_online.operations import column_sync, constraints, indexes, not_null, rows

__all__ = ["column_sync", "constraints", "indexes", "not_null", "rows"]
