"""What all resources have in common."""

from datetime import datetime
from typing import Any

import httpx
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from api.schemas.text import Line, Name, Prose
from tests.api.records import Resource, complete, every_resource, make, new

GONE = 2**62


@every_resource
async def test_white_space_around_a_line_is_removed(client: httpx.AsyncClient, resource: Resource) -> None:
    lines = resource.of_kind(Name, Line)
    for blank in ("\n", " "):
        record = await make(client, resource.path, **dict.fromkeys(lines, f"  Amara{blank}"))
        assert {field: record[field] for field in lines} == dict.fromkeys(lines, "Amara"), blank
        await client.delete(f"{resource.path}/{record['id']}")  # what is unique may be so again


@every_resource
class TestCreate:
    async def test_answers_201_with_the_record_and_its_location(
        self, client: httpx.AsyncClient, resource: Resource
    ) -> None:
        body = await complete(client, resource)
        answer = await client.post(resource.path, json=body)
        record = answer.json()
        assert answer.status_code == 201
        assert body.items() <= record.items()
        assert record["deleted_at"] is None
        assert answer.headers["Location"] == f"{resource.path}/{record['id']}"
        assert (await client.get(answer.headers["Location"])).json() == record

    async def test_fields_left_out_are_null(self, client: httpx.AsyncClient, resource: Resource) -> None:
        record = await make(client, resource.path)
        assert {record[name] for name in resource.optional} <= {None}

    async def test_timestamps_have_a_zone_and_agree(self, client: httpx.AsyncClient, resource: Resource) -> None:
        record = await make(client, resource.path)
        assert datetime.fromisoformat(record["created_at"]).tzinfo is not None
        assert record["created_at"] == record["updated_at"]

    async def test_id_and_timestamps_cannot_be_set(self, client: httpx.AsyncClient, resource: Resource) -> None:
        for field in ("id", "created_at", "updated_at", "deleted_at"):
            answer = await client.post(resource.path, json=await new(client, resource, **{field: None}))
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["loc"] == ["body", field]


@every_resource
class TestRead:
    async def test_an_unknown_record_is_404(self, client: httpx.AsyncClient, resource: Resource) -> None:
        answer = await client.get(f"{resource.path}/{GONE}")
        assert answer.status_code == 404
        assert str(GONE) in answer.json()["detail"]

    async def test_a_deleted_record_is_404(self, client: httpx.AsyncClient, resource: Resource) -> None:
        record = await make(client, resource.path)
        await client.delete(f"{resource.path}/{record['id']}")
        assert (await client.get(f"{resource.path}/{record['id']}")).status_code == 404


@every_resource
class TestUpdate:
    async def test_changes_only_the_fields_sent(self, client: httpx.AsyncClient, resource: Resource) -> None:
        record = await make(client, resource.path, **await complete(client, resource))
        change = resource.change()
        changed = (await client.patch(f"{resource.path}/{record['id']}", json=change)).json()
        assert changed == record | change | {"updated_at": changed["updated_at"]}
        assert changed["updated_at"] > record["updated_at"]
        assert (await client.get(f"{resource.path}/{record['id']}")).json() == changed

    async def test_null_clears_an_optional_field(self, client: httpx.AsyncClient, resource: Resource) -> None:
        record = await make(client, resource.path, **await complete(client, resource))
        for field in resource.optional:
            answer = await client.patch(f"{resource.path}/{record['id']}", json={field: None})
            assert answer.status_code == 200
            assert answer.json()[field] is None

    async def test_an_empty_body_changes_nothing(self, client: httpx.AsyncClient, resource: Resource) -> None:
        record = await make(client, resource.path, **await complete(client, resource))
        url = f"{resource.path}/{record['id']}"
        for answer in [await client.patch(url, json={}), await client.patch(url)]:
            assert answer.status_code == 200
            assert answer.json() == record
        assert (await client.get(f"{resource.path}/{record['id']}")).json() == record

    async def test_the_same_values_again_change_nothing(self, client: httpx.AsyncClient, resource: Resource) -> None:
        body = await complete(client, resource)
        record = await make(client, resource.path, **body)
        assert (await client.patch(f"{resource.path}/{record['id']}", json=body)).json() == record

    async def test_what_is_required_cannot_be_null(self, client: httpx.AsyncClient, resource: Resource) -> None:
        record = await make(client, resource.path)
        for field in resource.required:
            answer = await client.patch(f"{resource.path}/{record['id']}", json={field: None})
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["loc"][:2] == ["body", field]

    async def test_an_unknown_record_is_404(self, client: httpx.AsyncClient, resource: Resource) -> None:
        assert (await client.patch(f"{resource.path}/{GONE}", json=resource.change())).status_code == 404

    async def test_a_deleted_record_is_404(self, client: httpx.AsyncClient, resource: Resource) -> None:
        record = await make(client, resource.path)
        await client.delete(f"{resource.path}/{record['id']}")
        assert (await client.patch(f"{resource.path}/{record['id']}", json=resource.change())).status_code == 404


