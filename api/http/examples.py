"""Examples of the OpenAPI document: those of errors, and what FastAPI leaves out of the others."""

import re
from collections.abc import Mapping
from typing import Any

from api.http.findings import UNKNOWN, finding

JSON = "application/json"
NUMBER, UUID = 7, "019ab9e1-7c00-7000-8000-000000000002"
Schemas = Mapping[str, dict[str, Any]]


def of_error(detail: Any) -> dict[str, Any]:
    """The example of an answer with this detail, as a response's `content`."""
    return {JSON: {"example": {"detail": detail}}}


def with_nulls(example: Any, schema: dict[str, Any], schemas: Schemas) -> Any:
    """The example with the required fields that are null, which FastAPI leaves out of its document."""
    schema = _resolved(schema, schemas)
    if isinstance(example, list):
        return [with_nulls(item, schema.get("items", {}), schemas) for item in example]
    if not isinstance(example, dict):
        return example
    found, fields = dict(example), schema.get("properties", {})
    for name in schema.get("required", ()):
        if {"type": "null"} in fields[name].get("anyOf", ()):
            found.setdefault(name, None)
    names = [*(name for name in fields if name in found), *(name for name in found if name not in fields)]
    return {name: with_nulls(found[name], fields.get(name, {}), schemas) for name in names}


def add_examples_of_errors(path: str, operation: dict[str, Any], schemas: Schemas) -> None:
    """Add the examples that depend on the operation: no such record, and an invalid request."""
    for status, detail in (("404", _not_found(path, operation)), ("422", [_invalid(operation, schemas)])):
        if content := operation["responses"].get(status, {}).get("content"):
            content[JSON].setdefault("example", {"detail": detail})


def _not_found(path: str, operation: dict[str, Any]) -> str:
    types = {
        field["name"].removesuffix("_id"): field["schema"].get("type") for field in operation.get("parameters", ())
    }
    ids = {noun: NUMBER if types[noun] == "integer" else UUID for noun in re.findall(r"{(\w+)_id}", path)}
    ids = ids or {operation["tags"][0].removesuffix("s"): UUID}
    return f"No {' of '.join(f'{noun} {record_id}' for noun, record_id in reversed(ids.items()))}".replace("_", " ")


def _invalid(operation: dict[str, Any], schemas: Schemas) -> dict[str, Any]:
    if "requestBody" not in operation:
        return finding("extra_forbidden", ("query", "colour"), UNKNOWN)
    (content, *_) = operation["requestBody"]["content"].values()
    for name in _resolved(content["schema"], schemas).get("required", ()):
        return finding("missing", ("body", name), "Field required")
    return finding("extra_forbidden", ("body", "colour"), UNKNOWN)


def _resolved(schema: dict[str, Any], schemas: Schemas) -> dict[str, Any]:
    """The schema itself, where there is a reference, or a choice of it and null."""
    schema = next((found for found in schema.get("anyOf", ()) if found != {"type": "null"}), schema)
    reference = schema.get("$ref")
    return schemas[reference.rpartition("/")[2]] if reference else schema
