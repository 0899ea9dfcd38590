"""What follows from the fields of a new record: how it is changed, how clients get it, and what lists of it are asked
for.

All of it is made once, when the module of a resource is imported, and is a class like any other then.
"""

from collections.abc import Mapping
from dataclasses import make_dataclass
from typing import Annotated, Any, Literal, cast, get_type_hints

from pydantic import MISSING, ConfigDict, Field, SerializeAsAny, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from sqlalchemy import JSON, Column, Enum

from api.models.base import TIMESTAMPS, Record, columns_of
from api.schemas.fields import RECORD_BODY, Computed, PageQuery, RecordRead, RequestBody, Sort, record_example
from api.schemas.text import SearchText

ID = "id"


def update_of(create: type[RequestBody], noun: str) -> type[RequestBody]:
    """Changes to a record: any of its fields, none of which is required. TypeError if these have a rule in common."""
    for name, validator in create.__pydantic_decorators__.model_validators.items():
        if validator.info.mode != "before":
            raise TypeError(f"{create.__name__}.{name} checks a whole record, and a change has only some of its fields")
    kept = {name for name, field in create.model_fields.items() if not field.is_required() and field.default is None}
    fields: dict[str, Any] = {
        name: (_type_with_limits(field) | MISSING, Field(default=MISSING, **_said_of(field)))
        for name, field in create.model_fields.items()
        if name not in kept
    }
    made: type[RequestBody] = create_model(f"{_stem(create)}Update", __base__=create, __module__=__name__, **fields)
    # One field: a change is not the whole record.
    shown = [(name, value) for name, value in _example(create).items() if value is not None][:1]
    made.model_config["json_schema_extra"] = {"examples": [dict(shown)]}
    made.__doc__ = f"Changes to {noun}: only the fields sent change, and null clears an optional one."
    return made


def read_of(create: type[RequestBody], model: type[Record], noun: str, computed: type[Computed]) -> type[RecordRead]:
    """A record, as clients get it: the fields that they set, in the columns' order, and those that are computed."""
    _refuse_misfits(create, model)
    computed_types = {name: type_ for name, type_ in get_type_hints(computed).items() if name != "EXAMPLE"}
    columns = [
        (name, _type_read(create.model_fields[name], column))
        for name, column in columns_of(model).items()
        if name in create.model_fields
    ]
    fields = [*columns, *computed_types.items()]
    example = record_example({**_example(create), **computed.EXAMPLE})
    about = {
        "__doc__": f"{noun[0].upper()}{noun[1:]}.",
        "__module__": __name__,
        "__pydantic_config__": ConfigDict(json_schema_extra={"examples": [example]}),
    }
    return make_dataclass(f"{_stem(create)}Read", fields, bases=(computed, RecordRead), namespace=about)


def _refuse_misfits(create: type[RequestBody], model: type[Record]) -> None:
    """TypeError if these fields, and no others, don't make a row."""
    columns = columns_of(model)
    for name, field in create.model_fields.items():
        if name in {ID, *TIMESTAMPS, "deleted_at"}:
            raise TypeError(f"{create.__name__} has {name}, which the api itself sets")
        if name not in columns:
            raise TypeError(f"{create.__name__} has {name}, and {model.__name__} has no column for it")
        if field.alias is not None:
            raise TypeError(f"{create.__name__}.{name} has an alias: call it so, and {model.__name__}'s attribute, too")
        if field.default_factory is not None:
            raise TypeError(f"{create.__name__}.{name} has a default_factory: a default is the same for all records")
        if not columns[name].nullable and _may_be_null(field):
            raise TypeError(f"{create.__name__}.{name} may be null, and {model.__name__}'s column may not")
    for name in columns.keys() - create.model_fields.keys():
        column = columns[name]
        if column.default is not None:
            raise TypeError(
                f"{model.__name__}.{name} has a default of Python's: files and routes need a server_default"
            )
        if not column.nullable and column.server_default is None:
            raise TypeError(f"{model.__name__}.{name} needs a value, and {create.__name__} has no such field")


def _may_be_null(field: FieldInfo) -> bool:
    if field.default is None:
        return True
    try:
        TypeAdapter(_type_with_limits(field)).validate_python(None)
    except ValidationError:
        return False
    return True


