"""Secrets: the api, the migrator and the database's image read files alike, and refuse the same ones."""

import base64
import os
import re
import string
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from stack_settings import read_url
from stack_settings.secret import read, weakness
from tests.conftest import ROOT
from tests.rounds import rounds

SCRIPTS = ROOT / "deploy" / "postgres"
SECRET = "a$b #c \"d\" 'e' \\f é`"
FILES = {
    "as it is": SECRET.encode(),
    "a line end": f"{SECRET}\n".encode(),
    "CRLF": f"{SECRET}\r\n".encode(),
    "blanks around": f" \t{SECRET} \n\n".encode(),
    "a byte order mark": f"\ufeff{SECRET}\r\n".encode(),
    "a byte order mark and blanks": f"\ufeff\n {SECRET}".encode(),
}
REPEATED = [
    *("zoo_api_zoo_api_zoo_api", "zoo_migrator_zoo_migrator", "Zoo_Migrator_ZOO_MIGRATOR_zoo_migrator"),
    *("a" * 30, "postgrespostgres", "password-password-password", "changemechangeme!", "x1y2z3" * 5, " " * 40),
    *("P@ssw0rdP@ssw0rd", "hunter2hunter2hunter2", "administrator administrator", "aaaaaaaabbbbbbbbcccccccc"),
    *("2026112620261126", "secret\nsecret\nsecret\n", "пароль пароль пароль", "user1user2user3user4"),
]
IN_ROWS = [
    *("1234567890123456", "0987654321098765", "abcdefghijklmnopqrstuvwxyz", "AbCdEfGhIjKlMnOp", "fedcba9876543210"),
    *("0123456789abcdef0123456789abcdef", "13579246801357924680", "a1b2c3d4e5f6g7h8", "aabbccddeeffgghh"),
    *("qwertyuiopasdfghjkl", "QWERTYUIOP1234567890", "mnbvcxzlkjhgfdsapoiuytrewq", "asdfghjkl;'asdfgh"),
    *("1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv", "qazwsxedcrfvtgbyhnujm", "azertyuiopqsdfghjklm", "qwertzuiopasdfgh"),
    *("password12345678", "Password1234567890", "qwerty123456qwerty"),
]
# None of the half a million phrases of five repeats itself. Of words in -er, as pepper ladder otter ember, some do.
WORDS = "otter crane basil quartz ember willow sonnet walnut comet harbor velvet thistle magnet plume canyon lantern"


def of(alphabet: str, length: int) -> Callable[[Random], str]:
    return lambda random: "".join(random.choices(alphabet, k=length))


# The same in each run: one in 100,000 of 16 hexadecimal digits repeats itself by chance.
RANDOM: dict[str, Callable[[Random], str]] = {
    "openssl rand -base64 32": lambda random: base64.b64encode(random.randbytes(32)).decode(),
    "openssl rand -base64 12": lambda random: base64.b64encode(random.randbytes(12)).decode(),
    "openssl rand -hex 32": lambda random: random.randbytes(32).hex(),
    "openssl rand -hex 8": lambda random: random.randbytes(8).hex(),
    "uuidgen": lambda random: str(UUID(int=random.getrandbits(128), version=4)),
    "pwgen -s 16": of(string.ascii_letters + string.digits, 16),
    "pwgen -y 20": of(string.ascii_letters + string.digits + string.punctuation, 20),
    "base32": of(string.ascii_lowercase + "234567", 16),
    "a passphrase": lambda random: " ".join(random.sample(WORDS.split(), 5)),
    "digits": of(string.digits, 40),  # of 32, one in 8,000 repeats itself by chance
}


def shell(script: str, **options: object) -> str:
    """What a script prints that has sourced the database's secrets.sh."""
    environment = {"PATH": os.environ["PATH"], "SCRIPTS": str(SCRIPTS)}
    command = ["sh", "-euc", f'. "$SCRIPTS/secrets.sh"; {script}', "sh", *map(str, options.pop("arguments", ()))]  # type: ignore[call-overload]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_alike_in_the_api_and_in_the_database(name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(FILES[name])
    assert read(file) == SECRET
    assert shell(f"SECRET_FILE={file}; read_secret SECRET; printenv SECRET") == f"{SECRET}\n"


@pytest.mark.parametrize("secret", [*REPEATED, *IN_ROWS])
def test_a_secret_that_repeats_itself_or_follows_a_row_can_be_guessed(secret: str) -> None:
    assert weakness(secret) == "repeats itself, or follows the alphabet or the keyboard"


@pytest.mark.parametrize(("secret", "reason"), [("", "is not set"), ("zoo_api", "is shorter than 16 characters")])
def test_a_secret_that_is_missing_or_short_can_be_guessed(secret: str, reason: str) -> None:
    assert weakness(secret) == reason


@pytest.mark.parametrize("program", RANDOM)
def test_no_random_secret_can_be_guessed(program: str) -> None:
    random = Random(program)
    made = [RANDOM[program](random) for _ in range(rounds(quick=200, full=5_000))]
    assert [secret for secret in made if weakness(secret)] == []


def test_the_database_refuses_what_the_api_refuses() -> None:
    random = Random(18)
    mixed = [
        "".join(random.choices("ab1 \\é$\"'", k=random.randrange(40))) for _ in range(rounds(quick=40, full=2_000))
    ]
    cases = ["", "zoo_api", *REPEATED, *IN_ROWS, *(make(random) for make in RANDOM.values()), *mixed]
    # One shell for all: `weakness` reads standard input.
    each = 'for secret; do printf %s "$secret" | weakness; echo ---; done'
    said = shell(each, arguments=cases).split("---\n")[:-1]
    assert dict(zip(cases, said, strict=True)) == {case: f"{weakness(case) or ''}\n".lstrip("\n") for case in cases}


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes("geheim".encode("utf-16"))
    with pytest.raises(ValueError, match=rf"{tmp_path}/secret: is not UTF-8"):
        read(tmp_path / "secret")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ValueError, match=rf"{tmp_path}/loop: Too many levels"):
        read(tmp_path / "loop")


def test_the_documents_command_makes_secrets_that_all_users_of_the_containers_can_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    commands = [
        line[2:] for line in page.splitlines() if (line.startswith("$ ") and "secrets/" in line) or "$ mkdir" in line
    ]
    script = "\n".join(command for command in commands if not command.startswith("docker"))
    subprocess.run(["sh", "-euc", f"umask 077\n{script}"], cwd=tmp_path, check=True)
    listed = re.findall(r"file: \./(secrets/\w+)\}", (ROOT / "docker-compose.secrets.yml").read_text())
    assert {f"secrets/{file.name}" for file in (tmp_path / "secrets").iterdir()} == set(listed)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in listed} == {0o644}
    listed.remove("secrets/smtp_password")  # it is empty
    assert [name for name in listed if weakness(read(tmp_path / name), 32)] == []
    url = read_url(read(tmp_path / "secrets" / "migrator_pooler_url"), {})
    assert url.password == read(tmp_path / "secrets" / "pooler_password")
