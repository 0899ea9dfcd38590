"""The embedded Postgres: interruptions, and a second one on the same data."""

import os
from pathlib import Path

import pytest

from local.postgres import DATABASE, PostgresBusy, attach, serve
from tests.conftest import FAST_AND_FORGETFUL, superuser


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of a server that has ended: making them takes longer than starting one on them."""
    data = tmp_path_factory.mktemp("postgres") / "data"
    with serve(data, FAST_AND_FORGETFUL, DATABASE):
        return data


def test_an_initdb_that_was_killed_is_begun_again_and_variables_meant_for_another_postgres_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished = tmp_path / "data.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    for name, value in {"PGPORT": "6000", "PGHOST": "elsewhere", "PGUSER": "somebody", "PGDATA": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    with serve(tmp_path / "data", FAST_AND_FORGETFUL, DATABASE) as server:
        assert server.socket_dir.exists()
    assert not unfinished.exists()


async def test_a_second_one_is_refused_and_may_attach(data: Path) -> None:
    with serve(data, FAST_AND_FORGETFUL) as server:
        with pytest.raises(PostgresBusy, match="end it first"), serve(data):
            pass
        assert attach(data) == server
        connection = await superuser(attach(data), DATABASE)
        await connection.close()


def test_a_socket_that_a_killed_one_left_is_removed(data: Path) -> None:
    with serve(data, FAST_AND_FORGETFUL) as server:
        left = (data / "postmaster.pid").read_text()
    server.socket_dir.mkdir()
    (data / "postmaster.pid").write_text(left.replace(left.split()[0], str(2**22 - 1), 1))
    with serve(data, FAST_AND_FORGETFUL):
        assert not server.socket_dir.exists()


def test_a_temporary_folder_with_a_long_name_is_no_obstacle(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with serve(data, FAST_AND_FORGETFUL) as server:
        assert len(os.fsencode(server.socket_dir)) < 80
