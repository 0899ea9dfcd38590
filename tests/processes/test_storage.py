"""The embedded storage, as `make run` and the tests start it."""

import json
import socket
from pathlib import Path

from local.storage import HOST, RUNNING, STATE, serve


def test_where_another_has_taken_one_of_its_ports_meanwhile_it_takes_others_and_ends_with_its_user(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "storage"
    with serve(folder) as started, socket.socket() as other:
        state = folder / RUNNING / STATE
        taken = json.loads(state.read_text())["ports"]["s3.port"]
        other.bind((HOST, taken))
        other.listen()
        storage = started.wait()
        assert storage.ports["s3.port"] != taken
        assert json.loads(state.read_text())["ports"] == storage.ports
        assert storage.is_ready()
    assert not state.exists()
    assert not storage.is_ready()
