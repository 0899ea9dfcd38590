"""The base images are pinned by digest, as a registry has them."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.checkouts import clone
from tests.conftest import ROOT
from tests.ports import find_free_port
from tests.stack.stack import PREFIX, TOOLS, Stack, docker

SERVE = """
printf 'version: 0.1\\nstorage: {filesystem: {rootdirectory: /tmp}}\\nhttp: {addr: ":5000"}\\n' >/config.yml
exec docker-registry serve /config.yml
"""
# All that the db's image needs of its base for being built; the real ones take minutes to push.
BASE = f"""
FROM {TOOLS} AS tools
FROM scratch
COPY --from=tools /bin/busybox /bin/
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /docker-entrypoint-initdb.d /var/run/postgresql
LABEL which=%s
"""


@pytest.fixture
def registry() -> Iterator[str]:
    """The address of a registry that is empty."""
    port = find_free_port()
    run = ["run", "--detach", "--rm", "--publish", f"127.0.0.1:{port}:5000", TOOLS, "sh", "-euc", SERVE]
    container = docker(*run).strip()
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/v2/").raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        docker("stop", "--time", "2", container)


def push(which: str, *images: str) -> None:
    """Push an image that says which one it is, by these names."""
    docker("build", *(f"--tag={image}" for image in images), "-", input=BASE % which)
    for image in images:
        docker("push", "--quiet", image)


def test_images_are_built_on_the_digests_that_were_locked_though_the_tags_have_moved(
    registry: str, tmp_path: Path
) -> None:
    checkout = clone(tmp_path)
    names = ("PYTHON", "POSTGRES", "DEBIAN", "PGBOUNCER", "GRAFANA", "PROMETHEUS", "ALERTMANAGER")
    # In one repository, which gets their layers once.
    named = {f"{name}_IMAGE": f"{registry}/bases/all:{name.lower()}" for name in names}
    push("locked", *named.values())
    stack = Stack(root=checkout, IMAGES=f"{PREFIX}locked-")
    try:
        locking = ["make", "--silent", "lock-images"]
        subprocess.run(locking, cwd=checkout, env=stack.environment | named, check=True)
        locked = dict(line.split("=") for line in (checkout / "images.env").read_text().splitlines())
        assert {name: image.split("@sha256:")[0] for name, image in locked.items()} == named
        # Another image gets the tag; the one that was locked is built on.
        push("moved", named["POSTGRES_IMAGE"])
        build = f". deploy/build-args.sh && {' '.join(stack.command('build', 'db'))}"
        subprocess.run(["sh", "-euc", build], cwd=checkout, env=stack.environment, check=True, capture_output=True)
        built = docker("image", "inspect", "--format", "{{.Config.Labels.which}}", f"{PREFIX}locked-db:18")
        assert built == "locked\n"
    finally:
        docker("image", "rm", "--force", f"{PREFIX}locked-db:18", *named.values())


def test_without_a_registry_nothing_is_locked(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    names = ("ALERTMANAGER", "DEBIAN", "GRAFANA", "PGBOUNCER", "POSTGRES", "PROMETHEUS", "PYTHON")
    nowhere = {f"{name}_IMAGE": "127.0.0.1:1/x:1" for name in names}
    done = subprocess.run([tmp_path / "deploy" / "lock-images.sh"], env=Stack().environment | nowhere, check=False)
    assert done.returncode != 0
    assert not (tmp_path / "images.env").exists()
