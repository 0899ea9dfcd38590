"""Ordinary changes of the models, as edits of their files, and the revisions that result."""

from dataclasses import dataclass
from pathlib import Path

Edit = tuple[str, str, str]
"""A file of api/models, a text in it, and its replacement."""

EXHIBIT_ID = '    exhibit_id: Mapped[int | None] = mapped_column(ForeignKey("exhibits.id"))\n'
TABLES = '''\
class Keeper(Base):
    """Somebody who looks after animals."""

    __tablename__ = "keepers"
    __table_args__ = (Index(None, "exhibit_id", "id"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    exhibit_id: Mapped[int] = mapped_column(ForeignKey("exhibits.id"))
    kind: Mapped[str] = mapped_column(Enum("day", "night", name="shift"))


class Shift(Base):
    """A shift of a keeper."""

    __tablename__ = "shifts"

    keeper_id: Mapped[int] = mapped_column(ForeignKey("keepers.id"), primary_key=True)
    began_at: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Enum("day", "night", name="shift"))


'''
IMPORTS = """\
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Computed, Enum, Identity, Index, String, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from api.models.search import search_index
"""


@dataclass(frozen=True)
class Change:
    """A change: its edits, the operations of each revision, and SQL that prepares the database.

    If it is refused, the comments contain `recipe`.
    """

    edits: tuple[Edit, ...]
    revisions: tuple[str, ...]
    before: str = ""
    recipe: tuple[str, ...] = ()

    def make(self, checkout: Path) -> None:
        """Edit the models in a checkout."""
        for file, old, new in self.edits:
            path = checkout / "api" / "models" / f"{file}.py"
            source = path.read_text()
            assert old in source, (file, old)
            path.write_text(source.replace(old, new, 1))


def animals(old: str, new: str, *revisions: str, before: str = "", recipe: tuple[str, ...] = ()) -> Change:
    """An edit of the model of animals."""
    edits = (("animals", "from sqlalchemy import", f"{IMPORTS}from sqlalchemy import"), ("animals", old, new))
    return Change(edits, revisions, before, recipe)


def column(declared: str, *revisions: str, before: str = "", recipe: tuple[str, ...] = ()) -> Change:
    """A new column of animals."""
    return animals(EXHIBIT_ID, f"{EXHIBIT_ID}    {declared}\n", *revisions, before=before, recipe=recipe)


FILTERS = '    __filters__ = ("species", "name")\n'
NOT_BY_SPECIES = '    __filters__ = ("name",)\n'
UNNAMED = (
    ("animals", "from sqlalchemy import", f"{IMPORTS}from sqlalchemy import"),
    ("animals", '    __label__ = "name"\n', '    __table_args__ = (search_index("animals", "name"),)\n'),
    ("animals", f'{FILTERS}    __sorts__ = ("name",)\n', '    __filters__ = ("species",)\n'),
)
FILLED = ("backfill", "set_not_null_online")
NOT_NULL = ("add_column alter_column", *FILLED, "alter_column")

