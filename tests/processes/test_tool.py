"""alembic-online as others use it: installed from its wheel, in an ordinary project that it does not know.

The project, in tests/alembic_online/shop, has an alembic.ini, a synchronous env.py, SERIAL keys, no naming convention,
and three revisions that do what is common but unsafe.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.postgres import Server, binaries
from tests.conftest import ROOT, superuser
from tests.python import HANGS, Python
from tests.rounds import rounds

SHOP = ROOT / "tests" / "alembic_online" / "shop"
ENV = """\
from alembic_online import run

from shop.models import Base

run(target_metadata=Base.metadata, application="shop", release="1.0.0")
"""
NEW_COLUMN = '    paid = Column(Integer, nullable=False, server_default="0", index=True)\n'
UNSAFE = {
    ("0001", "small-key"), ("0001", "prefer-timestamp-tz"),
    ("0002", "foreign-key-in-create-table"), ("0002", "small-key"),
    ("0003", "app-import"), ("0003", "unbatched-change"), ("0003", "blocking-scan"),
}  # fmt: skip


@pytest.fixture(scope="module")
def programs() -> Path:
    """The programs of an environment that has the wheel, and the project's former driver."""
    folder = Path(os.environ["TMPDIR"]) / "tool"  # shared by all workers: the first one creates it
    environment = folder / "venv"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not environment.exists():
            install(folder, environment)
    return environment / "bin"


def install(folder: Path, environment: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "stack_settings", folder / "stack_settings", ignore=ignored)
    source = shutil.copytree(ROOT / "alembic_online", folder / "alembic_online", ignore=ignored)
    uv = ROOT / ".venv" / "bin" / "uv"
    subprocess.run([uv, "--quiet", "build", "--wheel", "--out-dir", folder, source], check=True)
    subprocess.run([uv, "--quiet", "venv", "--python", sys.executable, environment], check=True)
    (wheel,) = folder.glob("*.whl")
    python = environment / "bin" / "python"
    add: list[str | Path] = [uv, "--quiet", "pip", "install", "--python", python]
    subprocess.run([*add, wheel, "psycopg[binary]"], check=True)


@dataclass
class Project:
    """A copy of the project, on a database."""

    folder: Path
    programs: Path

    def start(self, script: str, *arguments: str) -> Python:
        pipe = subprocess.PIPE
        path = f"{self.programs}:{binaries()}:{os.environ['PATH']}"
        env = {"PATH": path, "HOME": os.environ["HOME"], "LOG_FORMAT": "text"}
        command, program = (str(self.programs / script), *arguments), self.programs / "python"
        return Python(*command, program=program, cwd=self.folder, env=env, stdout=pipe, stderr=pipe, text=True)

    def run(self, command: str, code: int = 0) -> str:
        """Run a command, and return what it prints."""
        process = self.start(*command.split())
        out, errors = process.communicate(timeout=HANGS)
        printed: str = out + errors
        assert process.returncode == code, printed
        return printed

    def configure(self, table: str) -> None:
        """Set something in the tool's section of the configuration."""
        with (self.folder / "alembic.ini").open("a") as file:
            file.write(f"\n[alembic_online]\n{table}\n")

    def take_up(self) -> None:
        """Replace env.py by one that uses the tool."""
        (self.folder / "migrations" / "env.py").write_text(ENV)

    def change_models(self) -> None:
        with (self.folder / "shop" / "models.py").open("a") as file:
            file.write(NEW_COLUMN)


@pytest.fixture
def shop(server: Server, empty_database: str, tmp_path: Path, programs: Path) -> Project:
    folder = shutil.copytree(SHOP, tmp_path / "shop")
    configuration = folder / "alembic.ini"
    url = server.url("zoo_migrator", empty_database).replace("postgresql://", "postgresql+psycopg://")
    text = configuration.read_text().replace("postgresql+psycopg://shop@db/shop", url.replace("%", "%%"))
    configuration.write_text(text)
    return Project(folder, programs)


def test_the_tools_readme_shows_this_environment() -> None:
    assert ENV in (ROOT / "alembic_online" / "README.md").read_text()


def test_an_env_py_that_can_not_be_imported_is_a_line_with_its_name(shop: Project) -> None:
    shop.take_up()
    (shop.folder / "shop" / "models.py").write_text("import nowhere_to_be_found\n")
    (said,) = shop.run("alembic-online lint", code=3).splitlines()
    assert "migrations/env.py can't be loaded: ModuleNotFoundError: No module named 'nowhere_to_be_found'" in said


