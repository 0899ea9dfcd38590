"""Phases of revisions, and releases of the api, and their order."""

import re
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from alembic.script import Script

from alembic_online.errors import ConfigurationError
from alembic_online.runs.contract import safe_from_release
from alembic_online.runs.phases import split_by_phase, waited_for
from alembic_online.runs.releases import count_releases, find_sessions
from alembic_online.runs.workers import find_workers
from alembic_online.settings import Phase
from local.postgres import Server
from stack_settings.release import is_older
from tests.alembic_online.sessions import look
from tests.conftest import ROOT
from tests.each import each

FILE = "2099_01_01_0000-drop.py"


def revision(name: str = "drop", **attributes: Any) -> Script:
    module = ModuleType(name)
    vars(module).update(revision=name, down_revision=None, **attributes)
    return Script(module, name, str(Path("versions") / FILE))


def line(phases: str) -> list[Script]:
    """Revisions, one per letter: e is an expand revision, c a contract revision."""
    contract = {"phase": "contract", "safe_from_release": "0.4.0"}
    return [revision(f"{letter}{at}", **(contract if letter == "c" else {})) for at, letter in enumerate(phases)]


def names(revisions: list[Script]) -> str:
    return "".join(revision.revision[0] for revision in revisions)


class TestAttributes:
    @pytest.mark.parametrize(
        "attributes", [{}, {"phase": "expand"}, {"phase": "expand", "safe_from_release": None}], ids=str
    )
    def test_a_revision_expands_unless_it_says_otherwise(self, attributes: dict[str, Any]) -> None:
        assert safe_from_release(revision(**attributes)) is None

    def test_a_contract_revision_names_the_release_that_does_without(self) -> None:
        assert safe_from_release(revision(phase="contract", safe_from_release="0.4.0")) == "0.4.0"

    @each(
        "attributes, said",
        [
            ({"phase": "later"}, "'later'"),
            ({"phase": None}, "None"),
            ({"phase": "contract"}, "safe_from_release is None"),
            ({"phase": "contract", "safe_from_release": ""}, "safe_from_release is ''"),
            ({"phase": "contract", "safe_from_release": "dev"}, "'dev'"),
            ({"phase": "contract", "safe_from_release": "3b85009"}, "'3b85009'"),
            ({"phase": "contract", "safe_from_release": 0.4}, "0.4"),
            ({"safe_from_release": "0.4.0"}, 'write phase = "contract"'),
        ],
    )
    def test_what_can_be_no_phase_or_no_release_is_refused_by_the_name_of_the_file(
        self, attributes: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            safe_from_release(revision(**attributes))
        assert str(caught.value).startswith(FILE)
        assert said in str(caught.value)


@each(
    "pending, phase, due, needed",
    [
        ("", "expand", "", ""),
        ("eecc", "expand", "ee", "ee"),
        ("eecc", "contract", "", ""),
        ("eecc", "all", "eecc", "eecc"),
        ("ccee", "contract", "cc", "cc"),
        ("ccee", "expand", "", "ee"),
        ("ecec", "expand", "e", "ee"),
        ("ecec", "all", "ecec", "ecec"),
        ("cc", "expand", "", ""),
    ],
)
def test_a_phase_goes_as_far_as_the_first_revision_of_the_other(
    pending: str, phase: Phase, due: str, needed: str
) -> None:
    revisions = line(pending)
    applied, waiting = split_by_phase(revisions, phase)
    assert names(applied) == due
    assert applied + waiting == revisions
    assert names(waited_for(revisions, phase)) == needed


@each("release", ["0.3.0", "0.3.99", "0.4.0rc1", "0.4.0.dev2", "v0.3.0"])
def test_a_release_before_is_older(release: str) -> None:
    assert is_older(release, "0.4.0")


@each("release", ["unknown", "dev", "", "4", "3b85009", "1234567", "test-1a2b3c4d", "0.4.0-x-y"])
def test_what_can_not_be_told_counts_as_older(release: str) -> None:
    assert is_older(release, "0.4.0")


@each("release", ["0.4.0", "v0.4", "0.4.1", "0.10.0", "1.0rc1", "0.4.0.post1", "0.4.0+build.7"])
def test_the_release_itself_and_what_follows_is_not_older(release: str) -> None:
    assert not is_older(release, "0.4.0")


async def test_releases_are_told_by_the_names_of_the_sessions_on_this_database(
    server: Server, database: str, worker_database: str
) -> None:
    async def connect(name: str, to: str = database) -> asyncpg.Connection:
        return await asyncpg.connect(server.url("zoo_api", to), server_settings={"application_name": name})

    api = [
        "api@0.3.0",
        "api@0.3.0",
        "api command@0.3.0",
        "api",
        "api@",
        "api command",
        "api@1@2",
        "bill@2: eu: api@0.2.0",
    ]
    others = ["apis@0.1.0", "my api@0.1.0", ": apis@0.1.0", "psql", "", "api-gateway", "API@0.1.0", "migrator"]
    sessions = [await connect(name) for name in api + others]
    sessions.append(await connect("api@0.1.0", worker_database))
    found = await look(server, database, partial(find_sessions, application="api"))
    for session in sessions:
        await session.close()
    assert count_releases(found) == {"0.3.0": 3, "unknown": 3, "1@2": 1, "0.2.0": 1}
    (pair,) = (group for group in found if group.count > 1)
    assert str(pair) == f"api@0.3.0 (2 sessions, pid {pair.pid})"


async def test_an_app_keeps_rows_of_its_workers_as_the_readme_says(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    readme = (ROOT / "alembic_online" / "README.md").read_text()
    [seen] = re.findall(r"^```sql\n(INSERT INTO migration_workers .*?)^```", readme, re.MULTILINE | re.DOTALL)
    [end] = re.findall(r"`(DELETE FROM migration_workers .*?)`", readme)
    app = await asyncpg.connect(server.url("zoo_api", database))
    workers = [uuid4(), uuid4()]
    for worker in (*workers, *workers):
        await app.execute(seen, worker)
    assert await admin.fetchval("SELECT bool_and(seen_at > started_at) FROM migration_workers")
    [found] = await look(server, database, partial(find_workers, application="shop"))
    assert re.fullmatch(r"shop@1\.0\.0 \(2 workers, seen \d\d? s ago\)", str(found))  # on a busy machine, not at once
    assert await look(server, database, partial(find_workers, application="api")) == []
    for worker in workers:
        await app.execute(end, worker)
    await app.close()
    assert await look(server, database, partial(find_workers, application="shop")) == []
