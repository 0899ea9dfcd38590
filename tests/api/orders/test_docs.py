"""The documentation of the orders only: /docs/orders, /openapi/orders.json."""

import json
import re

import httpx

from tests.api.test_answers import EVIL, assert_only_its_own_scripts


async def test_the_orders_have_a_complete_document_of_their_own(client: httpx.AsyncClient) -> None:
    whole = (await client.get("/openapi.json")).json()
    part = (await client.get("/openapi/orders.json")).json()
    assert part["paths"] == {path: found for path, found in whole["paths"].items() if path.startswith("/orders")}
    assert part["info"].items() >= {"title": "Zoo: orders", "version": whole["info"]["version"]}.items()
    referred = set(re.findall(r'"#/components/schemas/(.*?)"', json.dumps(part)))
    assert part["components"]["schemas"] == {name: whole["components"]["schemas"][name] for name in referred}
    schemes = {name for path in part["paths"].values() for o in path.values() for use in o["security"] for name in use}
    assert schemes == part["components"]["securitySchemes"].keys()
    order = part["components"]["schemas"]["OrderRead"]
    assert (order["properties"].keys(), order["additionalProperties"]) == ({"id", "created", "status", "order"}, False)


async def test_the_page_runs_only_its_own_scripts_and_does_not_name_the_host_of_the_request(
    client: httpx.AsyncClient,
) -> None:
    assert_only_its_own_scripts(await client.get("/docs/orders"))
    for path in ("/docs/orders", "/openapi/orders.json"):
        answer = await client.get(path, headers=EVIL)
        assert "evil" not in answer.text + str(answer.headers)