def rules(printed: str) -> set[tuple[str, str]]:
    """The revision and the rule of each finding that the lint printed."""
    lines = [line for line in printed.splitlines() if line.startswith("migrations/versions/")]
    return {(Path(line.split(":")[0]).name[:4], line.split(": ")[1]) for line in lines}


def test_a_database_that_alembic_has_migrated_is_taken_up_as_it_is(shop: Project) -> None:
    shop.run("alembic upgrade head")
    shop.take_up()
    assert rules(shop.run("alembic-online lint", code=1)) == UNSAFE
    assert "nothing to do" in shop.run("alembic upgrade head")
    shop.configure("lint_after = 0003")
    status = shop.run("alembic-online status")
    assert ["head", "0003"] in [line.split() for line in status.splitlines()]
    assert ["drift", "none"] in [line.split() for line in status.splitlines()]

    shop.change_models()
    shop.run("alembic revision --autogenerate -m paid")
    assert "2 revisions, nothing found" in shop.run("alembic-online lint")
    assert "2 revisions are pending: safe" in shop.run("alembic-online plan")
    assert "up again" in shop.run("alembic-online rehearse --sample 10")
    shop.run("alembic upgrade head")
    assert "No new upgrade operations detected" in shop.run("alembic check")


ORDERS = """

class Order(Base):
    __tablename__ = "orders"
    __table_args__ = {"schema": "sales"}
    id = Column(BigInteger, Identity(always=True), primary_key=True)
    total = Column(Integer)
"""
MISTAKES = (
    "ALTER TABLE sales.orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID",
    "CREATE TABLE elsewhere.notes ()",
)


async def test_tables_in_another_schema_are_looked_after_and_those_in_a_third_are_nobodys_business(
    shop: Project, server: Server, empty_database: str
) -> None:
    admin = await superuser(server, empty_database)
    for schema in ("sales", "elsewhere"):
        await admin.execute(f"CREATE SCHEMA {schema} AUTHORIZATION zoo_migrator")
    models = shop.folder / "shop" / "models.py"
    models.write_text(models.read_text().replace("import Column", "import BigInteger, Identity, Column") + ORDERS)
    shop.take_up()
    shop.configure("lint_after = 0003")
    shop.run("alembic upgrade 0003")
    shop.run("alembic revision --autogenerate -m orders")
    shop.run("alembic upgrade head")
    for statement in MISTAKES:
        await admin.execute(statement)
    await admin.close()
    said = shop.run("alembic-online -c alembic.ini status")
    status = [line.split() for line in said.splitlines()]
    assert ["constraints", "not", "validated", "positive", "on", "sales.orders"] in status
    assert "not in the models: check constraint positive" in said
    assert "elsewhere" not in said


def test_on_an_empty_database_of_many_at_once_one_applies_all_of_it(shop: Project) -> None:
    shop.take_up()
    shop.configure("lint_after = 0003")
    runs = [shop.start("alembic", "upgrade", "head") for _ in range(rounds(quick=3, full=8))]
    logs = [run.communicate(timeout=HANGS)[1] for run in runs]
    assert {run.returncode for run in runs} == {0}, logs
    assert sum(log.count("applied") for log in logs) == 3
    assert ["drift", "none"] in [line.split() for line in shop.run("alembic-online status").splitlines()]


def test_without_a_baseline_an_unsafe_history_is_not_begun_and_the_way_on_is_said(shop: Project) -> None:
    shop.take_up()
    refused = shop.run("alembic upgrade head", code=3)
    assert "Nothing was begun" in refused
    assert "lint_after" in refused
    shop.configure("lint_after = 0099")
    assert "lint_after names a revision that does not exist" in shop.run("alembic upgrade head", code=3)


async def test_an_environment_that_is_not_the_tools_is_said_to_be_so_and_nothing_is_made(
    shop: Project, server: Server, empty_database: str
) -> None:
    said = shop.run("alembic-online status", code=3)
    assert "migrations/env.py" in said
    assert "alembic_online.run()" in said
    admin = await superuser(server, empty_database)
    assert await admin.fetchval("SELECT to_regclass('alembic_version')") is None
    await admin.close()


def test_where_there_is_no_configuration_that_is_said_in_a_line(shop: Project) -> None:
    (shop.folder / "alembic.ini").unlink()
    assert "No 'script_location' key found in configuration" in shop.run("alembic-online status", code=3)
