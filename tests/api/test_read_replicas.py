"""What may be read from a replica: by type, by route, and by request. tests/faults has what a real one does."""

from typing import Any

import pytest
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import ValidationError
from sqlalchemy import delete, select, update

from api.crud import records
from api.crud.accounts import access_tokens
from api.crud.resource import Resource
from api.crud.resources import RESOURCES
from api.database.replica_reads import ReplicaReads
from api.database.statements import ReadDatabase, Statement
from api.dependencies import get_read_database
from api.main import Api, create_app
from api.models.animals import Animal
from api.settings import Settings
from api.state import NAME
from local.postgres import Server
from tests.conftest import serve_app

REPLICA = "postgresql://zoo_api@127.0.0.1:1/zoo"
GOOD = "a good password for the replica, 1793"


def takes_a_replica(dependant: Dependant) -> bool:
    return dependant.call is get_read_database or any(map(takes_a_replica, dependant.dependencies))


def test_only_reads_of_records_take_a_replica(worker_app: Api) -> None:
    routes = [route for route in worker_app.routes if isinstance(route, APIRoute)]
    found = [route for route in routes if takes_a_replica(route.dependant)]
    reads = set()
    for resource in RESOURCES.values():
        record = f"/{resource.name}/{{{resource.word}_id}}"
        lists = [f"{record}/{children.resource.name}" for children in resource.children if children.is_only]
        reads |= {f"GET {path}" for path in (f"/{resource.name}", record, *lists)}
    assert {f"{method} {route.path}" for route in found for method in route.methods or ()} == reads


async def _what_the_types_refuse(db: ReadDatabase, animals: Resource, some: Any) -> None:
    """Never run: `make check` fails if one of these lines is no error."""
    await records.get(db, animals, 1)
    await records.list_page(db, animals, some)
    await records.create(db, animals, some)  # type: ignore[arg-type]
    await records.change(db, animals, 1, some, some)  # type: ignore[arg-type]
    await records.delete(db, animals, 1, some)  # type: ignore[arg-type]
    await records.restore(db, animals, 1, some)  # type: ignore[arg-type]
    await access_tokens.find_caller(db, "", some)  # type: ignore[arg-type]
    await db.fetchrow("DELETE FROM animals")  # type: ignore[arg-type]
    await Statement(delete(Animal), int).first(db)  # type: ignore[arg-type]
    changes: Statement[int, ReadDatabase] = Statement(update(Animal), int)  # type: ignore[assignment]
    await changes.first(db)
    reads: Statement[int, ReadDatabase] = Statement(select(Animal), int)
    await reads.first(db)


async def test_without_the_setting_there_is_no_replica(server: Server, worker_database: str) -> None:
    async with serve_app(create_app(Settings(database_url=server.url("zoo_api", worker_database)))) as served:
        assert served.state.replica is None
        async with served.client() as client:
            assert (await client.get("/animals")).status_code == 200


async def test_a_replica_that_is_not_there_costs_no_read(server: Server, worker_database: str) -> None:
    settings = Settings(database_url=server.url("zoo_api", worker_database), database_read_url=REPLICA)
    async with serve_app(create_app(settings)) as served, served.client() as client:
        for path in ("/animals", "/exhibits", "/health/ready"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/animals/1")).status_code == 404


async def test_who_says_who_they_are_reads_what_they_have_just_written(server: Server, worker_database: str) -> None:
    settings = Settings(database_url=server.url("zoo_api", worker_database), database_read_url=REPLICA)
    cases: tuple[tuple[list[tuple[bytes, bytes]], bool], ...] = (
        ([], True),
        ([(b"cookie", b"theme=dark"), (b"user-agent", b"zoo-auth")], True),
        ([(b"authorization", b"Bearer x")], False),
        ([(b"cookie", b"theme=dark; zoo-auth=x")], False),
        ([(b"cookie", b"theme=dark"), (b"cookie", b"zoo-auth=x")], False),
    )
    async with serve_app(create_app(settings)) as served:
        for headers, is_of_replica in cases:
            request = Request({"type": "http", "headers": headers, "state": {NAME: served.state}})
            database = await get_read_database(request, Response())
            assert (database is not served.state.database) is is_of_replica, headers
            assert isinstance(database, ReplicaReads) is is_of_replica, headers


def test_a_replica_has_the_password_of_the_database_or_its_own() -> None:
    both = Settings(database_password=GOOD, database_read_url="postgresql://zoo_api@replica/zoo").read_database()
    own = Settings(database_password=GOOD, database_read_url="postgresql://zoo_api:own@replica/zoo").read_database()
    assert both is not None
    assert own is not None
    assert (both.password, own.password) == (GOOD, "own")
    assert Settings().read_database() is None


def test_production_refuses_a_weak_password_of_a_replica_and_says_the_same_once() -> None:
    weak = Settings(environment="production", database_read_url="postgresql://zoo_api:zoo_api@replica/zoo")
    with pytest.raises(ValueError, match="the password in DATABASE_READ_URL"):
        weak.require_usable()
    shared = Settings(environment="production", database_read_url="postgresql://zoo_api@replica/zoo")
    with pytest.raises(ValueError, match="DATABASE_PASSWORD") as refused:
        shared.require_usable()
    assert str(refused.value).count("DATABASE_PASSWORD") == 1


@pytest.mark.parametrize("seconds", [0, 2.9, 3601, float("inf"), float("nan")])
def test_a_lag_that_can_not_be_known_is_refused(seconds: float) -> None:
    with pytest.raises(ValidationError, match="equal to 3"):
        Settings(read_max_lag_seconds=seconds)