def body_size(create: type[RequestBody]) -> int:
    """How many bytes a record may have: as many as its texts can take, with each character as two escapes of six."""
    schema = create.model_json_schema()
    return max(RECORD_BODY, -(-_bytes(schema, schema.get("$defs", {})) // 1024) * 1024)


def _bytes(part: Any, definitions: Mapping[str, Any]) -> int:
    """How many bytes this part of a JSON schema may take; of what has itself in it, or has no limit, only once."""
    if not isinstance(part, dict):
        return 0
    if (name := part.get("$ref", "").removeprefix("#/$defs/")) in definitions:
        others = {other: definition for other, definition in definitions.items() if other != name}
        return _bytes(definitions[name], others)
    fields = part.get("properties", {}).values()
    inside = [*fields, *part.get("prefixItems", ()), part.get("additionalProperties")]
    inside += [choice for several in ("anyOf", "oneOf", "allOf") for choice in part.get(several, ())]
    needed = 12 * int(part.get("maxLength", 0)) + 64 * len(fields) + sum(_bytes(one, definitions) for one in inside)
    return needed + int(part.get("maxItems", 1)) * (_bytes(part["items"], definitions) + 64 if "items" in part else 0)


def query_of(
    create: type[RequestBody], model: type[Record], records: str, filters: Mapping[str, str]
) -> type[PageQuery]:
    """Which of the `records`, for a list; each of the `filters` has its description."""
    columns = columns_of(model)
    if structured := [name for name in (*filters, *model.__sorts__) if isinstance(columns[name].type, JSON)]:
        raise TypeError(f"{records} can't be filtered or sorted by {structured[0]}, because it is JSON")
    if taken := filters.keys() & {*PageQuery.model_fields, *dir(PageQuery), "q", "after_value"}:
        raise TypeError(f"{records} can't be filtered by {min(taken)}: every list uses this name for something else")
    sorts = [ID, *model.__sorts__, *TIMESTAMPS]
    for name in model.__sorts__:
        if columns[name].nullable:
            raise TypeError(f"{records} can't be sorted by {name}, because it may be null")
    choices = Literal[tuple(order for name in sorts for order in (name, f"-{name}"))]  # type: ignore[valid-type]  # a tuple of strings
    fields: dict[str, Any] = {}
    for name, about in filters.items():
        field = create.model_fields.get(name)
        type_ = type_of(columns[name]) if field is None else _type_with_limits(field)
        fields[name] = (type_ | None, Field(default=None, description=about))
    if model.__label__ is not None:
        about = f"Only {records} whose {model.__label__} contains this, whatever its case."
        fields["q"] = (SearchText | None, Field(default=None, description=about))
    made: type[PageQuery] = create_model(
        f"{_stem(create)}Query",
        __base__=PageQuery,
        __module__=__name__,
        sort=(cast("Any", choices), Field(default=ID, description="The order; with a minus, the other way round.")),
        **fields,
    )
    made.__doc__ = f"Which {records}."
    made.sorts = {name: Sort(columns[name].type, not_null(columns[name])) for name in sorts}
    return made


def _type_read(field: FieldInfo, column: Column[Any]) -> Any:
    """The type of a column's values, of which the column of JSON knows nothing. Its parts are as the driver reads them,
    also where clients send a model.
    """
    if not isinstance(column.type, JSON):
        return type_of(column)
    type_: Any = field.annotation
    return cast("Any", SerializeAsAny)[type_ | None if column.nullable else type_]


def _type_with_limits(field: FieldInfo) -> Any:
    """The type of a field, with its limits: they may stand beside its default."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _said_of(field: FieldInfo) -> dict[str, Any]:
    """What the document says of a field besides that."""
    return {name: getattr(field, name) for name in ("title", "description", "examples", "json_schema_extra")}


def type_of(column: Column[Any]) -> Any:
    """The type of a column's values, as the driver returns them."""
    return not_null(column) | None if column.nullable else not_null(column)


def not_null(column: Column[Any]) -> Any:
    """The same without null; of an enum, the driver returns text."""
    return Literal[tuple(column.type.enums)] if isinstance(column.type, Enum) else column.type.python_type


def _stem(create: type[RequestBody]) -> str:
    return create.__name__.removesuffix("Create")


def _example(create: type[RequestBody]) -> dict[str, Any]:
    extra = create.model_config.get("json_schema_extra")
    if not isinstance(extra, dict) or not isinstance(extra.get("examples"), list):
        raise TypeError(f"{create.__name__} needs an example: the document shows it, and the tests make records of it")
    return extra["examples"][0]  # type: ignore[index,return-value]  # of JSON's types
