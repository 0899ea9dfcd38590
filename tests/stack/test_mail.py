"""`make up MAIL=1`: what the api mails can be read on this machine, and on no other."""

import os
import subprocess
import time

import httpx

from tests.conftest import ROOT
from tests.stack.stack import PATIENCE, Stack
from tests.users import PASSWORD


def test_a_mail_is_read_on_this_machine(elsewhere: Stack) -> None:
    command = ["python", "-m", "api", "create-user", "ngozi@zoo.example", "--type", "admin"]
    elsewhere.exec("api", *command, stdin=PASSWORD)
    address = f"http://127.0.0.1:{elsewhere.environment['MAIL_PORT']}/view/latest.txt"
    assert httpx.get(address).status_code == httpx.codes.NOT_FOUND
    asked = httpx.post(
        f"{elsewhere.address}/auth/forgot-password", json={"email": "ngozi@zoo.example"}, timeout=PATIENCE
    )
    assert asked.status_code == httpx.codes.ACCEPTED
    deadline = time.monotonic() + 30
    while (mail := httpx.get(address)).status_code != httpx.codes.OK:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert mail.text.startswith("To: ngozi@zoo.example\n\n")
    assert "\neyJ" in mail.text  # the token


def test_the_catcher_is_published_on_this_machine_only_and_has_no_rights(elsewhere: Stack) -> None:
    inspected = elsewhere.inspect("mail")
    published = {inside: there for inside, there in inspected["NetworkSettings"]["Ports"].items() if there}
    assert published == {"8025/tcp": [{"HostIp": "127.0.0.1", "HostPort": elsewhere.environment["MAIL_PORT"]}]}
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
