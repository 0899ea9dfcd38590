"""Alembic for a Postgres that is in use: schema changes that nobody notices.

An app's env.py calls `run`, and says there what is to be known of the app. README.md says the rest.
"""

from alembic_online.runs.environment import run

__all__ = ["run"]
