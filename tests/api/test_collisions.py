"""A value that is not unique, refers to nothing, or does not fit its column: for whatever model, the answer says so."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import ConfigDict
from sqlalchemy import ForeignKey, Index, Integer, Numeric, SmallInteger, String, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from api.crud.resource import Resource, related
from api.dependencies import SessionDep
from api.enums.users import UserType
from api.main import Api, _route_of, create_app
from api.models.base import Base, Record
from api.routers.records import records_router
from api.schemas.fields import RequestBody
from api.settings import Settings
from local.postgres import Server
from tests.conftest import Serve, answering, engine_of_api, superuser

LIVE = text("deleted_at IS NULL")


class Other(DeclarativeBase):
    type_annotation_map = Base.type_annotation_map


class Ticket(Record, Other):
    __tablename__ = "tickets"
    __table_args__ = (
        Index("uq_code", "code", unique=True, postgresql_where=LIVE),
        Index("uq_lower_holder", text("lower(holder)"), unique=True, postgresql_where=LIVE),
        Index("uq_row_seat", "row", "seat", unique=True, postgresql_where=LIVE),
    )

    code: Mapped[str | None] = mapped_column(String(20))
    holder: Mapped[str | None]
    row: Mapped[str | None]
    seat: Mapped[int | None] = mapped_column(SmallInteger())
    visits: Mapped[int | None] = mapped_column(Integer())
    price: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("tickets.id"))


class TicketCreate(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "A-7"}]})

    code: str | None = None
    holder: str | None = None
    row: str | None = None
    seat: int | None = None
    visits: int | None = None
    price: float | None = None
    replaces_id: int | None = None


(TICKETS,) = related([Resource(Ticket, TicketCreate, "ticket", writers=UserType.KEEPER)])


@pytest.fixture(scope="module")
async def engine(server: Server, module_database: str) -> AsyncIterator[AsyncEngine]:
    """Of a database that has their table, too."""
    admin = await superuser(server, module_database)
    await admin.execute(
        "SET ROLE zoo_migrator;"
        "CREATE TABLE tickets (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code varchar(20), holder text,"
        " row text, seat smallint, visits integer, price numeric(5, 2),"
        " replaces_id bigint REFERENCES tickets,"
        " created_at timestamptz NOT NULL DEFAULT statement_timestamp(),"
        " updated_at timestamptz NOT NULL DEFAULT statement_timestamp(), deleted_at timestamptz);"
        "CREATE UNIQUE INDEX uq_code ON tickets (code) WHERE deleted_at IS NULL;"
        "CREATE UNIQUE INDEX uq_lower_holder ON tickets (lower(holder)) WHERE deleted_at IS NULL;"
        'CREATE UNIQUE INDEX uq_row_seat ON tickets ("row", seat) WHERE deleted_at IS NULL;'
    )
    await admin.close()
    async with engine_of_api(server, module_database) as engine:
        yield engine


def with_tickets(settings: Settings) -> Api:
    """An api with one more resource, whose routes say nothing of collisions."""
    app = create_app(settings)
    router = records_router(TICKETS)

    @router.post("/by-session")
    async def create_by_session(data: TicketCreate, session: SessionDep) -> None:
        session.add(Ticket(**data.model_dump()))

    app.router.routes.extend(_route_of(app, route) for route in router.routes)
    return app


@pytest.fixture
def tickets(serve_here: Serve) -> httpx.AsyncClient:
    """A client of it, on the test's own transaction."""
    return serve_here(with_tickets(Settings())).client("admin")


async def conflict(answer: httpx.Response) -> str:
    assert answer.status_code == 409, answer.text
    detail: str = answer.json()["detail"]
    return detail


