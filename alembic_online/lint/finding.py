"""The form of the lint's findings."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alembic.script import Script


@dataclass(frozen=True)
class Problem:
    """What is wrong in a line: what it does, and the safe way; two sentences without their full stops."""

    rule: str
    line: int
    what: str
    safe_way: str


@dataclass(frozen=True)
class Finding:
    """A problem in a revision. `path` is the path of its file, relative to the current folder if it is inside."""

    revision: str
    path: str
    line: int
    rule: str
    what: str
    safe_way: str

    @classmethod
    def of(cls, script: Script, problem: Problem) -> "Finding":
        """The problem, as a finding in this revision."""
        file, here = Path(script.path), Path.cwd()
        path = str(file.relative_to(here) if file.is_relative_to(here) else file)
        return cls(script.revision, path, problem.line, problem.rule, problem.what, problem.safe_way)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.what}. {self.safe_way}."

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
