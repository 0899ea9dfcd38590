"""The lists: their order, searching by a part of the name, counting, and what is passed over in a query."""

import json
from itertools import chain
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from api.crud import records
from api.crud.resources import RESOURCES
from api.database.counts import MAX_EXACT
from api.schemas.text import Line, Name
from tests.api import records as tested
from tests.api.recorder import Recorder
from tests.api.records import Resource, complete, every_labelled, every_reference, every_resource, make
from tests.each import each

SORTS = ["id", "name", "created_at", "updated_at"]
TEXTS = ["b, 2", "a", "Zoë & co", "a", "%"]
ANIMALS = RESOURCES["animals"]
# What all are sorted by, is so by the same code: one resource shows it.
every_order = pytest.mark.parametrize(
    ("resource", "sort"),
    [(tested.RESOURCES[0], sort) for sort in ("id", "created_at", "updated_at")]
    + [(resource, sort) for resource in tested.RESOURCES for sort in resource.api.model.__sorts__],
    ids=str,
)


async def walk(client: httpx.AsyncClient, url: str) -> list[list[int]]:
    """The ids of each page, along the Links."""
    found = []
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        found.append([record["id"] for record in answer.json()])
        url = answer.links.get("next", {}).get("url", "")
    return found


class TestSort:
    @every_order
    async def test_pages_go_through_all_records_in_order_both_ways(
        self, client: httpx.AsyncClient, connection: AsyncConnection, resource: Resource, sort: str
    ) -> None:
        values: list[Any] = [{}] * len(TEXTS)
        if sort in resource.fields:
            is_text = sort in resource.of_kind(Name, Line)
            values = [{sort: text if is_text else resource.another(sort)} for text in TEXTS]
            if sort in resource.unique:
                values = [{sort: resource.another(sort)} for _ in values]
        made = [await make(client, resource.path, **fields) for fields in values]
        await client.patch(f"{resource.path}/{made[2]['id']}", json=resource.change())
        for whole_second in (made[0]["id"], made[3]["id"]):  # the same moment, with no fraction of a second
            moment = "'2026-11-25 10:00:00+00'"
            await connection.execute(
                sql(
                    f"UPDATE {resource.quoted} SET created_at = {moment}, updated_at = {moment} WHERE id ="
                    f" {whole_second}"
                )
            )
        records = (await client.get(resource.path)).json()
        expected = [record["id"] for record in sorted(records, key=lambda record: (record[sort], record["id"]))]
        for order, ids in ((sort, expected), (f"-{sort}", expected[::-1])):
            for limit in (1, 3):
                pages = await walk(client, f"{resource.path}?sort={order}&limit={limit}")
                assert list(chain(*pages)) == ids
                assert len(pages) == -(-len(ids) // limit)

    async def test_a_record_that_changes_meanwhile_does_not_end_the_walk(self, client: httpx.AsyncClient) -> None:
        made = [(await make(client, "/animals", name=name))["id"] for name in "abcdef"]
        for sort in ("updated_at", "name"):
            first = await client.get(f"/animals?sort={sort}&limit=2")
            await client.patch(f"/animals/{first.json()[-1]['id']}", json={"name": "z"})
            rest = list(chain(*await walk(client, first.links["next"]["url"])))
            assert set(made) - {record["id"] for record in first.json()} <= set(rest)

    async def test_it_goes_together_with_filters_and_large_pages(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        exhibit = await make(client, "/exhibits")
        rows = await connection.execute(
            sql(
                "INSERT INTO animals (name, exhibit_id, description)"
                " SELECT n % 3, :exhibit, repeat('\U0001f992', 10000) FROM generate_series(0, 29) AS n RETURNING id"
            ),
            {"exhibit": exhibit["id"]},
        )
        made = rows.scalars().all()
        await make(client, "/animals", name="0")
        pages = await walk(client, f"/exhibits/{exhibit['id']}/animals?sort=-name")
        assert [len(page) for page in pages] == [24, 6]
        assert list(chain(*pages)) == [id_ for _, id_ in sorted((n % 3, id_) for n, id_ in enumerate(made))][::-1]

    async def test_a_page_reads_no_more_than_it_has(self, admin: asyncpg.Connection) -> None:
        await admin.execute(
            "INSERT INTO animals (name) SELECT 'Animal ' || n % 100 FROM generate_series(1, 5000) AS n; ANALYZE animals"
        )
        for sort in (*SORTS, "-name"):
            recorder = Recorder(admin)
            page = await records.list_page(recorder, ANIMALS, ANIMALS.query(sort=sort))
            await records.list_page(recorder, ANIMALS, ANIMALS.query(sort=sort, after=str(page.next_after)))
            for statement, values in recorder.sent:
                plan = await admin.fetchval(f"EXPLAIN (FORMAT JSON, ANALYZE, TIMING OFF) {statement}", *values)
                assert "Seq Scan" not in plan, sort
                assert '"Sort' not in plan, sort
                assert most_rows(json.loads(plan)[0]["Plan"]) <= 101, sort

    @each(
        "query, field",
        [
            ("sort=species", "sort"), ("sort=", "sort"), ("sort=--id", "sort"), ("sort=ID", "sort"),
            ("sort=name&after=7", "after"), ("after=a,7", "after"), ("sort=name&after=a,x", "after"),
            ("sort=name&after=a,99999999999999999999", "after"), ("sort=created_at&after=yesterday,7", "after"),
            ("sort=name&after=a%00,7", "after"), ("sort=created_at&after=0001-01-01T00:00:00%2B14:00,7", "after"),
        ],
    )  # fmt: skip
    async def test_what_is_no_order_or_no_place_in_it_is_422(
        self, client: httpx.AsyncClient, query: str, field: str
    ) -> None:
        answer = await client.get(f"/animals?{query}")
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", field])


def most_rows(plan: dict[str, Any]) -> float:
    return max(float(plan["Actual Rows"]), *(most_rows(inner) for inner in plan.get("Plans", [])), 0)


class TestSearch:
    @every_labelled
    async def test_a_part_of_the_label_is_found(self, client: httpx.AsyncClient, resource: Resource) -> None:
        amara, _ = [await make(client, resource.path, **{str(resource.label): name}) for name in ("Amara", "Leo")]
        assert (await client.get(resource.path, params={"q": "mar"})).json() == [amara]

    async def test_a_part_is_found_whatever_its_case_and_whatever_stands_in_it(self, client: httpx.AsyncClient) -> None:
        names = ("Amara", "Tamara 100%_\\", "Ama ra", "X")
        made = {name: await make(client, "/animals", name=name) for name in names}
        both = ["Amara", "Tamara 100%_\\"]
        last = both[1:]
        for q, expected in {
            "MAR": both, "amara": both, "ma": [*both, "Ama ra"], "a r": ["Ama ra"], "aramA": [], "a%a": [],
            "TAM": last, "%_": last, "_\\": last,
        }.items():  # fmt: skip
            answer = await client.get("/animals", params={"q": q})
            assert answer.json() == [made[name] for name in expected], q

    async def test_letters_beyond_ascii_are_found_in_any_case(self, client: httpx.AsyncClient) -> None:
        for name in ("Zoë", "Éléphant", "ЖИРАФ", "大熊猫", "🦒🦓"):
            record = await make(client, "/animals", name=f"x{name}y")
            for q in {name, name[:2], name[-2:].lower(), name.lower(), name.upper()}:
                assert (await client.get("/animals", params={"q": q})).json() == [record], (name, q)

    async def test_it_goes_together_with_order_pages_and_filters(self, client: httpx.AsyncClient) -> None:
        made = [(await make(client, "/animals", name=name, species="S"))["id"] for name in ("Leo 2", "Leo 1", "leo 3")]
        await make(client, "/animals", name="Leo 0")
        await make(client, "/animals", name="Amara", species="S")
        pages = await walk(client, "/animals?q=LEO&sort=name&limit=1&species=S")
        assert pages == [[made[1]], [made[0]], [made[2]]]

    async def test_what_can_not_be_searched_for_is_422(self, client: httpx.AsyncClient) -> None:
        for q in ("", "a", " a ", "\u200ba", "a\x00b", "a\x1fb", "x" * 201):
            answer = await client.get("/animals", params={"q": q})
            assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "q"]), q

    async def test_it_uses_an_index(self, admin: asyncpg.Connection) -> None:
        await admin.execute(
            "INSERT INTO animals (name) SELECT 'Animal ' || n FROM generate_series(1, 20000) AS n; ANALYZE animals"
        )
        recorder = Recorder(admin)
        page = await records.list_page(recorder, ANIMALS, ANIMALS.query.model_validate({"q": "L 1234"}))
        assert len(json.loads(page.records)) == 11
        statement, values = recorder.sent[-1]
        assert "ix_animals_name_pairs" in await admin.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *values)


