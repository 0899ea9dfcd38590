"""A resource of any kind: without a name, with values of all types, and with two references to the same table."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from pydantic import ConfigDict, Field, ValidationError, create_model, model_validator
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    create_mock_engine,
    func,
    text,
)
from sqlalchemy import Date as Date_
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import DDLElement

from api.crud import resources
from api.crud.derived import body_size
from api.crud.imports.batches import Batches
from api.crud.imports.load import Loaded, load_csv
from api.crud.imports.parents import ImportRefused
from api.crud.resource import Resource, as_json, related
from api.enums.users import UserType
from api.main import Api, create_app
from api.models.base import LIVE, Base, Record
from api.schemas.fields import Amount, Date, Id, Moment, RequestBody
from api.schemas.text import Line, Name, Prose
from api.settings import Settings
from local.postgres import Server
from tests.conftest import Serve, engine_of_api, state_of, superuser
from tests.each import each


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


class Step(Record, Other):
    """Of names that mean something else to SQL, to the code, or to tools that count visits."""

    __tablename__ = "Group"
    __label__ = "table"
    __filters__ = ("utm_source", "row", "self")
    __sorts__ = ("table", "row")
    __table_args__ = (
        Index("uq_Group_table", "table", unique=True, postgresql_where=LIVE),
        Index("uq_Group_place", "select", text('(NOT "in row")'), unique=True, postgresql_where=text("after > 0")),
        {"schema": "else"},
    )

    table: Mapped[str]
    row: Mapped[int] = mapped_column("select")
    record_id: Mapped[int]
    self: Mapped[int | None]
    db: Mapped[int] = mapped_column(Integer())
    limit: Mapped[int]
    after: Mapped[int | None]
    utm_source: Mapped[str | None]
    more: Mapped[dict[str, Any] | None] = mapped_column(JSONB())
    parts: Mapped[list[Any] | None] = mapped_column(JSONB())
    inRow: Mapped[bool] = mapped_column("in row")  # noqa: N815 - a name as clients may want it
    move_id: Mapped[int] = mapped_column(ForeignKey("moves.id"))


class DepotCreate(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"capacity": 5}]})

    capacity: int = 5


STEP: dict[str, Any] = {"table": "Wide", "row": 1, "record_id": 2, "db": 3, "limit": 4, "move_id": 1}


class Part(RequestBody):
    called: Line
    on: Date | None = None


class StepCreate(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [STEP]})

    table: Name
    row: int = Field(ge=1, description="From the left.")
    record_id: int = Field(ge=1)
    self: int | None = Field(default=None, ge=1)
    db: int = Field(default=3, ge=1)
    limit: int = 4
    after: int | None = None
    utm_source: Line | None = None
    more: dict[str, Any] | list[Line] | None = None
    parts: list[Part] | None = None
    inRow: bool = True  # noqa: N815
    move_id: Id


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


MOVES, DEPOTS, STEPS = related(
    [
        Resource(Move, MoveCreate, "move", readers=UserType.VISITOR, writers=UserType.VISITOR),
        Resource(Depot, DepotCreate, "depot", writers=UserType.KEEPER),
        Resource(Step, StepCreate, "step", writers=UserType.KEEPER),
    ]
)


@pytest.fixture(scope="module")
async def engine(server: Server, module_database: str) -> AsyncIterator[AsyncEngine]:
    """Of a database that has their tables, too."""
    admin = await superuser(server, module_database)
    await admin.execute(
        'CREATE SCHEMA "else" AUTHORIZATION zoo_migrator; SET ROLE zoo_migrator;'
        'GRANT USAGE ON SCHEMA "else" TO zoo_api;'
        f'{sql_of(Other.metadata)}; GRANT ALL ON ALL TABLES IN SCHEMA "else" TO zoo_api;'
        'GRANT UPDATE ON SEQUENCE moves_id_seq, depots_id_seq, "else"."Group_id_seq" TO zoo_api'
    )
    await admin.close()
    async with engine_of_api(server, module_database) as engine:
        yield engine


@cache
def app_of_them() -> Api:
    """An api that has them."""
    with pytest.MonkeyPatch.context() as patch:
        for resource in (MOVES, DEPOTS, STEPS):
            patch.setitem(resources.RESOURCES, resource.name, resource)
        return create_app(Settings())


@pytest.fixture
async def moves(connection: AsyncConnection, serve_here: Serve) -> httpx.AsyncClient:
    """A client of it, on the test's own transaction; ids begin with 1."""
    for sequence in ("moves_id_seq", "depots_id_seq", '"else"."Group_id_seq"'):
        await connection.execute(text(f"SELECT setval('{sequence}', 1, false)"))
    client = serve_here(app_of_them()).client("admin")
    for capacity in (1, 2):
        await client.post("/depots", json={"capacity": capacity})
    return client


