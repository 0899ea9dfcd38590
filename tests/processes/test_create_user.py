"""`python -m api create-user`: the first admin."""

import os
import pty
import time

import httpx
import pytest
from typer.testing import CliRunner, Result

from api.__main__ import app
from local.postgres import Server
from tests.python import HANGS, Python, run
from tests.users import PASSWORD

NEW = "ngozi@zoo.example"


@pytest.fixture
def environment(server: Server, database: str) -> dict[str, str]:
    return server.environment(database)


def create_user(environment: dict[str, str], *arguments: str, stdin: str = f"{PASSWORD}\n") -> Result:
    return CliRunner().invoke(app, ["create-user", *arguments], env=environment, input=stdin)


def test_makes_an_admin_and_no_second_account_of_that_address(environment: dict[str, str]) -> None:
    made = create_user(environment, NEW, "--type", "admin")
    assert (made.exit_code, made.stdout) == (0, f"{NEW} is a user of type admin\n")
    again = create_user(environment, NEW.upper(), "--type", "admin")
    assert again.exit_code == 1
    assert again.stderr.splitlines() == ["There is an account with this address already", "No user was created."]


def test_makes_a_visitor_unless_told_otherwise(environment: dict[str, str]) -> None:
    assert create_user(environment, NEW).stdout == f"{NEW} is a user of type visitor\n"


@pytest.mark.parametrize(
    ("email", "password", "said"),
    [
        ("nobody", PASSWORD, "email: "),
        (NEW, "short", "password: "),
        (NEW, "", "password: "),
        (NEW, NEW, "password: must not be the address"),
    ],
)
def test_says_what_cannot_be_taken(environment: dict[str, str], email: str, password: str, said: str) -> None:
    refused = create_user(environment, email, stdin=f"{password}\n")
    assert refused.exit_code == 1
    assert refused.stderr.startswith(said)
    assert "Traceback" not in refused.stderr


def test_a_type_that_is_none_is_refused(environment: dict[str, str]) -> None:
    assert create_user(environment, NEW, "--type", "emperor").exit_code == 2


def test_on_a_terminal_it_asks_twice_and_shows_nothing(environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    command = ["api", "create-user", NEW, "--type", "admin"]
    env = {**os.environ, **environment, "TERM": "xterm"}
    with Python(*command, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = ""
        for prompt in ("Password: ", "Repeat for confirmation: "):
            while not shown.endswith(prompt):
                shown += os.read(ours, 1024).decode()
            time.sleep(0.05)
            os.write(ours, f"{PASSWORD}\n".encode())
        while "admin" not in shown.partition("confirmation")[2]:
            shown += os.read(ours, 1024).decode()
        assert process.wait(timeout=HANGS) == 0
    os.close(ours)
    assert PASSWORD not in shown
    rule, _, _ = shown.partition("Password: ")
    assert rule.strip() == "12 to 128 characters that can be seen, but not the address."


async def test_who_was_made_can_sign_in(environment: dict[str, str], committing_client: httpx.AsyncClient) -> None:
    made = run("api", "create-user", NEW, "--type", "keeper", env=os.environ | environment, stdin=PASSWORD)
    assert made.returncode == 0, made.stderr
    signed = await committing_client.post("/auth/jwt/login", data={"username": NEW, "password": PASSWORD})
    headers = {"Authorization": f"Bearer {signed.json()['access_token']}"}
    me = (await committing_client.get("/users/me", headers=headers)).json()
    assert (me["email"], me["type"]) == (NEW, "keeper")
