"""`make up MAIL=1`: what the api mails can be read on this machine, and on no other."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import PASSWORD, ROOT, find_free_port
from tests.stack.stack import PREFIX, RELEASE, Stack, docker

CATCHER = Path(__file__).with_name("mail_catcher.py")
# A server with aiosmtpd in Mailpit's place, on the api's Python; all else is as the Compose file says.
LIBRARIES = [Path(str(find_spec(name).origin)).parent for name in ("aiosmtpd", "attr", "attrs", "public")]  # type: ignore[union-attr]
MAIL = {
    "image": f"{PREFIX}api:{RELEASE}",
    "command": ["/mailpit"],
    "environment": {"PYTHONPATH": "/libraries"},
    "volumes": [f"{library}:/libraries/{library.name}:ro" for library in LIBRARIES],
}


@pytest.fixture(scope="module")
def mail_stack(images: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, int]]:  # noqa: ARG001
    """A stack with the mail catcher, and the port at which its mail is read."""
    folder = tmp_path_factory.mktemp("mail")
    override, catcher = folder / "compose.yml", folder / "mailpit"
    catcher.write_bytes(CATCHER.read_bytes())
    catcher.chmod(0o755)
    mail = MAIL | {"volumes": [*MAIL["volumes"], f"{catcher}:/mailpit:ro"]}
    override.write_text(json.dumps({"services": {"mail": mail}}))
    port = find_free_port()
    # As in the .env of somebody who sends real mail otherwise.
    stack = Stack(override, MAIL_PORT=str(port), SMTP_URL="smtp://zoo@mail.example:587", SMTP_PASSWORD="secret")
    try:
        up = ["make", "--silent", "up", "MAIL=1"]
        subprocess.run(up, cwd=ROOT, env=stack.environment | stack.names, check=True, timeout=300)
        yield stack, port
    finally:
        subprocess.run(
            ["make", "--silent", "down"], cwd=ROOT, env=stack.environment | stack.names, check=True, timeout=120
        )
        left = stack.compose("ps", "--all", "--services").stdout
        stack.compose("down", "--volumes", "--remove-orphans", check=False)
        assert left.strip() == ""  # the mail catcher goes with the others


def test_a_mail_is_read_on_this_machine(mail_stack: tuple[Stack, int]) -> None:
    running, port = mail_stack
    command = ["python", "-m", "api", "create-user", "ngozi@zoo.example", "--type", "admin"]
    running.exec("api", *command, stdin=PASSWORD)
    address = f"http://127.0.0.1:{port}/view/latest.txt"
    assert httpx.get(address).status_code == httpx.codes.NOT_FOUND
    asked = httpx.post(f"{running.address}/auth/forgot-password", json={"email": "ngozi@zoo.example"}, timeout=10)
    assert asked.status_code == httpx.codes.ACCEPTED
    deadline = time.monotonic() + 30
    while (mail := httpx.get(address)).status_code != httpx.codes.OK:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert mail.text.startswith("To: ngozi@zoo.example\n\n")
    assert "\neyJ" in mail.text  # the token


def test_the_catcher_is_published_on_this_machine_only_and_has_no_rights(mail_stack: tuple[Stack, int]) -> None:
    running, port = mail_stack
    inspected: dict[str, Any] = json.loads(docker("inspect", running.container("mail")))[0]
    published = {inside: there for inside, there in inspected["NetworkSettings"]["Ports"].items() if there}
    assert published == {"8025/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
    assert (inspected["HostConfig"]["ReadonlyRootfs"], inspected["HostConfig"]["CapDrop"]) == (True, ["ALL"])
    assert inspected["Config"]["User"] == "10001:10001"
    assert inspected["State"]["Health"]["Status"] == "healthy"


def test_without_the_profile_there_is_no_catcher() -> None:
    command = ["docker", "compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--services"]
    profile = [
        "docker",
        "compose",
        "--file",
        str(ROOT / "docker-compose.yml"),
        "--profile",
        "mail",
        "config",
        "--images",
    ]
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    assert "mail" not in subprocess.check_output(command, env=clean, text=True).split()
    assert any(
        image.startswith("axllent/mailpit:v")
        for image in subprocess.check_output(profile, env=clean, text=True).split()
    )