async def test_its_records_are_the_same_everywhere(moves: httpx.AsyncClient) -> None:
    for number in range(3):
        odd = {"on": f"2026-11-2{number}", "cost": 10 * number, "weight": number / 3, "is_done": number > 1}
        odd |= {"colour": "blue" if number % 2 else "red", "key": f"d9b1a5f0-0000-7000-8000-00000000000{number}"}
        odd |= {"at": f"2026-11-26T10:00:0{number}.5+02:00", "to_id": 2}
        answer = await moves.post("/moves", json=MOVE | odd)
        assert answer.status_code == 201, answer.text
    listed = (await moves.get("/moves")).json()
    assert [(await moves.get(f"/moves/{record['id']}")).json() for record in listed] == listed
    assert (listed[1]["cost"], listed[1]["colour"], listed[1]["on"]) == ("10.00", "blue", "2026-11-21")
    for sort in Move.__sorts__:
        found, url = [], f"/moves?sort={sort}&limit=1"
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
        assert found == sorted(listed, key=lambda record: key[record["id"]]), sort
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
        for file, why in (
            (new.replace(b"00Z,1,", b"00Z,inf,") + b",1\r\n", "line 2, weight: "),
            (
                new.replace(b"Z,1,2,", b"Z,1,100000000,") + b",1\r\n",
                "line 2, cost: must be between -100000000 and 100000000",
            ),
            (b"from," + new, "line 1: unknown field 'from'"),
            (b"id\r\n1\r\n", "line 1: no column to change"),
        ):
            with pytest.raises(ImportRefused, match=why):
                await load_csv(session, MOVES, io.BytesIO(file), update=file.startswith(b"id"))
    record = (await moves.get(f"/moves/{made[0]['id']}")).json()
    assert (record["colour"], record["cost"]) == ("blue", "13.50")


async def test_the_same_value_written_differently_is_no_change(moves: httpx.AsyncClient) -> None:
    made = (await moves.post("/moves", json=MOVE)).json()
    same = {"cost": "12.5", "at": "2026-11-26T12:00:00+02:00", "key": MOVE["key"].upper()}
    for field, value in same.items():
        assert (await moves.patch(f"/moves/{made['id']}", json={field: value})).json() == made, field


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


async def test_names_may_mean_something_else(moves: httpx.AsyncClient) -> None:
    await moves.post("/moves", json=MOVE)
    for number in range(1, 4):
        odd = {"table": f"Wide {number}", "row": 4 - number, "utm_source": "mail" if number > 2 else None}
        answer = await moves.post("/Group", json=STEP | odd)
        assert answer.status_code == 201, answer.text
    listed = (await moves.get("/Group?sort=table")).json()
    assert list(listed[0])[4:] == list(StepCreate.model_fields)
    assert [(await moves.get(f"/Group/{record['id']}")).json() for record in listed] == listed
    for query in ("sort=row", "sort=row&q=WIDE", "sort=-table&limit=3&offset=0&count=true&q=wide"):
        assert (await moves.get(f"/Group?{query}")).json() == listed[::-1], query
    second = await moves.get((await moves.get("/Group?sort=-row&limit=1")).links["next"]["url"])
    assert second.json() == listed[1:2]
    changed = await moves.patch("/Group/1", json={"self": 1, "record_id": 9, "db": 8, "limit": 7, "after": 6, "row": 5})
    assert changed.status_code == 200, changed.text
    for path, found in (("/Group?utm_source=mail&utm_medium=x", 1), ("/Group?self=1&row=5", 1), ("/moves/1/Group", 3)):
        assert len((await moves.get(path)).json()) == found, path
    refused = await moves.post("/Group", json=STEP | {"table": "Wide 2"})
    assert (refused.status_code, refused.json()["detail"]) == (409, "table: Group 2 has the same")
    refused = await moves.post("/Group", json=STEP | {"table": "Another", "row": 5, "after": 1})
    assert (refused.status_code, refused.json()["detail"]) == (409, "row and inRow: Group 1 has the same")
    assert (await moves.delete("/moves/1")).status_code == 409
    assert (await moves.delete("/Group/3")).status_code == 200
    assert (await moves.post("/Group/3/restore")).status_code == 200


