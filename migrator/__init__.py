"""The Alembic environment, and what makes its runs safe on a live database."""
