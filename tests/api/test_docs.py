"""/docs and the OpenAPI documents behind it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from api.__main__ import app as commands
from api.main import Api

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def walk(found: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All objects of a document, each with the name that it has there; not those of examples."""
    if isinstance(found, dict):
        yield name, found
    if name in {"example", "examples"}:
        return
    for key, value in found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ():
        yield from walk(value, str(key))


@pytest.fixture(scope="module")
async def document(worker_app: Api) -> dict[str, Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(worker_app), base_url="http://zoo.test") as client:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
    return document


class TestDocument:
    async def test_operation_ids_are_tag_and_function(self, document: dict[str, Any]) -> None:
        ids = {o["operationId"] for path in document["paths"].values() for o in path.values()}
        assert {"animals-list_animals", "exhibits-create_exhibit", "health-read_readiness"} <= ids
        assert len(ids) == sum(len(path) for path in document["paths"].values())

    async def test_every_schema_has_an_example(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        assert [name for name, schema in schemas.items() if not schema.keys() & {"examples", "enum"}] == []

    async def test_every_operation_says_what_it_does_and_how_it_can_fail(self, document: dict[str, Any]) -> None:
        for path, operations in document["paths"].items():
            for operation in operations.values():
                assert operation["description"]
                assert {"422", "503"} <= operation["responses"].keys()
                for status, response in operation["responses"].items():
                    kinds = {"text/csv"} if ".csv" in path and status == "200" else {"application/json"}
                    found = {kind: "schema" in about for kind, about in response.get("content", {}).items()}
                    assert status in {"204", "304"} or found == dict.fromkeys(kinds, True), (path, status)

    async def test_every_example_and_default_fits_its_schema(self, document: dict[str, Any]) -> None:
        everything = {"$schema": DIALECT, "components": document["components"]}
        examples = [(schema, example) for _, schema in walk(document) for example in schema.get("examples", ())]
        for name, content in walk(document):
            if "example" in content:
                examples.append((content["schema"], content["example"]))
            if "default" in content and name not in {"properties", "responses"}:
                examples.append((content, content["default"]))
        assert len(examples) > 2 * len(document["paths"])
        for schema, example in examples:
            Draft202012Validator(everything | schema).validate(example)

    async def test_every_array_says_what_is_in_it(self, document: dict[str, Any]) -> None:
        assert [name for name, found in walk(document) if found.get("type") == "array" and "items" not in found] == []

    async def test_every_operation_says_its_group_and_whether_it_is_for_anybody(self, document: dict[str, Any]) -> None:
        groups = {tag["name"]: tag["description"] for tag in document["tags"]}
        assert all(re.fullmatch(r"[A-Z].+\.", description) for description in groups.values())
        operations = [operation for path in document["paths"].values() for operation in path.values()]
        assert {tag for operation in operations for tag in operation["tags"]} == groups.keys()
        assert next(iter(groups)) == "auth"
        assert all("security" in operation for operation in operations)
        assert document["paths"]["/animals"]["get"]["security"] == []
        assert document["paths"]["/animals"]["post"]["security"] != []

    async def test_the_examples_of_errors_are_what_is_answered(
        self, document: dict[str, Any], client: httpx.AsyncClient
    ) -> None:
        """Those that depend on the operation: no such record, and an invalid request."""
        compared = 0
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                examples = {
                    status: response["content"]["application/json"]["example"]["detail"]
                    for status, response in operation["responses"].items()
                    if status in {"404", "422"}
                }
                ids = re.findall(r"[0-9a-f-]{36}|\d+", str(examples.get("404")))[::-1]
                url = path.format(**dict(zip(re.findall(r"{(\w+)}", path), ids, strict=False)))
                if method == "get" and path.count("{") == 1:
                    assert (await client.get(url)).json()["detail"] == examples["404"]
                    compared += 1
                (invalid,) = examples["422"]
                where, name = invalid["loc"]
                body = {} if invalid["type"] == "missing" or where == "query" else {name: 1}
                options: dict[str, Any] = {"params": {name: 1}} if where == "query" else {"json": body}
                answer = await client.request(method, url, **options)
                if answer.status_code != 503:  # there is no storage here
                    assert invalid in answer.json()["detail"], (method, url, answer.json())
                    compared += 1
        assert compared > len(document["paths"])

    @pytest.mark.usefixtures("log")
    def test_the_command_writes_the_same_document(self, document: dict[str, Any]) -> None:
        assert json.loads(CliRunner().invoke(commands, ["openapi"], catch_exceptions=False).stdout) == document