async def test_so_may_they_in_files(moves: httpx.AsyncClient) -> None:
    await moves.post("/moves", json=MOVE)
    new = b"table,row,record_id,move_id,inRow\r\nA,1,1,1,\r\nB,1,1,1,false\r\n"
    async with state_of(moves).sessionmaker.begin() as session:
        assert await load_csv(session, STEPS, io.BytesIO(new)) == Loaded(new=2)
    file = (await moves.get("/Group.csv")).content
    async with state_of(moves).sessionmaker.begin() as session:
        assert await load_csv(session, STEPS, io.BytesIO(file), update=True) == Loaded(same=2)
        changed = b"table,db,inRow\r\nA,4,\r\nB,,\r\n"
        assert await load_csv(session, STEPS, io.BytesIO(changed), update=True) == Loaded(changed=2)
    found = [(record["table"], record["db"], record["inRow"]) for record in (await moves.get("/Group")).json()]
    assert found == [("A", 4, True), ("B", 3, True)]
    for column, cell, why in (
        ("parts", '"[{""called"": 5}]"', "line 2, parts: Input should be a valid string"),
        ("more", r'"{""a"": ""\u0000""}"', "the database refuses a value"),
        ("after", "1\nD,1,1,1,1", "line 3, row and inRow: another of Group has the same"),
    ):
        file = f"table,row,record_id,move_id,{column}\nC,1,1,1,{cell}\n".encode()
        async with state_of(moves).sessionmaker() as session:
            with pytest.raises(ImportRefused) as caught:
                await load_csv(session, STEPS, io.BytesIO(file))
        assert caught.value.findings == [why]


class Visit(Record, Other):
    __tablename__ = "visits"

    step_id: Mapped[int] = mapped_column(ForeignKey("else.Group.id"))
    minutes: Mapped[int]


class VisitCreate(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"step_id": 1, "minutes": 5}]})

    step_id: Id
    minutes: int


def test_a_file_needs_each_required_reference_by_id_or_by_name() -> None:
    *_, visits = related([MOVES, DEPOTS, STEPS, Resource(Visit, VisitCreate, "visit", writers=UserType.KEEPER)])
    with pytest.raises(ImportRefused) as caught:
        Batches(io.BytesIO(b"minutes\n5\n"), visits, {}, update=False)
    assert caught.value.findings == ["line 1: step or step_id is missing, and every record needs it"]
    for file, update in ((b"step\n", False), (b"step_id\n", False), (b"id,minutes\n", True)):
        Batches(io.BytesIO(file.replace(b"\n", b",minutes\n") if not update else file), visits, {}, update=update)


IS_JSON = {"Content-Type": "application/json"}
JSONS: list[Any] = [{"b": [1, 1.5, None], "a": {"c": "\u00eb \U0001f992"}}, [], ["x"], {}, {"a": 1}, {"a": True}, None]


