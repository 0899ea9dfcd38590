"""Entity tags: what has not changed is not sent again, and what has changed is not changed unseen."""

import httpx
import pytest

from api.schemas.text import Line, Name, Prose
from tests.api.records import Resource, complete, every_resource, make


async def tag_of(client: httpx.AsyncClient, path: str) -> str:
    tag: str = (await client.get(path)).headers["ETag"]
    return tag


class TestIfNoneMatch:
    @every_resource
    async def test_a_record_that_has_not_changed_is_not_sent_again(
        self, client: httpx.AsyncClient, resource: Resource
    ) -> None:
        path = f"{resource.path}/{(await make(client, resource.path))['id']}"
        first = await client.get(path)
        again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
        assert not again.headers.keys() & {"content-length", "content-type"}
        change = resource.change()
        await client.patch(path, json=change)
        changed = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (changed.status_code, changed.json() | change) == (200, changed.json())
        assert changed.headers["ETag"] != first.headers["ETag"]

    @pytest.mark.parametrize("path", ["/animals", "/exhibits", "/openapi.json"])
    async def test_lists_and_everything_else_that_is_read_have_a_tag(
        self, client: httpx.AsyncClient, path: str
    ) -> None:
        tag = await tag_of(client, path)
        assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 304
        assert (await client.head(path, headers={"If-None-Match": tag})).status_code == 304

    @every_resource
    async def test_a_list_changes_with_each_of_its_records(self, client: httpx.AsyncClient, resource: Resource) -> None:
        seen = {await tag_of(client, resource.path)}
        record = await make(client, resource.path)
        seen.add(await tag_of(client, resource.path))
        await client.patch(f"{resource.path}/{record['id']}", json=resource.change())
        seen.add(await tag_of(client, resource.path))
        assert len(seen) == 3

    async def test_a_page_that_is_no_longer_the_last_has_another_tag(self, client: httpx.AsyncClient) -> None:
        await make(client, "/animals")
        last = await client.get("/animals?limit=1")
        assert "Link" not in last.headers
        await make(client, "/animals")
        again = await client.get("/animals?limit=1", headers={"If-None-Match": last.headers["ETag"]})
        assert (again.status_code, again.json()) == (200, last.json())
        assert "Link" in again.headers

    async def test_may_be_a_list_and_weak(self, client: httpx.AsyncClient) -> None:
        tag = await tag_of(client, "/exhibits")
        for form, status in {
            "{}": 304,
            "W/{}": 304,
            '"another", {}': 304,
            'W/"another",W/{}': 304,
            "*": 304,
            '"another"': 200,
            "{}x": 304,
            "": 200,
            "nothing at all": 200,
        }.items():
            answer = await client.get("/exhibits", headers={"If-None-Match": form.format(tag)})
            assert (form, answer.status_code) == (form, status)

    async def test_may_be_in_several_lines(self, client: httpx.AsyncClient) -> None:
        tag = await tag_of(client, "/exhibits")
        lines = [("If-None-Match", '"another"'), ("If-None-Match", tag), ("If-None-Match", '"third"')]
        assert (await client.get("/exhibits", headers=lines)).status_code == 304

    async def test_an_error_is_never_replaced_by_a_304(self, client: httpx.AsyncClient) -> None:
        anything = {"If-None-Match": "*"}
        for refused, status in (
            (await client.get("/animals/999999", headers=anything), 404),
            (await client.get("/animals?limit=x", headers=anything), 422),
        ):
            assert (refused.status_code, "ETag" in refused.headers) == (status, False)

    async def test_a_change_is_answered_in_full(self, client: httpx.AsyncClient) -> None:
        path = f"/animals/{(await make(client, '/animals'))['id']}"
        changed = await client.patch(path, json={"name": "B"}, headers={"If-None-Match": "*"})
        assert (changed.status_code, changed.json()["name"]) == (200, "B")


