"""The SQL of a revision, without a database: each statement with the line of the file that it comes from."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from traceback import walk_tb
from typing import Any

from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Constraint, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.types import to_instance

from alembic_online.literal import OFFLINE, InQuotes, keep_literal
from alembic_online.operations.steps import current_operation
from alembic_online.project import Project

KINDS: dict[type[Constraint], str] = {
    CheckConstraint: "check",
    PrimaryKeyConstraint: "primary key",
    UniqueConstraint: "unique constraint",
}


@dataclass(frozen=True)
class RevisionStatement:
    """A statement of a revision, without its semicolon.

    `operation` is the online operation that it belongs to (`create_index_online`), `in_transaction` whether it is
    inside the revision's own transaction. `block` numbers the revision's transactions and the parts between them:
    statements of one block are committed together or, outside of a transaction, one by one. `existing_type` is that
    argument of `op.alter_column`, as SQL; `constraint_kind` is `type_` of `op.drop_constraint`, in words.
    """

    sql: str
    line: int
    operation: str | None
    in_transaction: bool
    block: int
    existing_type: str | None = None
    constraint_kind: str | None = None


class NotSql(Exception):
    """A revision's SQL is not known before it runs: it queries the database, or its upgrade() fails, in this line."""

    def __init__(self, error: Exception, line: int) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.reason, self.line = str(error), line
        self.is_in_quotes = isinstance(error, InQuotes)


def read_statements(
    project: Project, revision: str, server_version: tuple[int, ...] | None = None
) -> list[RevisionStatement]:
    """The statements of the upgrade to `revision`, on a server of this version, if given; NotSql if not known."""
    script = project.scripts.get_revision(revision)
    assert script is not None
    found: list[RevisionStatement] = []
    in_transaction, block, existing_type, constraint_kind = True, 0, None, None
    options = {"as_sql": True, "literal_binds": True, "target_metadata": project.metadata}  # for its naming convention
    context = MigrationContext.configure(dialect_name="postgresql", dialect_opts=dict(OFFLINE), opts=options)
    keep_literal(context.dialect)
    context.dialect.server_version_info = server_version

    def record(text: str) -> None:
        line, operation = _line_in(script.path), current_operation.get()
        sql = text.strip().removesuffix(";")
        found.append(RevisionStatement(sql, line, operation, in_transaction, block, existing_type, constraint_kind))

    def begin_block(*, with_transaction: bool) -> None:
        nonlocal in_transaction, block
        in_transaction, block = with_transaction, block + 1

    def alter_column(*args: Any, **options: Any) -> None:
        nonlocal existing_type
        existing = options.get("existing_type")
        existing_type = existing and to_instance(existing).compile(dialect=context.dialect)
        type(context.impl).alter_column(context.impl, *args, **options)
        existing_type = None

    def drop_constraint(constraint: Constraint, **options: Any) -> None:
        nonlocal constraint_kind
        constraint_kind = KINDS.get(type(constraint))
        type(context.impl).drop_constraint(context.impl, constraint, **options)
        constraint_kind = None

    context.impl.static_output = record  # type: ignore[method-assign]
    context.impl.alter_column = alter_column  # type: ignore[method-assign]
    context.impl.drop_constraint = drop_constraint  # type: ignore[assignment, method-assign]
    # Alembic's own BEGIN and COMMIT; a revision's own COMMIT is one of its statements.
    context.impl.emit_begin = partial(begin_block, with_transaction=True)  # type: ignore[method-assign]
    context.impl.emit_commit = partial(begin_block, with_transaction=False)  # type: ignore[method-assign]
    with _operations(context):
        try:
            script.module.upgrade()
        except Exception as error:
            raise NotSql(error, _line_of(script.path, error)) from error
    return found


@contextmanager
def _operations(context: MigrationContext) -> Iterator[None]:
    """In the block, `op` writes to this context; then the former one is restored: this may be inside a run."""
    outer = getattr(op, "_proxy", None)
    try:
        with Operations.context(context):
            yield
    finally:
        if outer is not None:
            outer._install_proxy()  # noqa: SLF001 - Alembic would leave `op` without a context


def _line_of(path: str, error: Exception) -> int:
    """The line of the file `path` that the error comes from; 1 if it comes from none."""
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == path]
    return lines[-1] if lines else 1


def _line_in(path: str) -> int:
    """The line of the file `path` that is being executed."""
    frame = sys._getframe()  # noqa: SLF001 - the documented way; inspect's would read the files of all frames
    while frame.f_back is not None and frame.f_code.co_filename != path:
        frame = frame.f_back
    return frame.f_lineno
