"""What all tables have in common."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Identity, MetaData, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Declarative base: constraint names that a migration can refer to, and one column type for each Python type."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: DateTime(timezone=True),
        int: BigInteger(),
        str: Text(),
    }
    # INSERT and UPDATE read the values that the database sets, with RETURNING. By default, an UPDATE would expire
    # them, and reading `updated_at` afterwards would need a query, which async code can't send at that point.
    __mapper_args__ = {"eager_defaults": True}


class Record:
    """Mixin of the zoo's resources: a bigint identity, timestamps set by the database, and soft deletion.

    `statement_timestamp()` is the same throughout a statement, so that a row that was never changed has
    `updated_at == created_at`, and is not frozen for a whole transaction as `now()` is.
    """

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True, sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp(), sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.statement_timestamp(), onupdate=func.statement_timestamp(), sort_order=2
    )
    deleted_at: Mapped[datetime | None] = mapped_column(sort_order=3)
