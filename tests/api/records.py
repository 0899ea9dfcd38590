"""What the resources have in common, for tests: all of it follows from api/crud/resources.py."""

import re
from collections.abc import Iterator
from enum import EnumType
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import httpx
import pytest
from pydantic import ValidationError

from api.crud import resource as api
from api.crud import resources
from api.schemas.text import Line, Name

ENOUGH = 100_000  # tries to find another value of a field


class Resource:
    """A resource, as tests see it: by its path, its fields, and values of them that are valid."""

    def __init__(self, resource: api.Resource) -> None:
        self.api = resource
        self.name = resource.name
        self.quoted = resource.quoted
        self.path = f"/{resource.name}"
        self.label = resource.model.__label__
        self.fields = tuple(resource.create.model_fields)
        self.required = tuple(name for name, field in resource.create.model_fields.items() if field.is_required())
        fields = resource.create.model_fields.items()
        self.optional = tuple(name for name, field in fields if not field.is_required() and field.default is None)
        self.example: dict[str, Any] = resource.create.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index,assignment]
        words = " ".join(str(part) for index in resource.table.indexes if index.unique for part in index.expressions)
        self.unique = {name for name in self.fields if name in re.findall(r"\w+", words)}
        self._values = {name: self._distinct(name) for name in self.fields}

    def __str__(self) -> str:
        return self.path

    @property
    def parents(self) -> dict[str, "Resource"]:
        """What its records may belong to, by the field."""
        return {reference.field: RESOURCE_OF[reference.parent.name] for reference in self.api.references}

    def of_kind(self, *kinds: Any) -> list[str]:
        """The fields of these types, whether they may be null or not."""
        types = get_type_hints(self.api.create, include_extras=True)
        return [name for name in self.fields if _bare(types[name]) in kinds]

    def column(self, field: str) -> str:
        """The field's column, as SQL has it."""
        (column,) = self.api.columns_of([field])
        return f'"{column.name}"'

    def stored(self, field: str, value: Any) -> Any:
        """The value as the driver takes it."""
        return getattr(self.api.create.model_validate(self.example | {field: value}), field)

    def another(self, field: str) -> Any:
        """A valid value of a field, other than all before."""
        return next(self._values[field])

    @property
    def changeable(self) -> str:
        """A field whose value tests may change."""
        free = [name for name in self.fields if name not in self.parents]
        return next((name for name in free if name == self.label or name in self.required), free[0])

    def change(self) -> dict[str, Any]:
        """A change of a record."""
        return {self.changeable: self.another(self.changeable)}

    def _choices(self, field: str) -> list[Any]:
        """The values of an enum."""
        type_: Any = _bare(self.api.create.model_fields[field].annotation)
        if isinstance(type_, EnumType):
            return [one.value for one in type_]  # type: ignore[var-annotated]  # of any enum
        return list(get_args(type_)) if get_origin(type_) is Literal else []

    def _distinct(self, field: str) -> Iterator[Any]:
        assert field in self.example, f"the example of {self.name} has no {field}: {self.example}"
        seen: dict[str, Any] = {}
        for number in range(ENOUGH):
            for value in self._choices(field) or _variants(self.example[field], number):
                try:
                    self.api.create.model_validate(self.example | {field: value})
                except ValidationError:
                    continue
                if repr(value) not in seen:
                    seen[repr(value)] = value
                    yield value
        if field in self.unique:
            raise AssertionError(f"no further value of {field} is like that in the example, {self.example[field]!r}")
        while True:
            yield from seen.values()


def _bare(type_: Any) -> Any:
    """The type without null."""
    found = [inner for inner in get_args(type_) if inner is not NoneType]
    return found[0] if NoneType in get_args(type_) else type_


def _variants(value: Any, number: int) -> list[Any]:
    """Values like this one."""
    if isinstance(value, bool):
        return [value, not value]
    if isinstance(value, int | float):
        return [value + number]
    if not isinstance(value, str):
        return [value]
    if number == 0:
        return [value]
    found = re.fullmatch(r"(.*?)(\d+)(.*)", value, re.DOTALL)
    if found is None:
        return [f"{value} {number}", f"n{number}{value}"]
    before, digits, after = found.groups()
    counted = f"{(int(digits) + number) % 10 ** len(digits):0{len(digits)}}"
    return [f"{value} {number}", f"{before}{counted}{after}", f"n{number}{value}"]


RESOURCE_OF: dict[str, Resource] = {}
for _found in resources.parents_first():
    RESOURCE_OF[_found.name] = Resource(_found)
RESOURCES = tuple(RESOURCE_OF[name] for name in resources.RESOURCES)

every_resource = pytest.mark.parametrize("resource", RESOURCES, ids=str)
_REFERENCES = [(resource, field) for resource in RESOURCES for field in resource.parents]
every_reference = pytest.mark.parametrize(("resource", "field"), _REFERENCES, ids=str)
# Those with a path of their own, /shelves/{id}/books.
every_list_of = pytest.mark.parametrize(
    ("resource", "field"),
    [(found, field) for found, field in _REFERENCES if list(found.parents.values()).count(found.parents[field]) == 1],
    ids=str,
)


def every_field(*kinds: Any) -> pytest.MarkDecorator:
    """Each field of these types, of each resource."""
    found = [(resource, field) for resource in RESOURCES for field in resource.of_kind(*kinds)]
    return pytest.mark.parametrize(("resource", "field"), found, ids=str)


# Those whose records are known by a text of one line, which may be any.
every_labelled = pytest.mark.parametrize(
    "resource", [resource for resource in RESOURCES if resource.label in resource.of_kind(Name, Line)], ids=str
)


async def new(client: httpx.AsyncClient, resource: Resource, **fields: Any) -> dict[str, Any]:
    """The body of a new record, with these fields and those that it needs."""
    body = dict(fields)
    for field in resource.required:
        if field not in body:
            parent = resource.parents.get(field)
            body[field] = resource.another(field) if parent is None else (await make(client, parent.path))["id"]
    return body


async def complete(client: httpx.AsyncClient, resource: Resource) -> dict[str, Any]:
    """The body of a new record with all fields; what it may but need not belong to is null."""
    free = {name: resource.another(name) for name in resource.fields if name not in resource.parents}
    return await new(client, resource, **dict.fromkeys(set(resource.parents) - set(resource.required)), **free)


async def make(client: httpx.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    """A record created through the api."""
    answer = await client.post(path, json=await new(client, RESOURCE_OF[path[1:]], **fields))
    assert answer.status_code == 201, answer.text
    record: dict[str, Any] = answer.json()
    return record
