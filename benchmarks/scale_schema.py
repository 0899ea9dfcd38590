"""What schema changes take as tables grow: the migrator's commands, with revisions that are pending."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from alembic.script import ScriptDirectory

from benchmarks.stack import ROOT, Zoo

LINKED = ("alembic_online", "stack_settings")
MODELS = """
from sqlalchemy import BigInteger, Column, Index
from api.models.animals import Animal
Animal.__table__.append_column(Column("legs", BigInteger))
Index("ix_scale", Animal.species, Animal.name)
"""
REVISION = '''\
"""{name}"""
import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = {before!r}


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''
BACKFILLED = 100_000  # it works for as long as it rests, and so takes hours for all rows
# Name, upgrade, downgrade.
REVISIONS = [
    (
        "scale_index",
        'op.create_index_online("ix_scale", "animals", ["species", "name"])',
        'op.drop_index_online("ix_scale", "animals")',
    ),
    (
        "scale_column",
        'op.add_column("animals", sa.Column("legs", sa.BigInteger()))',
        'op.drop_column("animals", "legs")',
    ),
    ("scale_backfill", f'op.backfill("animals", {{"legs": "4"}}, where="id <= {BACKFILLED}")', "pass"),
]
SAMPLE = "1000"
DRIFT = "drift: `alembic check`"
STEPS = {
    DRIFT: ("alembic", "check"),
    "plan, of three revisions": ("alembic_online", "plan"),
    "rehearse, with 1,000 rows of each table": ("alembic_online", "rehearse", "--sample", SAMPLE),
    "an index of two columns, built online": ("alembic", "upgrade", "scale_index"),
    f"a new column, and a backfill of up to {BACKFILLED:,} rows": ("alembic", "upgrade", "scale_backfill"),
}


@contextmanager
def _checkout(running: Zoo) -> Iterator[Path]:
    """A project like this one, with more revisions, and in its models what they make."""
    with TemporaryDirectory(dir=running.folder) as made:
        folder = Path(made)
        for package in LINKED:
            (folder / package).symlink_to(ROOT / package)
        for package in ("api", "migrator"):
            shutil.copytree(ROOT / package, folder / package)
        with (folder / "api" / "models" / "__init__.py").open("a") as models:
            models.write(MODELS)
        shutil.copy(ROOT / "pyproject.toml", folder)
        before = ScriptDirectory(str(ROOT / "migrator")).get_current_head()
        for name, up, down in REVISIONS:
            path = folder / "migrator" / "versions" / f"2099_01_01_0000-{name}.py"
            path.write_text(REVISION.format(name=name, before=before, up=up, down=down))
            before = name
        yield folder


def measure(running: Zoo, steps: Mapping[str, Sequence[str]] = STEPS) -> dict[str, float]:
    """Seconds of CPU that each of the steps takes; afterwards the schema is as before."""
    with _checkout(running) as checkout:
        took = {step: _cost(running, command, ROOT if step == DRIFT else checkout) for step, command in steps.items()}
        if any("upgrade" in command for command in steps.values()):
            _cost(running, ("alembic", "downgrade", f"-{len(REVISIONS)}"), checkout)
    return took


def _cost(running: Zoo, command: Sequence[str], folder: Path) -> float:
    """Seconds of CPU of `python -m COMMAND` and of Postgres."""
    before = _cpu_seconds(running)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=running.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr + done.stdout)
    return _cpu_seconds(running) - before


def _cpu_seconds(running: Zoo) -> float:
    """What Postgres has used so far, and the commands that have ended."""
    postgres = psutil.Process(int((running.folder / "data" / "postmaster.pid").read_text().split()[0]))
    ended, commands = postgres.cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    used = ended.children_user + ended.children_system + commands.ru_utime + commands.ru_stime
    for process in postgres.children():
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return float(used)
