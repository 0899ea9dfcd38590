"""What the rows of a file may refer to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ARRAY, BigInteger, any_, literal
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.records import live
from api.crud.resource import Reference, Resource


class ImportRefused(Exception):
    """The file can't be loaded. `findings` has a sentence for each thing to correct, with its line and field."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


def names_of(resource: Resource) -> dict[str, Reference]:
    """What a file may have in place of a reference's id, because people with a spreadsheet know no ids."""
    known = resource.create.model_fields
    return {
        reference.name: reference
        for reference in resource.references
        if reference.parent.model.__label__ is not None and reference.name not in known and reference.field in known
    }


def fields_of(resource: Resource) -> dict[str, bool]:
    """The fields that a file may have, and whether each is required; a reference is not if a name may stand for it."""
    names = names_of(resource)
    named = {reference.field for reference in names.values()}
    fields = {name: info.is_required() and name not in named for name, info in resource.create.model_fields.items()}
    return fields | dict.fromkeys(names, False)


@dataclass
class Parents:
    """The records that a field may refer to, and those that it refers to."""

    noun: str
    plural: str
    ids_by_label: dict[str, list[int]] = field(default_factory=dict)
    ids: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)

    @classmethod
    async def read(cls, session: AsyncSession, parent: Resource) -> "Parents":
        """Those that are not deleted."""
        parents = cls(parent.noun, parent.name)
        model, label = parent.model, parent.model.__label__
        columns: list[Any] = [model.id] if label is None else [model.id, getattr(model, label)]
        for parent_id, *labels in await session.execute(live(model).with_only_columns(*columns)):
            parents.ids.add(parent_id)
            for found in labels:
                parents.ids_by_label.setdefault(found, []).append(parent_id)
        return parents

    def use(self, parent_id: int) -> None:
        """Note a reference to `parent_id`; ValueError if there is no such record."""
        if parent_id not in self.ids:
            raise ValueError(f"no {self.noun} {parent_id}")
        self.used.add(parent_id)

    def named(self, label: str, field_name: str) -> int:
        """The id of the record with this label; ValueError unless exactly one has it."""
        match self.ids_by_label.get(label, []):
            case [parent_id]:
                return parent_id
            case []:
                raise ValueError(f"no {self.noun} is named {label!r}")
            case several:
                raise ValueError(f"{len(several)} {self.plural} are named {label!r}: use {field_name}")


async def read_parents(session: AsyncSession, resource: Resource) -> dict[str, Parents]:
    """Those that each reference may have, by its field."""
    return {reference.field: await Parents.read(session, reference.parent) for reference in resource.references}


async def keep_parents(session: AsyncSession, resource: Resource, parents: Mapping[str, Parents]) -> None:
    """Make sure that those which are used still exist, and stay until the commit.

    This comes last, because the lock blocks all changes of these records.
    """
    for reference in resource.references:
        used = parents[reference.field].used
        model = reference.parent.model
        one_of_them = model.id == any_(literal(list(used), ARRAY(BigInteger)))  # one parameter, however many
        statement = live(model).where(one_of_them).with_only_columns(model.id).order_by(model.id)
        gone = used - set(await session.scalars(statement.with_for_update(read=True)))
        if gone:
            raise ImportRefused([f"{reference.parent.noun} {min(gone)} was deleted meanwhile: load the file again"])
