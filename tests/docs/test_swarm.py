"""The commands of docs/swarm.md make all that the files of deploy/swarm need."""

import re

import yaml

from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "swarm.md").read_text()
COMMANDS = re.findall(r"^\$ (.*)", DOCUMENT, re.MULTILINE)
FILES = [yaml.safe_load(path.read_text()) for path in (ROOT / "deploy" / "swarm").glob("*.yml")]


def test_the_images_are_built_and_pushed() -> None:
    images = [service["image"] for file in FILES for service in file["services"].values() if "image" in service]
    names = {re.findall(r"\}-(\w+):", image)[0] for image in images}
    for verb in ("build", "push"):
        commands = [command.split() for command in COMMANDS if re.match(rf"docker compose .*\b{verb}\b", command)]
        assert {word for words in commands for word in words[words.index(verb) + 1 :]} == names


def test_the_secrets_are_created() -> None:
    secrets = {name for file in FILES for name in file.get("secrets", {})}
    created = "\n".join(command for command in COMMANDS if "docker secret create" in command)
    assert [name for name in secrets if name not in created and f"`${{STACK}}_{name}`" not in DOCUMENT] == []


def test_every_file_is_named() -> None:
    assert all(path.name in DOCUMENT for path in (ROOT / "deploy" / "swarm").glob("*.yml"))
