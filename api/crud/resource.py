"""What a resource is: a table whose records are listed, read, written, deleted, restored, imported and exported alike.

Each is declared once, in a module of its name beside this one, and listed in api/crud/resources.py.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy import ARRAY, JSON, Column, ColumnElement, Table, inspect
from sqlalchemy.dialects import postgresql

from api.crud.derived import ID, body_size, query_of, read_of, update_of
from api.enums.users import UserType
from api.models.base import LIVE, Record, columns_of
from api.schemas.fields import Computed, PageQuery, RequestBody

ANYBODY = None

_quote = postgresql.dialect().identifier_preparer.format_table  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Reference:
    """A field of a record: the id of the one that it belongs to."""

    field: str
    parent: "Resource"

    @property
    def name(self) -> str:
        """What files may have in its place: the parent's label."""
        return self.field.removesuffix("_id")


@dataclass(frozen=True, eq=False)
class Children:
    """The records of a resource that belong to one of its `parent`, by their `field`; `query` is that of their list.

    `is_only` is whether they refer to it by no other field, too.
    """

    parent: "Resource"
    resource: "Resource"
    field: str
    query: type[PageQuery]
    is_only: bool


class Resource:
    """A resource. `create` are the fields of a new record; `noun` is the word for one, in lower case.

    `readers` and `writers` may do it, and all that may do more; only admins restore and export.
    `computed` are fields that records have besides, by name the expressions of `expressions`.
    """

    def __init__(  # noqa: PLR0913 - all that is said of a resource
        self,
        model: type[Record],
        create: type[RequestBody],
        noun: str,
        *,
        readers: UserType | None = ANYBODY,
        writers: UserType,
        computed: type[Computed] = Computed,
        expressions: Mapping[str, ColumnElement[Any]] | None = None,
    ) -> None:
        if not re.fullmatch("[a-z][a-z0-9 ]*", noun) or not re.fullmatch(r"[A-Za-z]\w*", model.__tablename__, re.ASCII):  # type: ignore[attr-defined]  # see name()
            raise TypeError(f"{model.__name__}: paths need a noun, and a table, in plain letters, and not {noun!r}")
        self.model = model
        self.create = create
        self.noun = noun
        self.readers, self.writers = readers, writers
        self.max_body_size = body_size(create)
        self.a_record = f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
        self.update = update_of(create, self.a_record)
        self.read = read_of(create, model, self.a_record, computed)
        found = expressions or {}
        self.columns: dict[str, ColumnElement[Any]] = {
            field.name: (found[field.name] if field.name in found else getattr(model, field.name)).label(field.name)
            for field in fields(self.read)
        }
        if arrays := [name for name, column in columns_of(model).items() if isinstance(column.type, ARRAY)]:
            raise TypeError(f"{self.name} can't have {arrays[0]} as an array, because files can't: take JSONB")
        if hidden := set(model.__sorts__) - (self.columns.keys() - found.keys()):
            raise TypeError(f"{self.name} can't be sorted by {min(hidden)}, which is no column that clients see")
        self.references: tuple[Reference, ...] = ()
        self.children: tuple[Children, ...] = ()
        self.filters: dict[str, str] = {}
        self.query: type[PageQuery] = PageQuery

    @property
    def name(self) -> str:
        """The table's name, and the first part of paths."""
        return self.model.__tablename__  # type: ignore[attr-defined,no-any-return]  # a mixin has none, but all that use it do

    @property
    def word(self) -> str:
        """The noun as a name of code."""
        return self.noun.replace(" ", "_")

    @property
    def about(self) -> str:
        """Who may read and change them, as a sentence."""
        readers = "Anybody" if self.readers is None else f"Users of type {self.readers}"
        return f"{readers} may read {self.name}; users of type {self.writers} may change them."

    @property
    def table(self) -> Table:
        """The table."""
        found = inspect(self.model).local_table
        assert isinstance(found, Table)
        return found

    @property
    def quoted(self) -> str:
        """The table's name, as SQL has it."""
        return _quote(self.table)

    @property
    def exported(self) -> list[str]:
        """The columns that a file of all records has."""
        known = {ID, "created_at", "updated_at"} | self.create.model_fields.keys()
        return [name for name in columns_of(self.model) if name in known]

    @property
    def structured(self) -> list[str]:
        """The fields that are JSON, which stands as such in files."""
        columns = columns_of(self.model)
        return [name for name in self.create.model_fields if isinstance(columns[name].type, JSON)]

    @property
    def unique(self) -> list[str]:
        """The fields that are unique by themselves among the records that are not deleted, whichever they are."""
        keys = [
            list(index.expressions)
            for index in self.table.indexes
            if index.unique and str(index.dialect_options["postgresql"]["where"]) in {"None", str(LIVE)}
        ]
        columns = columns_of(self.model)
        return sorted(
            name for name in self.create.model_fields if any(len(key) == 1 and key[0] is columns[name] for key in keys)
        )

    def columns_of(self, fields: Sequence[str]) -> list[Column[Any]]:
        """The columns of these fields."""
        columns = columns_of(self.model)
        return [columns[field] for field in fields]


def fields_of(resources: Iterable[Resource]) -> dict[tuple[str, str], str]:
    """The fields of these resources, by the names of the tables and columns that they stand in."""
    return {
        (resource.name, column.name): field
        for resource in resources
        for field, column in columns_of(resource.model).items()
    }


def as_json(value: Any) -> str | None:
    """The text of a value that a field of JSON has; that of equal ones is the same."""
    return None if value is None else json.dumps(to_jsonable_python(value), sort_keys=True)


def related(resources: Sequence[Resource]) -> tuple[Resource, ...]:
    """The resources, each with those that it belongs to, and those that belong to it. TypeError if one is not there."""
    of_table = {resource.name: resource for resource in resources}
    for resource in resources:
        resource.references = tuple(_references(resource, of_table))
        parents = {reference.field: reference.parent.noun for reference in resource.references}
        records = resource.name.replace("_", " ")
        resource.filters = {name: f"Only {records} of this {noun}." for name, noun in parents.items()} | {
            name: f"Only {records} with exactly this {name}." for name in resource.model.__filters__
        }
        resource.query = query_of(resource.create, resource.model, records, resource.filters)
    for resource in resources:
        resource.children = tuple(_children(resource, resources))
    return tuple(resources)


def _references(resource: Resource, of_table: Mapping[str, Resource]) -> list[Reference]:
    """By its foreign keys to tables of records."""
    found = []
    for field, column in columns_of(resource.model).items():
        for key in column.foreign_keys:
            parent = key.column.table.name
            if parent in of_table and key.column.name != ID:
                raise TypeError(f"{resource.name}.{field} refers to {key.target_fullname}, and not to an id")
            if parent in of_table:
                found.append(Reference(field, of_table[parent]))
            elif "deleted_at" in key.column.table.columns:
                raise TypeError(f"{resource.name} belong to {parent}, which are no resource yet")
    return found


def _children(parent: Resource, resources: Sequence[Resource]) -> list[Children]:
    found = []
    for child in resources:
        by = [reference.field for reference in child.references if reference.parent is parent]
        for field in by:
            filters = {name: about for name, about in child.filters.items() if name != field}
            query = query_of(child.create, child.model, child.name.replace("_", " "), filters)
            found.append(Children(parent, child, field, query, is_only=len(by) == 1))
    return found
