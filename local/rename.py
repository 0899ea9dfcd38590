"""`make rename NAME=library`: gives the project another name, everywhere that it is a name, and changes nothing else.

A name is what machines, operators and clients see: of roles, databases, images, buckets, the cookie, Kubernetes's
objects, hosts and addresses of examples, the API's title. In a sentence, a zoo is the subject of the example, which
goes on having animals; so is a variable, or a test, that is called so. Those stay: in a sentence, a new name such as
`library` could not be told from the word, and a second renaming would change what the first one did not.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import typer

ROOT = Path(__file__).parent.parent
# Who made it; the names of other packages; and what tells of renaming.
UNCHANGED = {"LICENSE", "package-lock.json", "rename.py", "rename.md", "test_rename.py"}
LONGEST = 20  # so that lines of the code do not get too long
# As the names of databases, roles or programs they mean something else already, to Postgres or to this project.
RESERVED = """
    admin alembic all analyse analyze and any api app array as asc asymmetric authorization binary both case cast
    check collate collation column concurrently constraint create cross current database db default deferrable
    deploy desc distinct do docker else end except false fetch for foreign freeze from full grant group having host
    ilike in index initially inner intersect into is isnull join key lateral leading left like limit local localhost
    localtime localtimestamp lock mail migrator name natural new not notnull null offset old on only or order outer
    overlaps placing postgres primary proxy public python references returning right root seed select session
    setting similar some stack storage symmetric table tablesample template0 template1 test tests then to trailing
    true type union unique user using value values variadic verbose view watch when where window with worker
"""


# What precedes or follows the name where it is one, by how it is written there.
FORMS = {
    "dashed": [
        r"(?<![A-Za-z0-9_])(?<!--)NAME(?=-[A-Za-z0-9{$.])",  # zoo-api
        r"(?:(?<![A-Za-z0-9_-])|(?<=%40))NAME(?=\.(?:example|test|local|localhost)\b)",  # ngozi@zoo.example
        r"(?:(?<![A-Za-z0-9_.-])|(?<=:-))NAME(?=@|%40)",  # zoo@localhost
        r"(?<=//)NAME(?=[/:\"'])|(?<=Host: )NAME(?=\\r)",  # http://zoo/health
        r"(?<=[a-z)]/)NAME(?![A-Za-z0-9_-]|\.py)",  # /opt/zoo/
        r"(?<=[\s\"'`(=]/)NAME(?![A-Za-z0-9_.-])",  # a path prefix, /zoo
        r"(?:(?<=[:=])|(?<=:-))(?<! NAM[E]=)NAME(?![A-Za-z0-9_@.'-])",  # user=zoo, ${PROJECT:-zoo}
        r"(?<=\[)NAME(?=\]\\n)",  # of a service file
        r"(?<=name: )NAME(?=[,}\n])|(?<=namespace: )NAME(?=[}\n])",  # in YAML
        r"(?<=[- ]n )NAME(?![A-Za-z0-9_])",  # kubectl -n zoo
        r"(?<=-o )NAME(?= )|(?<=-g )NAME(?= )|(?<=nologin )NAME(?=\n)",  # the user of the images
        r"(?<=^# )NAME(?=\n)|(?<=^name = \")NAME(?=\"\n)",  # the README's heading, pyproject.toml
        r"(?:(?<=   )|(?<=via ))NAME(?= \(pyproject)",  # requirements/*.txt
    ],
    "snake": [
        r"(?<![A-Za-z0-9_])(?<!--)NAME(?=_[A-Za-z0-9{])|(?<=_)NAME(?=_(?:api|migrator))",  # zoo_api
        r"(?<=[\"'`])NAME(?=\\?[\"'`])",  # "zoo", a database; also in a string of JSON
        r"(?:(?<=[0-9}:\]@/]/)|(?<=5432x/)|(?<=port/)|(?<=@db/)|(?<=//db/))NAME(?![A-Za-z0-9_/-])",  # @db:5432/zoo
        r"(?:(?<=DATABASE )|(?<=DATABASE IF EXISTS )|(?<=the database )|(?<=database: ))NAME(?![\w.-])",
        r"(?<=POSTGRES_DB: )NAME(?=\n)",
        r"(?<=POSTGRES_DB, value: )NAME(?=})|(?<=search_path%3D)NAME",
        r"(?<=[\"'])NAME(?=\.[a-z_]+[\"']|: api@)|(?<=SET )NAME(?=\.[a-z])",  # "zoo.peer", a setting of Postgres
    ],
    "camel": [r"(?<![A-Za-z0-9_])NAME(?=[A-Z][a-z]|_Migrator)"],  # ZooError
    "title": [r"(?<=[\"'])NAME(?=[\"':])|(?<=[\"'])NAME(?= - Swagger)"],  # "Zoo", the API's title
    "upper": [
        r"(?<![A-Za-z0-9_])(?<!--)NAME(?=_[A-Z])|(?<=_)NAME(?=_MIGRATOR)",  # ZOO_TEST_SCHEMA
        r"(?<=[/\"])NAME(?=\.test|/|\")",
    ],
}


# Which part of zoo-migrator-RELEASE the release is, counted from 0, where kustomize puts it in.
PART = re.compile(r'(?<=delimiter: "-", index: )\d+')


def written(name: str) -> dict[str, str]:
    """The name in each of these ways."""
    words = name.split("-")
    return {
        "dashed": name,
        "snake": "_".join(words),
        "camel": "".join(word.capitalize() for word in words),
        "title": " ".join(word.capitalize() for word in words),
        "upper": "_".join(words).upper(),
    }


@cache
def patterns(name: str) -> dict[str, re.Pattern[str]]:
    """What finds the name where it is one, for each way of writing it."""
    ways = written(name)
    return {
        way: re.compile("|".join(form.replace("NAME", re.escape(ways[way])) for form in forms), re.MULTILINE)
        for way, forms in FORMS.items()
    }


def places(text: str, word: str, pattern: re.Pattern[str]) -> list[int]:
    """Where in a text the word is a name; the pattern alone would be tried at each letter, which takes seconds."""
    return [found.start() for found in re.finditer(re.escape(word), text) if pattern.match(text, found.start())]


def renamed(text: str, old: str, new: str) -> str:
    """The text with the new name in place of the old one."""
    before, after = written(old), written(new)
    for way, pattern in patterns(old).items():
        for place in reversed(places(text, before[way], pattern)):
            text = text[:place] + after[way] + text[place + len(before[way]) :]
    return PART.sub(lambda index: str(int(index[0]) + new.count("-") - old.count("-")), text)


def why_not(name: str) -> str | None:
    """Why the project can't have this name; None if it can."""
    if not name:
        return "say which: make rename NAME=library"
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        proposed = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789") or "library"
        return f"{name!r}: write lower-case letters, digits, and dashes between them, such as {proposed}"
    if len(name) > LONGEST:
        return f"{name!r} has {len(name)} characters: {LONGEST} at most"
    if name in RESERVED.split() or name.startswith("pg-"):
        return f"{name!r} means something else already: choose another name"
    return None


