"""What files can be loaded as, and what their rows may refer to."""

from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy import ARRAY, BigInteger, Column, Table, any_, literal
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.records import live
from api.models import Animal, Exhibit, Staff
from api.models.base import Record
from api.schemas.animals import AnimalCreate, AnimalUpdate
from api.schemas.exhibits import ExhibitCreate, ExhibitUpdate
from api.schemas.fields import RequestBody
from api.schemas.staff import StaffCreate, StaffUpdate

# May be used in place of `exhibit_id`: people with a spreadsheet know names, not ids.
EXHIBIT_NAME = "exhibit"


class ImportRefused(Exception):
    """The file can't be loaded. `findings` has a sentence for each thing to correct, with its line and field."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


@dataclass(frozen=True)
class Target:
    """What the rows of a file become, and the schemas that validate new records, and changes of others."""

    model: type[Record]
    create: type[RequestBody]
    update: type[RequestBody]

    @cached_property
    def table(self) -> Table:
        """The table."""
        table: Table = self.model.__table__  # type: ignore[attr-defined]  # a mixin has none, but all that use it do
        return table

    @property
    def has_exhibit(self) -> bool:
        """Whether a record may belong to an exhibit."""
        return "exhibit_id" in self.create.model_fields

    @property
    def known(self) -> dict[str, bool]:
        """The fields that a file may have, and whether each is required."""
        fields = {name: info.is_required() for name, info in self.create.model_fields.items()}
        return fields | ({EXHIBIT_NAME: False} if self.has_exhibit else {})

    @property
    def exported(self) -> list[str]:
        """The columns that a file of all records has."""
        fields = {"id", "created_at", "updated_at"} | self.create.model_fields.keys()
        return [column.name for column in self.table.columns if column.name in fields]

    @property
    def unique(self) -> list[str]:
        """The fields that are unique by themselves among the records that are not deleted."""
        columns = [list(index.columns) for index in self.table.indexes if index.unique]
        return sorted(
            found[0].name for found in columns if len(found) == 1 and found[0].name in self.create.model_fields
        )

    def columns(self, names: list[str]) -> list[Column[object]]:
        """The columns of these names."""
        return [self.table.columns[name] for name in names]


RESOURCES = {
    "exhibits": Target(Exhibit, ExhibitCreate, ExhibitUpdate),
    "animals": Target(Animal, AnimalCreate, AnimalUpdate),
    "staff": Target(Staff, StaffCreate, StaffUpdate),
}


@dataclass
class Exhibits:
    """The exhibits that rows may refer to, and those that they refer to."""

    ids_by_name: dict[str, list[int]] = field(default_factory=dict)
    ids: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)

    @classmethod
    async def read(cls, session: AsyncSession) -> "Exhibits":
        """Those that are not deleted."""
        exhibits = cls()
        for exhibit_id, name in await session.execute(live(Exhibit).with_only_columns(Exhibit.id, Exhibit.name)):
            exhibits.ids.add(exhibit_id)
            exhibits.ids_by_name.setdefault(name, []).append(exhibit_id)
        return exhibits

    def use(self, exhibit_id: int) -> None:
        """Note a reference to `exhibit_id`; ValueError if there is no such exhibit."""
        if exhibit_id not in self.ids:
            raise ValueError(f"no exhibit {exhibit_id}")
        self.used.add(exhibit_id)

    def named(self, name: str) -> int:
        """The id of the exhibit `name`; ValueError unless exactly one has that name."""
        match self.ids_by_name.get(name, []):
            case [exhibit_id]:
                return exhibit_id
            case []:
                raise ValueError(f"no exhibit is named {name!r}")
            case several:
                raise ValueError(f"{len(several)} exhibits are named {name!r}: use exhibit_id")

    async def keep(self, session: AsyncSession) -> None:
        """Make sure that the used exhibits still exist, and stay until the commit.

        This comes last, because the lock blocks all changes of these exhibits.
        """
        if not self.used:
            return
        one_of_them = Exhibit.id == any_(literal(list(self.used), ARRAY(BigInteger)))  # one parameter, however many
        statement = live(Exhibit).where(one_of_them).with_only_columns(Exhibit.id).order_by(Exhibit.id)
        gone = self.used - set(await session.scalars(statement.with_for_update(read=True)))
        if gone:
            raise ImportRefused([f"exhibit {min(gone)} was deleted meanwhile: load the file again"])