async def test_json_is_the_same_everywhere(moves: httpx.AsyncClient) -> None:
    await moves.post("/moves", json=MOVE)
    for number, value in enumerate(JSONS):
        answer = await moves.post("/Group", json=STEP | {"table": f"T {number}", "more": value})
        assert (answer.status_code, answer.json()["more"]) == (201, value)
    listed = (await moves.get("/Group")).json()
    assert [record["more"] for record in listed] == JSONS
    assert [(await moves.get(f"/Group/{record['id']}")).json() for record in listed] == listed
    for value in JSONS:
        changed = (await moves.patch("/Group/1", json={"more": value})).json()
        assert changed["more"] == value
        again = await moves.patch("/Group/1", json={"more": value})
        assert again.json() == changed
        assert as_json(changed["more"]) == as_json(value)
    for value in ("5", '"text"', "[5]", '{"a": "\\u0000"}', '{"a": 1e999}', '{"a": [NaN]}'):
        answer = await moves.patch("/Group/1", content=f'{{"more": {value}}}', headers=IS_JSON)
        assert answer.status_code == 422, value
    parts = [{"called": "Leg", "on": "2026-11-26"}, {"called": "Arm", "on": None}]
    changed = (await moves.patch("/Group/1", json={"parts": parts})).json()
    assert changed["parts"] == parts
    assert (await moves.patch("/Group/1", json={"parts": parts})).json() == changed
    file = (await moves.get("/Group.csv")).content
    async with state_of(moves).sessionmaker.begin() as session:
        assert await load_csv(session, STEPS, io.BytesIO(file), update=True) == Loaded(same=len(JSONS))
        changes = b'table,more\r\nT 1,"{""a"": 1}"\r\nT 2,\r\nT 3,{}\r\n'
        assert await load_csv(session, STEPS, io.BytesIO(changes), update=True) == Loaded(changed=2, same=1)
        with pytest.raises(ImportRefused, match="line 2, more: not JSON: "):
            await load_csv(session, STEPS, io.BytesIO(b"table,more\r\nT 1,{a}\r\n"), update=True)
        with pytest.raises(ImportRefused, match="line 2, more: "):
            await load_csv(session, STEPS, io.BytesIO(b'table,more\r\nT 1,"{""a"": 1e999}"\r\n'), update=True)
    assert [record["more"] for record in (await moves.get("/Group")).json()[1:4]] == [{"a": 1}, None, {}]
    rows = list(csv.DictReader(io.StringIO((await moves.get("/Group.csv")).text)))
    assert [row["more"] for row in rows[1:4]] == ['{"a": 1}', "", "{}"]


async def test_limits_beside_a_default_hold_everywhere(moves: httpx.AsyncClient) -> None:
    await moves.post("/moves", json=MOVE)
    assert (await moves.post("/Group", json=STEP)).status_code == 201
    for field in ("row", "record_id", "self", "db"):
        for answer in (
            await moves.post("/Group", json=STEP | {field: 0}),
            await moves.patch("/Group/1", json={field: 0}),
        ):
            assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", field])
    for query in ("row=0", "self=0"):
        assert (await moves.get(f"/Group?{query}")).status_code == 422, query


def test_the_document_has_limits_beside_a_default() -> None:
    changes = app_of_them().openapi()["components"]["schemas"]["StepUpdate"]
    assert changes["examples"] == [{"table": "Wide"}]
    assert changes["properties"]["row"] == {
        "type": "integer", "minimum": 1, "title": "Row", "description": "From the left.",
    }  # fmt: skip


async def test_a_value_that_no_column_can_hold_is_told_of_a_search_too(moves: httpx.AsyncClient) -> None:
    for query in (f"self={2**70}", f"self={2**70}&sort=row", f"self={2**70}&count=true"):
        answer = await moves.get(f"/Group?{query}")
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "self"]), query


async def test_wrong_values_are_told_by_field(moves: httpx.AsyncClient) -> None:
    wrong = {"on": 5, "at": 0, "cost": "1e12", "colour": "green", "key": "x", "is_done": "yes", "weight": "1"}
    for field, value in wrong.items():
        answer = await moves.post("/moves", json=MOVE | {field: value})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", field]), field
    answer = await moves.post("/moves", content=json.dumps(MOVE).replace("1.5", "1e999"), headers=IS_JSON)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "weight"])
    assert (await moves.get("/moves?on=20000")).status_code == 422
    assert (await moves.get("/moves?sort=on&after=20000,1")).status_code == 422


