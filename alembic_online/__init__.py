"""Alembic for a Postgres that is in use: schema changes that nobody notices.

An app's env.py calls `run`, and tells it what the tool has to know of the app. README.md has the rest.
"""

import gc

# Before all else is imported, which leaves no garbage behind: looking for some takes a sixth of the time of a start.
gc.set_threshold(50_000)

from alembic_online.runs.environment import run  # noqa: E402

__all__ = ["run"]