def files() -> Iterator[tuple[Path, str]]:
    """The checkout's text files, with what is in them."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        text=True,
    )
    for path in (ROOT / name for name in listed.split("\0") if name):
        if path.name in UNCHANGED or path.is_symlink() or not path.is_file():
            continue
        try:
            yield path, path.read_bytes().decode()
        except UnicodeDecodeError:
            continue


def main(name: str = typer.Argument("")) -> None:
    """Give the project another name."""
    if reason := why_not(name):
        _fail(reason)
    old = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    if name == old:
        _fail(f"its name is {name} already")
    found = list(files())
    ways = [(word, patterns(name)[way]) for way, word in written(name).items() if word != written(old)[way]]
    for path, text in found:
        if taken := [place for word, pattern in ways for place in places(text, word, pattern)]:
            line = text.count("\n", 0, taken[0]) + 1
            _fail(f"{name!r} is the name of something else, in {path.relative_to(ROOT)}:{line}: choose another name")
    changed = {path: new for path, text in found if (new := renamed(text, old, name)) != text}
    for path, text in changed.items():
        path.write_bytes(text.encode())
    python = [path for path in changed if path.suffix == ".py"]
    # Imports are in the order of their names, and lines have lengths.
    order = ["check", "--quiet", "--fix", "--exit-zero", "--fixable", "I,RUF100"]
    for tidy in (order, ["format", "--quiet"], ["check", "--quiet", "--add-noqa", "--select", "E501"]):
        subprocess.run([sys.executable, "-m", "ruff", *tidy, *python], cwd=ROOT, check=True, capture_output=True)
    typer.echo(f"{old} is {name} now, in {len(changed)} files. Read the changes: git diff --stat")
    typer.echo(f"A database or a Compose stack that there is already keeps the name {old}: docs/rename.md")


def _fail(reason: str) -> None:
    typer.secho(f"error: {reason}", err=True, fg="red")
    raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(main)