def test_a_number_written_as_text_is_no_date() -> None:
    for field in ("on", "at"):
        for number in ("0", "1732620000", "-1", "1.5e9", "2026", ""):
            with pytest.raises(ValidationError) as caught:
                MoveCreate.model_validate(MOVE | {field: number})
            assert [found["loc"] for found in caught.value.errors()] == [(field,)], number


def test_the_document_says_what_a_conflict_can_be() -> None:
    paths = app_of_them().openapi()["paths"]
    for path, method, detail in (
        ("/Group", "post", "table: Group 7 has the same"),
        ("/Group/{step_id}", "patch", "table: Group 7 has the same"),
        ("/depots/{depot_id}", "delete", "Depot 7 still has moves: move or delete them first"),
        ("/Group/{step_id}/restore", "post", "Its move 7 is deleted: restore that first"),
    ):
        found = paths[path][method]["responses"]["409"]["content"]["application/json"]["example"]
        assert found == {"detail": detail}
    assert "that has no moves or Group." in paths["/moves/{move_id}"]["delete"]["description"]


def test_the_document_has_it() -> None:
    paths = app_of_them().openapi()["paths"]
    assert {"moves-list_moves", "moves-list_moves_of_move"} <= {
        operation["operationId"] for path in paths.values() for operation in path.values()
    }


def odd(fields: dict[str, Any], **model: Any) -> Resource:
    """A resource of a model with these attributes, whose clients set these fields."""

    class Fresh(DeclarativeBase):
        type_annotation_map = Base.type_annotation_map

    class Shelf(Record, Fresh):
        __tablename__ = "shelves"

        code: Mapped[str]

    class OddCreate(RequestBody):
        model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    Table("kinds", Fresh.metadata, Column("id", BigInteger(), primary_key=True))
    columns = {
        "rank": mapped_column(BigInteger(), server_default="1", nullable=False),
        "until": mapped_column(Date_(), nullable=True),
    }
    made: Any = type("Odd", (Record, Fresh), {"__tablename__": "odds", **columns, **model})
    create = create_model("OddCreate", __base__=OddCreate, **fields)
    shelf = create_model("ShelfCreate", __base__=OddCreate, code=(str, ...))
    found, _ = related(
        [
            Resource(made, create, "odd", writers=UserType.ADMIN),
            Resource(Shelf, shelf, "shelf", writers=UserType.ADMIN),
        ]
    )
    return found


COUNT = (int, ...)