class TestCount:
    async def test_few_are_counted_exactly(self, client: httpx.AsyncClient) -> None:
        made = [await make(client, "/animals") for _ in range(5)]
        await client.delete(f"/animals/{made[0]['id']}")
        for query, count in (("", 4), ("&limit=1", 4), ("&offset=3", 4), ("&after=99999999", 4)):
            headers = (await client.get(f"/animals?count=true{query}")).headers
            assert (headers["X-Total-Count"], headers["X-Total-Count-Is"]) == (str(count), "exact")
        assert "X-Total-Count" not in (await client.get("/animals")).headers
        assert "X-Total-Count" not in (await client.get("/animals?count=false")).headers

    async def test_many_are_estimated_and_it_says_so(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        await admin.execute(
            "INSERT INTO animals (name, species) SELECT 'Animal', CASE WHEN n <= $1 THEN 'few' ELSE 'many' END"
            " FROM generate_series(1, $1 * 3) AS n",
            MAX_EXACT,
        )
        await admin.execute("ANALYZE animals")
        counted = {}
        for query in ("species=few", "species=many", "q=nima"):
            headers = (await committing_client.get(f"/animals?limit=1&count=true&{query}")).headers
            counted[query] = headers["X-Total-Count-Is"], int(headers["X-Total-Count"])
        assert counted["species=few"] == ("exact", MAX_EXACT)
        assert counted["species=many"][0] == counted["q=nima"][0] == "estimated"
        assert abs(counted["species=many"][1] - 2 * MAX_EXACT) < MAX_EXACT / 2
        assert counted["q=nima"][1] > MAX_EXACT

    async def test_a_304_has_the_count_of_now(self, client: httpx.AsyncClient) -> None:
        await make(client, "/animals")
        await make(client, "/animals")
        first = await client.get("/animals?limit=1&count=true")
        await make(client, "/animals")
        second = await client.get("/animals?limit=1&count=true", headers={"If-None-Match": first.headers["ETag"]})
        assert (second.status_code, second.headers["X-Total-Count"]) == (304, "3")


class TestPassedOver:
    async def test_what_clients_add_is_passed_over(self, client: httpx.AsyncClient) -> None:
        made = await make(client, "/animals", species="Grus & co")
        await make(client, "/animals", species="Grus & co")
        await make(client, "/animals")
        for query in (
            "utm_source=mail&utm_medium=x&utm_source=y", "_=1732620000", "fbclid=a&gclid=b", "utm_=", "%75tm_x=1",
            "utm%5Fx",
        ):  # fmt: skip
            page = await client.get(f"/animals?{query}&species=Grus+%26+co&limit=1")
            assert page.json() == [made], query
            assert page.links["next"]["url"] == f"/animals?species=Grus+%26+co&limit=1&after={made['id']}", query
            assert (await client.get(f"/animals/{made['id']}?{query}")).json() == made, query
            assert (await client.get(f"/users/me?{query}")).headers["Cache-Control"] == "no-store"

    async def test_nothing_else_is(self, client: httpx.AsyncClient) -> None:
        for path in ["/animals", "/users/me"]:
            for name in ("utmx", "__", "xutm_a", "UTM_A", "_x"):
                answer = await client.get(f"{path}?{name}=1")
                assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", name])


class TestRestore:
    @every_resource
    async def test_a_deleted_record_is_as_it_was(self, client: httpx.AsyncClient, resource: Resource) -> None:
        record = await make(client, resource.path, **await complete(client, resource))
        url = f"{resource.path}/{record['id']}"
        await client.delete(url)
        restored = await client.post(f"{url}/restore")
        assert restored.status_code == 200
        assert restored.json() == record | {"updated_at": restored.json()["updated_at"]}
        assert (await client.get(url)).json() == restored.json()
        again = await client.post(f"{url}/restore", headers={"If-Match": restored.headers["ETag"]})
        assert again.json() == restored.json()  # nothing changes
        other = await client.post(f"{url}/restore", headers={"If-Match": '"other"'})
        assert other.status_code == 412

    @every_resource
    async def test_what_never_existed_is_404(self, client: httpx.AsyncClient, resource: Resource) -> None:
        assert (await client.post(f"{resource.path}/{2**62}/restore")).status_code == 404

    @every_reference
    async def test_while_what_it_belongs_to_is_deleted_it_is_409(
        self, client: httpx.AsyncClient, resource: Resource, field: str
    ) -> None:
        above, path = resource.parents[field].path, resource.path
        parent = await make(client, above)
        record = await make(client, path, **{field: parent["id"]})
        for url in (f"{path}/{record['id']}", f"{above}/{parent['id']}"):
            assert (await client.delete(url)).status_code == 200
        refused = await client.post(f"{path}/{record['id']}/restore")
        assert (refused.status_code, str(parent["id"]) in refused.json()["detail"]) == (409, True)
        assert (await client.get(f"{path}/{record['id']}")).status_code == 404
        await client.post(f"{above}/{parent['id']}/restore")
        assert (await client.post(f"{path}/{record['id']}/restore")).status_code == 200
