"""/docs and the OpenAPI documents behind it."""

import json
import re
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from api.__main__ import app as commands


class TestDocument:
    @pytest.fixture
    async def document(self, client: httpx.AsyncClient) -> dict[str, Any]:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
        return document

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

    def test_the_command_writes_the_same_document(self, document: dict[str, Any]) -> None:
        assert json.loads(CliRunner().invoke(commands, ["openapi"], catch_exceptions=False).stdout) == document


async def test_the_orders_have_a_complete_document_of_their_own(client: httpx.AsyncClient) -> None:
    whole = (await client.get("/openapi.json")).json()
    part = (await client.get("/openapi/orders.json")).json()
    assert part["paths"] == {path: found for path, found in whole["paths"].items() if path.startswith("/orders")}
    assert part["info"] == {"title": "Zoo: orders", "version": whole["info"]["version"]}
    referred = set(re.findall(r'"#/components/schemas/(.*?)"', json.dumps(part)))
    assert part["components"]["schemas"] == {name: whole["components"]["schemas"][name] for name in referred}
    schemes = {name for path in part["paths"].values() for o in path.values() for use in o["security"] for name in use}
    assert schemes == part["components"]["securitySchemes"].keys()
    order = part["components"]["schemas"]["OrderRead"]
    assert (order["properties"].keys(), order["additionalProperties"]) == ({"id", "created", "status", "order"}, False)