@each(
    "fields, model, why",
    [
        ({"until": (Date | None, None)}, {"__sorts__": ("until",)}, "odds can't be sorted by until, because it may be"),
        ({}, {"__sorts__": ("rank",)}, "odds can't be sorted by rank, which is no column that clients see"),
        ({}, {"more": mapped_column(JSONB()), "__filters__": ("more",)}, "odds can't be filtered or sorted by more"),
        ({}, {"tags": mapped_column(ARRAY(Text()))}, "odds can't have tags as an array"),
        ({}, {"__sorts__": ("age",)}, "Odd has no column age"),
        ({}, {"__label__": "age"}, "Odd has no column age"),
        ({"count": COUNT}, {"count": mapped_column(BigInteger()), "__filters__": ("count",)}, "filtered by count"),
        ({}, {"copy": mapped_column(BigInteger()), "__filters__": ("copy",)}, "odds can't be filtered by copy"),
        ({}, {"after_value": mapped_column(BigInteger()), "__filters__": ("after_value",)}, "filtered by after_value"),
        ({"rank": COUNT, "colour": COUNT}, {}, "OddCreate has colour, and Odd has no column for it"),
        ({"rank": (int | None, None)}, {}, "OddCreate.rank may be null, and Odd's column may not"),
        ({"rank": (int | None, 1)}, {}, "OddCreate.rank may be null, and Odd's column may not"),
        ({"rank": (Any, ...)}, {}, "OddCreate.rank may be null, and Odd's column may not"),
        ({"rank": (int, Field(default_factory=int))}, {}, "OddCreate.rank has a default_factory"),
        ({"__validators__": {"whole": model_validator(mode="after")(lambda self: self)}}, {}, "OddCreate.whole checks"),
        ({"rank": (int, Field(alias="level"))}, {}, "OddCreate.rank has an alias"),
        (
            {},
            {"size": mapped_column(BigInteger(), nullable=False)},
            "Odd.size needs a value, and OddCreate has",
        ),
        ({}, {"size": mapped_column(BigInteger(), default=1)}, "Odd.size has a default of Python's"),
        ({"rank": COUNT}, {"__label__": "rank"}, "Odd can't be known by rank, which is no text"),
        ({}, {"__tablename__": "odd ones"}, "Odd: paths need a noun, and a table, in plain letters"),
        ({"id": COUNT}, {}, "OddCreate has id, which the api itself sets"),
        ({"deleted_at": (Moment, ...)}, {}, "OddCreate has deleted_at, which the api itself sets"),
        ({}, {"shelf": mapped_column(ForeignKey("shelves.code"))}, "odds.shelf refers to shelves.code, and not to an"),
    ],
)
def test_what_would_not_work_is_refused_at_the_start(fields: dict[str, Any], model: dict[str, Any], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        odd(fields, **model)


def test_so_is_what_belongs_to_records_that_are_no_resource_and_not_what_refers_to_other_rows() -> None:
    with pytest.raises(TypeError, match="visits belong to Group, which are no resource yet"):
        related([Resource(Visit, VisitCreate, "visit", writers=UserType.KEEPER)])
    assert odd({}, kind=mapped_column(ForeignKey("kinds.id"))).references == ()


def test_a_record_needs_an_example() -> None:
    class Plain(RequestBody):
        capacity: int

    with pytest.raises(TypeError, match="Plain needs an example: the document shows it"):
        Resource(Depot, Plain, "depot", writers=UserType.KEEPER)


@pytest.mark.parametrize("update", [False, True])
def test_what_is_no_json_is_told_once(update: bool) -> None:
    resource = odd({"more": (dict[str, Any], ...)}, more=mapped_column(JSONB(), nullable=False))
    file = io.BytesIO(b"id,more\n1,{a}\n" if update else b"more\n{a}\n")
    with pytest.raises(ImportRefused) as refused:
        list(Batches(file, resource, {}, update=update))
    (finding,) = refused.value.findings
    assert finding.startswith("line 2, more: not JSON: ")


def test_only_what_is_unique_among_all_says_which_record_it_is() -> None:
    code, index = func.lower(text("code")), {"unique": True, "postgresql_where": LIVE}
    for expected, expressions, options in (
        (["code"], ["code"], index),
        (["code"], ["code"], {"unique": True}),
        ([], ["code"], {"unique": True, "postgresql_where": text("rank > 1")}),
        ([], [code], index),
        ([], ["code", "rank"], index),
    ):
        table = (Index("uq_odds_code", *expressions, **options),)
        assert odd({"code": (str, ...)}, code=mapped_column(Text()), __table_args__=table).unique == expected


@pytest.mark.parametrize("name", ["health", "docs"])
def test_a_table_that_is_called_like_a_part_of_the_api_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(resources.RESOURCES, name, odd({}, __tablename__=name))
    with pytest.raises(TypeError, match=f"There are two routes GET /{name}: give the table another name"):
        create_app(Settings())


def test_so_is_a_file_that_is_none_of_a_resource() -> None:
    with pytest.raises(TypeError, match=r"api/crud/seeds\.py declares no RESOURCE"):
        resources.declared("seeds")


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

    class Chapter(RequestBody):
        title: Name

    class Chapters(TomeCreate):
        first: Annotated[list[Chapter], Field(max_length=500)]  # type: ignore[assignment]

    assert body_size(Chapters) > 12 * (10_000 + 500 * 200)
    Other.metadata.remove(Other.metadata.tables["tomes"])
