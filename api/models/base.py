"""What all tables have in common."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, DateTime, Enum, Identity, Index, MetaData, String, Text, func, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from api.models.search import search_index

# A literal, because a query with a parameter in its condition can't use a partial index with that condition.
LIVE = text("deleted_at IS NULL")
TIMESTAMPS = ("created_at", "updated_at")


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
    """Mixin of the resources: a bigint identity, timestamps set by the database, and soft deletion.

    `__label__` names the column that people know a record by, if there is one: lists are searched by it, and files
    refer to a record by it. Lists can be filtered by `__filters__`, and by what a record belongs to, which are the
    foreign keys; and sorted by `__sorts__`, by the id and by the timestamps. Each of these has its index. (All are
    names of attributes.)

    `statement_timestamp()` is the same throughout a statement, so that a row that was never changed has
    `updated_at == created_at`, and is not frozen for a whole transaction as `now()` is.
    """

    __label__: ClassVar[str | None] = None
    __filters__: ClassVar[tuple[str, ...]] = ()
    __sorts__: ClassVar[tuple[str, ...]] = ()

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True, sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp(), sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.statement_timestamp(), onupdate=func.statement_timestamp(), sort_order=2
    )
    deleted_at: Mapped[datetime | None] = mapped_column(sort_order=3)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if inspect(cls, raiseerr=False) is None:  # a mixin that adds to this one
            return
        columns = columns_of(cls)
        # Each leaves out deleted rows and ends in `id`: a page is one range of it.
        Index(None, columns["id"], postgresql_where=LIVE)
        for name in (*cls.__filters__, *cls.__sorts__, *filter(None, [cls.__label__])):
            if name not in columns:
                raise TypeError(f"{cls.__name__} has no column {name}")
        belongs_to = [name for name, column in columns.items() if column.foreign_keys]
        for name in dict.fromkeys((*belongs_to, *cls.__filters__, *cls.__sorts__, *TIMESTAMPS)):
            Index(None, columns[name], columns["id"], postgresql_where=LIVE)
        if cls.__label__ is not None:
            label = columns[cls.__label__]
            if not isinstance(label.type, String) or isinstance(label.type, Enum):
                raise TypeError(f"{cls.__name__} can't be known by {cls.__label__}, which is no text")
            label.table.append_constraint(search_index(label.table.name, label.name))


def columns_of(model: type[Record]) -> dict[str, Column[Any]]:
    """The columns of a model's table, by the name of their attribute."""
    return dict(inspect(model).columns.items())