@every_resource
class TestDelete:
    async def test_answers_with_the_record_marked_as_deleted(
        self, client: httpx.AsyncClient, resource: Resource
    ) -> None:
        record = await make(client, resource.path, **await complete(client, resource))
        answer = await client.delete(f"{resource.path}/{record['id']}")
        deleted = answer.json()
        assert answer.status_code == 200
        assert deleted["deleted_at"] > record["created_at"]
        assert deleted == record | {"deleted_at": deleted["deleted_at"], "updated_at": deleted["updated_at"]}

    async def test_a_second_time_is_404(self, client: httpx.AsyncClient, resource: Resource) -> None:
        record = await make(client, resource.path)
        await client.delete(f"{resource.path}/{record['id']}")
        assert (await client.delete(f"{resource.path}/{record['id']}")).status_code == 404


@every_resource
class TestList:
    async def test_is_empty_in_an_empty_zoo(self, client: httpx.AsyncClient, resource: Resource) -> None:
        answer = await client.get(resource.path)
        assert (answer.status_code, answer.json()) == (200, [])
        assert "Link" not in answer.headers

    async def test_is_in_id_order_without_the_deleted(self, client: httpx.AsyncClient, resource: Resource) -> None:
        made = [await make(client, resource.path) for _ in range(3)]
        await client.delete(f"{resource.path}/{made[1]['id']}")
        assert (await client.get(resource.path)).json() == [made[0], made[2]]

    async def test_the_next_link_leads_through_all_records_once(
        self, client: httpx.AsyncClient, resource: Resource
    ) -> None:
        ids = [(await make(client, resource.path))["id"] for _ in range(3)]
        seen = []
        url = f"{resource.path}?limit=2"
        for _ in range(2):
            answer = await client.get(url)
            seen += [record["id"] for record in answer.json()]
            url = answer.links.get("next", {}).get("url", "")
        assert seen == ids
        assert not url


class TestPartsOfLists:
    """What part of a list is asked for: the same code for all of them."""

    async def test_a_timestamp_is_written_as_in_a_single_record_even_at_a_whole_second(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        record = await make(client, "/animals")
        for moment in ("2026-11-25 10:00:00+00", "2026-11-25 10:00:00.5+00"):
            await connection.execute(sql(f"UPDATE animals SET created_at = '{moment}'"))
            read = await client.get(f"/animals/{record['id']}")
            assert (await client.get("/animals")).json() == [read.json()]

    async def test_offset_skips_records(self, client: httpx.AsyncClient) -> None:
        ids = [(await make(client, "/animals"))["id"] for _ in range(5)]
        answer = await client.get("/animals?offset=2&limit=2")
        assert [record["id"] for record in answer.json()] == ids[2:4]
        rest = await client.get(answer.links["next"]["url"])
        assert [record["id"] for record in rest.json()] == ids[4:]

    async def test_the_largest_offset_or_after_is_an_empty_page(self, client: httpx.AsyncClient) -> None:
        await make(client, "/animals")
        for query in ("offset=10000", f"after={2**63 - 1}"):
            answer = await client.get(f"/animals?{query}")
            assert (answer.status_code, answer.json()) == (200, [])

    async def test_a_larger_offset_is_422_and_names_after(self, client: httpx.AsyncClient) -> None:
        for offset in (10_001, 2**63 - 1, 10**30):
            answer = await client.get(f"/animals?offset={offset}")
            assert answer.status_code == 422
            (found,) = answer.json()["detail"]
            assert found["loc"] == ["query", "offset"]
            assert "`after`" in found["msg"]

    async def test_a_wrong_query_is_422_and_names_the_parameter(self, client: httpx.AsyncClient) -> None:
        for query in (
            "limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "offset=-1", f"offset={2**63}", "after=-1",
            "aftr=1",
        ):  # fmt: skip
            answer = await client.get(f"/animals?{query}")
            assert answer.status_code == 422, query
            assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


class TestPages:
    """Postgres writes the records of a list, pydantic a single one."""

    LINES = ['"quoted" \\ 🦒 ŽŠ </script>&amp;', "null", "{}"]
    PROSE = [*LINES, "", "and\ttabbed\r\n\x01\x1f\x7fa\u2028b"]

    async def same(self, client: httpx.AsyncClient, resource: Resource) -> list[dict[str, Any]]:
        """The records, each of which is the same in the list and alone."""
        listed: list[dict[str, Any]] = (await client.get(resource.path)).json()
        for record in listed:
            alone = (await client.get(f"{resource.path}/{record['id']}")).json()
            assert list(record.items()) == list(alone.items())  # in the same order, too
        return listed

    @every_resource
    async def test_a_text_is_the_same_in_a_list_and_alone(self, client: httpx.AsyncClient, resource: Resource) -> None:
        lines, proses = resource.of_kind(Name, Line), resource.of_kind(Prose)
        made = [
            dict.fromkeys(lines, line) | dict.fromkeys(proses, prose)
            for line, prose in zip(self.LINES * 2, self.PROSE, strict=False)
        ]
        for texts in made:
            await make(client, resource.path, **texts)
        listed = await self.same(client, resource)
        assert [{field: record[field] for field in (*lines, *proses)} for record in listed] == made

    @every_resource
    async def test_so_are_values_of_all_kinds_and_none(self, client: httpx.AsyncClient, resource: Resource) -> None:
        for _ in range(2):
            await make(client, resource.path, **await complete(client, resource))
        await make(client, resource.path)
        assert len(await self.same(client, resource)) == 3
