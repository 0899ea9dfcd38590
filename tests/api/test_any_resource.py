"""A resource of any kind: without a name, with values of all types, and with two references to the same table."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from pydantic import ConfigDict, Field
from sqlalchemy import Enum, Float, ForeignKey, MetaData, Numeric, create_mock_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import DDLElement

from api.crud import resources
from api.crud.imports.load import Loaded, load_csv
from api.crud.resource import Resource, related
from api.enums import UserType
from api.main import create_app
from api.models.base import Base, Record
from api.schemas.fields import Amount, Date, Id, Moment, RequestBody
from api.schemas.text import Prose
from api.settings import Settings
from local.postgres import Server
from tests.conftest import started, state_of


class Other(DeclarativeBase):
    type_annotation_map = Base.type_annotation_map
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Depot(Record, Other):
    __tablename__ = "depots"

    capacity: Mapped[int]


class Move(Record, Other):
    __tablename__ = "moves"
    __filters__ = ("colour", "is_done", "on")
    __sorts__ = ("on", "weight", "cost", "colour", "is_done", "at", "key")

    on: Mapped[date]
    at: Mapped[datetime]
    weight: Mapped[float] = mapped_column(Float())
    cost: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    colour: Mapped[Colour] = mapped_column(
        Enum(Colour, name="colour", values_callable=lambda all_: [one.value for one in all_])
    )
    is_done: Mapped[bool]
    key: Mapped[UUID]
    from_id: Mapped[int] = mapped_column(ForeignKey("depots.id"))
    to_id: Mapped[int | None] = mapped_column(ForeignKey("depots.id"))
    after_id: Mapped[int | None] = mapped_column(ForeignKey("moves.id"))


class DepotCreate(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"capacity": 5}]})

    capacity: int = 5


MOVE: dict[str, Any] = {
    "on": "2026-11-26",
    "at": "2026-11-26T10:00:00Z",
    "weight": 1.5,
    "cost": "12.50",
    "colour": "red",
    "is_done": False,
    "key": "d9b1a5f0-0000-7000-8000-000000000000",
    "from_id": 1,
}


class MoveCreate(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [MOVE]})

    on: Date
    at: Moment
    weight: float
    cost: Amount
    colour: Annotated[Colour, Field(strict=False)]
    is_done: bool = False
    key: Annotated[UUID, Field(strict=False)]
    from_id: Id
    to_id: Id | None = None
    after_id: Id | None = None


DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def sql_of(metadata: MetaData) -> str:
    """What creates its tables."""
    statements: list[str] = []

    def note(statement: DDLElement, *_: object) -> None:
        statements.append(str(statement.compile(dialect=DIALECT)))

    metadata.create_all(create_mock_engine("postgresql://", note), checkfirst=False)
    return ";".join(statements)


MOVES, DEPOTS = related(
    [
        Resource(Move, MoveCreate, "move", readers=UserType.VISITOR, writers=UserType.VISITOR),
        Resource(Depot, DepotCreate, "depot", writers=UserType.KEEPER),
    ]
)


@pytest.fixture
async def moves(
    server: Server, database: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an api that has them."""
    for resource in (MOVES, DEPOTS):
        monkeypatch.setitem(resources.RESOURCES, resource.name, resource)
    await admin.execute(f"SET ROLE zoo_migrator; {sql_of(Other.metadata)}; RESET ROLE")
    async with started(create_app(Settings(database_url=server.url("zoo_api", database)))) as client:
        for capacity in (1, 2):
            await client.post("/depots", json={"capacity": capacity})
        yield client


async def test_its_records_are_the_same_everywhere(moves: httpx.AsyncClient) -> None:
    for number in range(4):
        odd = {"on": f"2026-11-2{number}", "cost": 10 * number, "weight": number / 3, "is_done": number > 1}
        odd |= {"colour": "blue" if number % 2 else "red", "key": f"d9b1a5f0-0000-7000-8000-00000000000{number}"}
        odd |= {"at": f"2026-11-26T10:00:0{number}.5+02:00", "to_id": 2}
        answer = await moves.post("/moves", json=MOVE | odd)
        assert answer.status_code == 201, answer.text
    listed = (await moves.get("/moves")).json()
    assert [(await moves.get(f"/moves/{record['id']}")).json() for record in listed] == listed
    assert (listed[1]["cost"], listed[1]["colour"], listed[1]["on"]) == ("10.00", "blue", "2026-11-21")
    for sort in Move.__sorts__:
        for order in (sort, f"-{sort}"):
            found, url = [], f"/moves?sort={order}&limit=1"
            while url:
                page = await moves.get(url)
                assert page.status_code == 200, page.text
                found += page.json()
                url = page.links.get("next", {}).get("url", "")
            key = {record["id"]: (record[sort], record["id"]) for record in listed}
            if sort in {"cost", "weight"}:
                key = {record["id"]: (float(record[sort]), record["id"]) for record in listed}
            if sort == "colour":  # in the order of the type
                key = {record["id"]: (record[sort] == "blue", record["id"]) for record in listed}
            expected = sorted(listed, key=lambda record: key[record["id"]], reverse=order[0] == "-")
            assert found == expected, order
    for query in ("colour=blue", "is_done=true", "on=2026-11-21", "to_id=2&from_id=1"):
        assert (await moves.get(f"/moves?{query}")).json(), query
    for query in ("q=a", "name=a", "sort=name", "sort=on&after=x,1", "sort=cost&after=1e400,1", "colour=green"):
        assert (await moves.get(f"/moves?{query}")).status_code == 422, query


