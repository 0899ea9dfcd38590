"""Alembic for a Postgres that is in use: schema changes that nobody notices.

An app's env.py calls `run`, and tells it what the tool has to know of the app. README.md has the rest.
"""

from alembic_online.runs.environment import run

__all__ = ["run"]