class TestIfMatch:
    """What may be changed: its path, the change, and the answer to that."""

    @every_resource
    async def test_a_record_in_its_current_state_may_be_changed_and_each_answer_has_the_next_tag(
        self, client: httpx.AsyncClient, resource: Resource
    ) -> None:
        odd = dict.fromkeys(resource.of_kind(Prose), "\u2028\x01\x7f\t\r\n") | dict.fromkeys(
            resource.of_kind(Name, Line), 'Ñandú "🦒" <b>&\\/'
        )
        made = await client.post(resource.path, json=await complete(client, resource) | odd)
        path, tag = made.headers["Location"], made.headers["ETag"]
        assert tag == await tag_of(client, path)
        for _ in range(2):
            changed = await client.patch(path, json=resource.change(), headers={"If-Match": tag})
            assert changed.status_code == 200
            assert changed.headers["ETag"] not in {tag, ""}
            tag = changed.headers["ETag"]
            assert tag == await tag_of(client, path)
        assert (await client.delete(path, headers={"If-Match": tag})).status_code == 200

    @every_resource
    async def test_a_record_that_has_changed_since_is_412_and_stays(
        self, client: httpx.AsyncClient, resource: Resource
    ) -> None:
        path = f"{resource.path}/{(await make(client, resource.path))['id']}"
        stale = {"If-Match": await tag_of(client, path)}
        now = (await client.patch(path, json=resource.change())).json()
        for refused in (
            await client.patch(path, json=resource.change(), headers=stale),
            await client.patch(path, json=dict.fromkeys(resource.parents, 99999), headers=stale),
            await client.delete(path, headers=stale),
        ):
            assert refused.status_code == 412
            assert "read it again" in refused.json()["detail"]
        assert (await client.get(path)).json() == now

    async def test_may_be_a_list_and_is_never_weak(self, client: httpx.AsyncClient) -> None:
        path = f"/animals/{(await make(client, '/animals'))['id']}"
        tag = await tag_of(client, path)
        for form, status in {
            "{}": 200,
            '"another", {}': 200,
            "*": 200,
            "W/{}": 412,
            '"another"': 412,
            "": 412,
            "unquoted": 412,
            'W/"another", {}': 200,
        }.items():
            answer = await client.patch(path, json={}, headers={"If-Match": form.format(tag)})
            assert (form, answer.status_code) == (form, status)

    async def test_may_be_the_tag_of_the_compressed_answer(self, client: httpx.AsyncClient) -> None:
        path = f"/animals/{(await make(client, '/animals', description='x' * 5000))['id']}"
        compressed = await client.get(path, headers={"Accept-Encoding": "gzip"})
        assert compressed.headers["Content-Encoding"] == "gzip"
        headers = {"If-Match": compressed.headers["ETag"]}
        assert (await client.patch(path, json={"name": "B"}, headers=headers)).status_code == 200

    @every_resource
    async def test_an_unknown_record_is_404_whatever_the_tag(
        self, client: httpx.AsyncClient, resource: Resource
    ) -> None:
        for tag in ("*", '"another"'):
            headers = {"If-Match": tag}
            assert (await client.patch(f"{resource.path}/99999", json={}, headers=headers)).status_code == 404
            assert (await client.delete(f"{resource.path}/99999", headers=headers)).status_code == 404


async def test_the_document_has_it(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    for path, operations in paths.items():
        if path.startswith(("/health", "/auth")) or path.endswith(".csv"):
            continue
        for method, operation in operations.items():
            responses = operation["responses"]
            headers = {parameter["name"] for parameter in operation.get("parameters", ())}
            if method == "get":
                assert "ETag" in responses["200"]["headers"], path
                assert "304" in responses
                assert "If-None-Match" in headers
            elif "201" in responses:
                assert "ETag" in responses["201"]["headers"], path
            elif "202" not in responses:  # which begins work, and changes nothing that the client has seen
                assert "412" in responses, (method, path)
                assert "If-Match" in headers
                assert "ETag" in responses.get("200", {}).get("headers", {}) or method == "delete"
