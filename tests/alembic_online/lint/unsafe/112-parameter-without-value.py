"""A name after a colon that has no value is taken as it is written, and outside of quotes it is no SQL. Give it a value
with sa.text(...).bindparams(...), or write the value."""

from alembic import op

revision = "unsafe_112"
down_revision = None
# fails: syntax error at or near ":"


def upgrade() -> None:
    op.execute("COMMENT ON TABLE animals IS :comment")  # expect: syntax-error