CHANGES = {
    "tables": animals(
        "class Animal",
        f"{TABLES}class Animal",
        "execute create_table create_index create_table",
        "add_foreign_key_online",
    ),
    "a nullable column": column("wild: Mapped[bool | None]", "add_column"),
    "a column with a constant default": column(
        'wild: Mapped[bool] = mapped_column(server_default="true")', "add_column"
    ),
    "a column with the time as its default": column(
        "met_at: Mapped[datetime] = mapped_column(server_default=func.now())", "add_column"
    ),
    "a column with a volatile default": column(
        "code: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())", "add_column alter_column", *FILLED
    ),
    "a NOT NULL column": column("habitat: Mapped[str]", *NOT_NULL),
    "a NOT NULL column of an enum type": column(
        'diet: Mapped[str] = mapped_column(Enum("plants", "meat", name="diet"))',
        f"execute {NOT_NULL[0]}",
        *NOT_NULL[1:],
    ),
    "a NOT NULL column of JSON, with a default in Python": column(
        "chart: Mapped[dict[str, Any]] = mapped_column(JSONB(), default=dict)", *NOT_NULL
    ),
    "a NOT NULL column of a table with a key of two": Change(
        (("users", "    address: Mapped[str]", "    note: Mapped[str]\n    address: Mapped[str]"),), NOT_NULL
    ),
    "a column that refers to another table": column(
        'home_id: Mapped[int | None] = mapped_column(ForeignKey("exhibits.id"))',
        "add_column",
        "create_index_online",
        "add_foreign_key_online",
    ),
    "a column that becomes NOT NULL": animals("species: Mapped[str | None]", "species: Mapped[str]", *FILLED),
    "a column that becomes nullable": animals("name: Mapped[str]", "name: Mapped[str | None]", "drop_not_null_online"),
    "another default, and a comment": animals(
        "species: Mapped[str | None]",
        'species: Mapped[str | None] = mapped_column(server_default="lion", comment="in English")',
        "alter_column",
    ),
    "a wider type": column(
        "code: Mapped[str | None] = mapped_column(String(40))",
        "alter_column",
        before="ALTER TABLE animals ADD COLUMN code varchar(20)",
    ),
    "an index": animals(
        FILTERS, FILTERS + '    __table_args__ = (Index(None, "description"),)\n', "create_index_online"
    ),
    "an index that goes": animals(FILTERS, NOT_BY_SPECIES, "drop_index_online"),
    "an index that is another under its name": animals(
        FILTERS,
        NOT_BY_SPECIES + '    __table_args__ = (Index("ix_animals_species_id", "species", "name", "id"),)\n',
        "execute",
        "create_index_online",
        "drop_index_online",
    ),
    "a unique constraint": animals(
        FILTERS, FILTERS + '    __table_args__ = (UniqueConstraint("name", "id"),)\n', "add_unique_online"
    ),
    "a unique constraint that goes": animals(
        "class Animal",
        "class Animal",
        "drop_constraint_online",
        before="ALTER TABLE animals ADD CONSTRAINT uq_animals_name_id UNIQUE (name, id)",
    ),
    "a foreign key that does something else": animals(
        'ForeignKey("exhibits.id")',
        'ForeignKey("exhibits.id", ondelete="SET NULL")',
        "execute",
        "add_foreign_key_online",
        "drop_constraint_online",
    ),
    "a foreign key that goes": Change(
        (
            ("animals", ' = mapped_column(ForeignKey("exhibits.id"))', ""),
            ("animals", FILTERS, FILTERS.replace("(", '("exhibit_id", ')),
        ),
        ("drop_constraint_online",),
    ),
}

REFUSED = {
    "a column that goes": Change(
        (*UNNAMED, ("animals", "    name: Mapped[str]\n", "")),
        ("drop_not_null_online",),
        recipe=('op.drop_column("animals", "name")', 'phase = "contract"', "safe_from_release"),
    ),
    "a column by another name": Change(
        (*UNNAMED, ("animals", "    name: Mapped[str]\n", "    given_name: Mapped[str]\n")),
        ("add_column", "drop_not_null_online"),
        recipe=(
            'op.sync_columns_online("animals", "name", "given_name")',
            'op.backfill("animals", {"given_name": "name"})',
            'op.set_not_null_online("animals", "given_name")',
            'op.unsync_columns_online("animals", "name", "given_name")',
        ),
    ),
    "a type that rewrites": animals(
        "species: Mapped[str | None]",
        "species: Mapped[int | None]",
        "add_column",
        recipe=("species_new", 'op.backfill("animals", {"species_new": "species::BIGINT"})'),
    ),
    "an identity": column(
        "number: Mapped[int] = mapped_column(Identity())",
        "add_column",
        recipe=("CREATE SEQUENCE animals_number_seq", "ADD GENERATED BY DEFAULT AS IDENTITY"),
    ),
    "a generated column": column(
        'initial: Mapped[str | None] = mapped_column(Computed("left(name, 1)", persisted=True))',
        "",
        recipe=("persisted=False", "op.backfill"),
    ),
    "a NOT NULL foreign key": column(
        'den_id: Mapped[int] = mapped_column(ForeignKey("exhibits.id"))',
        "add_column",
        "create_index_online",
        "add_foreign_key_online",
        recipe=('op.set_not_null_online("animals", "den_id")', 'where="den_id IS NULL"'),
    ),
    "a table that goes": Change(
        (("throttles", '"throttles"', '"limits"'),),
        ("create_table create_index",),
        recipe=('op.drop_table("throttles")', 'phase = "contract"'),
    ),
}  # fmt: skip
