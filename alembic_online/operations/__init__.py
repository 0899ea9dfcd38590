"""Changes of a table in use, in online form: `op.create_index_online` and the rest, registered with Alembic.

Guarantees: each takes only locks that are held for an instant, or that neither reads nor writes wait for. Each looks
into the catalogs first, and does what is missing: begun by a run that was killed, it is ended by the next. What bears
its name and is of another kind, or on other columns, is not touched, but ends the revision. Each is made of several
transactions, so it stands alone in its revision. With `--sql` all of its steps are written: there is nothing to look
into.

| operation | taken back by |
|---|---|
| `create_index_online` | `drop_index_online` |
| `add_foreign_key_online`, `add_check_online`, `add_unique_online` | `drop_constraint_online` |
| `set_not_null_online` | `drop_not_null_online` |
| `sync_columns_online` | `unsync_columns_online` |
| `backfill` | nothing: the column that it filled goes, or stays |
"""

from alembic_online.operations import column_sync, constraints, indexes, not_null, rows

__all__ = ["column_sync", "constraints", "indexes", "not_null", "rows"]