@pytest.mark.parametrize(
    ("first", "second", "fields"),
    [
        ({"code": "A-7"}, {"code": "A-7", "holder": "Amara"}, "code"),
        ({"holder": "Amara (2), née =Zoë) already"}, {"holder": "AMARA (2), née =Zoë) already"}, "holder"),
        ({"row": "a, 1, b", "seat": 7}, {"row": "a, 1, b", "seat": 7}, "row and seat"),
    ],
    ids=["a column", "an expression", "two columns"],
)
async def test_a_value_that_is_not_unique_is_409_with_its_field_and_its_record(
    tickets: httpx.AsyncClient, first: dict[str, Any], second: dict[str, Any], fields: str
) -> None:
    await tickets.post("/tickets", json={"code": "other", "row": "a", "seat": 1})
    holder = (await tickets.post("/tickets", json=first)).json()["id"]
    expected = f"{fields}: tickets {holder} has the same"
    assert await conflict(await tickets.post("/tickets", json=second)) == expected
    assert await conflict(await tickets.post("/tickets/by-session", json=second)) == expected
    another = (await tickets.post("/tickets", json={})).json()["id"]
    assert await conflict(await tickets.patch(f"/tickets/{another}", json=second)) == expected


@pytest.mark.usefixtures("engine")
async def test_of_many_at_once_one_is_made_and_the_others_are_told_which(server: Server, module_database: str) -> None:
    app = with_tickets(Settings(database_url=server.url("zoo_api", module_database)))
    async with answering(app) as client:
        answers = await asyncio.gather(*(client.post("/tickets", json={"code": "at once"}) for _ in range(8)))
    (made,) = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    others = [await conflict(answer) for answer in answers if answer.status_code != 201]
    assert others == [f"code: tickets {made} has the same"] * 7


async def test_a_deleted_record_does_not_stand_in_the_way(tickets: httpx.AsyncClient) -> None:
    first = (await tickets.post("/tickets", json={"code": "A"})).json()["id"]
    await tickets.delete(f"/tickets/{first}")
    second = await tickets.post("/tickets", json={"code": "A"})
    assert second.status_code == 201
    expected = f"code: tickets {second.json()['id']} has the same"
    assert await conflict(await tickets.post("/tickets", json={"code": "A"})) == expected


async def test_it_leaves_an_idempotency_key_free(tickets: httpx.AsyncClient) -> None:
    first = (await tickets.post("/tickets", json={"code": "A"})).json()["id"]
    key = {"Idempotency-Key": "again"}
    await conflict(await tickets.post("/tickets", json={"code": "A"}, headers=key))
    await tickets.delete(f"/tickets/{first}")
    for _ in range(2):
        assert (await tickets.post("/tickets", json={"code": "A"}, headers=key)).status_code == 201


async def test_a_reference_that_no_route_has_looked_for_is_409(tickets: httpx.AsyncClient) -> None:
    made = (await tickets.post("/tickets", json={})).json()["id"]
    assert (await tickets.post("/tickets", json={"replaces_id": made})).status_code == 201
    expected = "It refers to a record that does not exist, or another record refers to it"
    lost = {"replaces_id": made + 100}
    assert await conflict(await tickets.post("/tickets/by-session", json=lost)) == expected
    for answer in (await tickets.post("/tickets", json=lost), await tickets.patch(f"/tickets/{made}", json=lost)):
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "replaces_id"])


async def test_what_a_column_cannot_hold_is_422_at_its_field(tickets: httpx.AsyncClient) -> None:
    made = (await tickets.post("/tickets", json={})).json()["id"]
    for field, value in (
        ("seat", 2**15), ("seat", -(2**15) - 1), ("visits", 2**31), ("visits", 2**70), ("price", 1000.0),
        ("price", 999.996), ("code", "x" * 21),
    ):  # fmt: skip
        for answer in (
            await tickets.post("/tickets", json={"holder": "A", field: value}),
            await tickets.patch(f"/tickets/{made}", json={field: value}),
        ):
            assert answer.status_code == 422, (field, value)
            assert [found["loc"] for found in answer.json()["detail"]] == [["body", field]], (field, value)


async def test_the_largest_that_a_column_can_hold_is_stored(tickets: httpx.AsyncClient) -> None:
    largest = {"seat": 2**15 - 1, "visits": -(2**31), "price": 999.99, "code": "x" * 20}
    assert (await tickets.post("/tickets", json=largest)).status_code == 201
