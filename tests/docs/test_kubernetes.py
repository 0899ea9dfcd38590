"""The commands of docs/kubernetes.md name what the manifests have; without a cluster, they can't be run."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.deploy.kubernetes import Object, built, name_of

DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """Of both releases that the document names. All that it names of the local overlay is there, too."""
    return [item for release in ("0.3.0", "0.4.0") for item in _of_release(tmp_path_factory.mktemp("overlay"), release)]


def _of_release(folder: Path, release: str) -> tuple[Object, ...]:
    """The overlay, as the reader changes it for a release."""
    copy = ROOT / "deploy" / "kubernetes"
    for path in copy.rglob("*.yaml"):
        target = folder / path.relative_to(copy)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text().replace("[release=0.3.0]", f"[release={release}]"))
    (folder / "here").mkdir()
    return built(folder / "here", folder / "overlays" / "production")


def commands() -> Iterator[list[str]]:
    for kind, block in BLOCKS:
        if kind == "console":
            yield from (shlex.split(line.removeprefix("$ ")) for line in block.splitlines() if line.startswith("$ "))
    yield from (shlex.split(command) for command in re.findall(r"`(kubectl [^`]*-[^`]*)`", DOCUMENT))


def test_each_object_that_a_command_names_is_there(objects: list[Object]) -> None:
    there = {name_of(item).lower() for item in objects}
    named = [
        word.removesuffix(";")
        for command in commands()
        for word in (*command, *("/".join(pair) for pair in pairwise(command)))
        if re.fullmatch(r"(deployment|job|service)/zoo[\w.-]*", word)
    ]
    assert len(named) > 8
    assert [name for name in named if name not in there] == []


def test_each_path_and_each_selector_finds_something(objects: list[Object]) -> None:
    for command in commands():
        for option, value in pairwise(command):
            if option in {"-k", "-f"}:
                assert (ROOT / value).exists()
            if option == "-l" and "cnpg.io/" not in value:
                for condition in value.split(","):
                    name, _, wanted = condition.partition("!=" if "!=" in condition else "=")
                    assert wanted in {item["metadata"].get("labels", {}).get(name) for item in objects}


def test_what_gitops_tools_are_told_is_there() -> None:
    examples = [yaml.load(block, yaml.CSafeLoader)["spec"] for kind, block in BLOCKS if kind == "yaml"]
    argo_cd, flux = examples
    for path, components in (
        (argo_cd["source"]["path"], argo_cd["source"]["kustomize"]["components"]),
        (flux["path"], flux["components"]),
    ):
        assert [(ROOT / path / name / "kustomization.yaml").is_file() for name in ("", *components)] == [True, True]