async def test_what_comes_out_as_csv_goes_in_again(moves: httpx.AsyncClient) -> None:
    made = [(await moves.post("/moves", json=MOVE)).json() for _ in range(2)]
    file = (await moves.get("/moves.csv")).content
    rows = list(csv.DictReader(io.StringIO(file.decode("utf-8-sig"))))
    assert [row["colour"] for row in rows] == ["red", "red"]
    async with state_of(moves).sessionmaker.begin() as session:
        assert await load_csv(session, MOVES, io.BytesIO(file), update=True) == Loaded(same=2)
        changed = file.replace(b"red", b"blue", 1).replace(b"12.50", b"13.50", 1)
        assert await load_csv(session, MOVES, io.BytesIO(changed), update=True) == Loaded(changed=1, same=1)
        new = b"on,at,weight,cost,colour,key,from_id\r\n2026-01-01,2026-01-01T00:00:00Z,1,2,red," + MOVE["key"].encode()
        assert await load_csv(session, MOVES, io.BytesIO(new + b",1\r\n")) == Loaded(new=1)
    record = (await moves.get(f"/moves/{made[0]['id']}")).json()
    assert (record["colour"], record["cost"]) == ("blue", "13.50")


async def test_each_reference_is_looked_for(moves: httpx.AsyncClient) -> None:
    made = (await moves.post("/moves", json=MOVE)).json()["id"]
    for field, noun in (("from_id", "depot"), ("to_id", "depot"), ("after_id", "move")):
        answer = await moves.post("/moves", json=MOVE | {field: 99})
        assert answer.json()["detail"] == [{"type": "reference", "loc": ["body", field], "msg": f"No {noun} 99"}]
    assert (await moves.post("/moves", json=MOVE | {"after_id": made, "from_id": 2})).status_code == 201
    for path in (f"/moves/{made}", "/depots/1", "/depots/2"):
        assert (await moves.delete(path)).status_code == 409
    assert (await moves.get("/depots/1/moves")).status_code == 404  # from there, or to there?
    assert len((await moves.get(f"/moves/{made}/moves")).json()) == 1


async def test_wrong_values_are_told_by_field(moves: httpx.AsyncClient) -> None:
    wrong = {"on": 5, "at": 0, "cost": "1e12", "colour": "green", "key": "x", "is_done": "yes", "weight": "1"}
    for field, value in wrong.items():
        answer = await moves.post("/moves", json=MOVE | {field: value})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", field]), field


async def test_the_document_has_it(moves: httpx.AsyncClient) -> None:
    document = json.loads((await moves.get("/openapi.json")).content)
    assert {"moves-list_moves", "moves-list_moves_of_move"} <= {
        operation["operationId"] for path in document["paths"].values() for operation in path.values()
    }


def test_a_list_is_not_sorted_by_what_may_be_null() -> None:
    class Late(Record, Other):
        __tablename__ = "late"
        __sorts__ = ("until",)

        until: Mapped[date | None]

    class LateCreate(RequestBody):
        model_config = ConfigDict(json_schema_extra={"examples": [{"until": "2026-01-01"}]})

        until: Date | None = None

    with pytest.raises(TypeError, match="late can't be sorted by until"):
        related([Resource(Late, LateCreate, "latecomer", writers=UserType.ADMIN)])
    Other.metadata.remove(Other.metadata.tables["late"])


def test_a_filter_has_no_name_of_a_parameter_of_every_list() -> None:
    class Crate(Record, Other):
        __tablename__ = "crates"
        __filters__ = ("count",)

        count: Mapped[int]

    class CrateCreate(RequestBody):
        model_config = ConfigDict(json_schema_extra={"examples": [{"count": 1}]})

        count: int

    with pytest.raises(TypeError, match="crates can't be filtered by count"):
        related([Resource(Crate, CrateCreate, "crate", writers=UserType.ADMIN)])
    Other.metadata.remove(Other.metadata.tables["crates"])


def test_a_field_needs_a_column() -> None:
    class DepotCreate(RequestBody):
        model_config = ConfigDict(json_schema_extra={"examples": [{"capacity": 5, "colour": "red"}]})

        capacity: int
        colour: str

    with pytest.raises(TypeError, match="DepotCreate has colour, and Depot has no column for it"):
        Resource(Depot, DepotCreate, "depot", writers=UserType.ADMIN)


def test_a_body_may_be_as_large_as_its_texts() -> None:
    class Tome(Record, Other):
        __tablename__ = "tomes"

        first: Mapped[str]
        second: Mapped[str]

    class TomeCreate(RequestBody):
        model_config = ConfigDict(json_schema_extra={"examples": [{"first": "A", "second": "B"}]})

        first: Prose
        second: Prose

    assert Resource(Tome, TomeCreate, "tome", writers=UserType.ADMIN).max_body_size > 2 * 12 * 10_000
    Other.metadata.remove(Other.metadata.tables["tomes"])
