"""The embedded Postgres: interruptions, and a second one on the same data."""

import os
from pathlib import Path

import pytest

from local.postgres import DATABASE, PostgresBusy, attach, serve
from tests.conftest import FAST_AND_FORGETFUL, superuser


def test_an_initdb_that_was_killed_is_begun_again(tmp_path: Path) -> None:
    unfinished = tmp_path / "data.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    with serve(tmp_path / "data", FAST_AND_FORGETFUL) as server:
        assert server.socket_dir.exists()
    assert not unfinished.exists()


async def test_a_second_one_is_refused_and_may_attach(tmp_path: Path) -> None:
    with serve(tmp_path / "data", FAST_AND_FORGETFUL, DATABASE) as server:
        with pytest.raises(PostgresBusy, match="end it first"), serve(tmp_path / "data"):
            pass
        assert attach(tmp_path / "data") == server
        connection = await superuser(attach(tmp_path / "data"), DATABASE)
        await connection.close()


def test_variables_meant_for_another_postgres_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "6000", "PGHOST": "elsewhere", "PGUSER": "somebody", "PGDATA": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    with serve(tmp_path / "data", FAST_AND_FORGETFUL, DATABASE):
        pass


def test_a_socket_that_a_killed_one_left_is_removed(tmp_path: Path) -> None:
    with serve(tmp_path / "data", FAST_AND_FORGETFUL) as server:
        left = (tmp_path / "data" / "postmaster.pid").read_text()
    server.socket_dir.mkdir()
    (tmp_path / "data" / "postmaster.pid").write_text(left.replace(left.split()[0], str(2**22 - 1), 1))
    with serve(tmp_path / "data", FAST_AND_FORGETFUL):
        assert not server.socket_dir.exists()


def test_a_temporary_folder_with_a_long_name_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with serve(tmp_path / "data", FAST_AND_FORGETFUL) as server:
        assert len(os.fsencode(server.socket_dir)) < 80
