"""The OpenAPI document: what FastAPI makes of the routes, completed."""

from collections.abc import Iterable
from typing import Any

from fastapi.routing import APIRouter

from api.http.examples import add_examples_of_errors, with_nulls

INFO: dict[str, Any] = {"contact": {"name": "Zoo"}, "license_info": {"name": "MIT", "identifier": "MIT"}}
"""Who answers for the API, and under which license it may be used."""


def tags(groups: Iterable[tuple[APIRouter, str]]) -> list[dict[str, str]]:
    """The groups of operations, each with a sentence about it."""
    about: dict[str, str] = {}
    for router, text in groups:
        if router.include_in_schema:
            about.setdefault(str(router.tags[0]), text)
    return [{"name": name, "description": text[:1].upper() + text[1:]} for name, text in about.items()]


def complete(document: dict[str, Any]) -> None:
    """Add to the document what no route declares.

    That is If-None-Match, because api/http/answers.py implements it for all, that an operation is for anybody, and
    examples.
    """
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        if "examples" in schema:
            schema["examples"] = [with_nulls(example, schema, schemas) for example in schema["examples"]]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if "304" in operation["responses"]:
                operation.setdefault("parameters", []).append(_IF_NONE_MATCH)
            operation.setdefault("security", [])
            add_examples_of_errors(path, operation, schemas)


_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "title": "If-None-Match"},
    "description": "The `ETag` of what the client has: if that has not changed, the answer is 304, without a body.",
}


def below(document: dict[str, Any], root: str) -> dict[str, Any]:
    """The document for clients that find the API below `root`, which is "" if no proxy adds a prefix."""
    return document | {"servers": [{"url": root or "/"}]}
