"""The Alembic environment of this stack: env.py, the template of revisions, and the revisions in versions/."""
