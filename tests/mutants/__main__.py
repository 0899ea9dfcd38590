"""`make mutants`: says which small faults, put into the code one at a time, the tests do not find. See docs/tests.md.

Usage: python -m tests.mutants [PATH...], for the modules at or below these paths only.
"""

import multiprocessing
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

from tests.mutants.making import Mutant, make_mutants
from tests.mutants.reaching import Reached, block_of, reach
from tests.mutants.running import ROOT, Job, copy_checkout, import_libraries, run_job, start_worker
from tests.rounds import rounds

# What is mutated, and the tests that speak for it.
RUNS = [
    "tests/alembic_online/test_phases.py", "tests/alembic_online/test_in_phase.py",
    "tests/alembic_online/test_online.py", "tests/alembic_online/test_debris.py",
    "tests/alembic_online/test_settings.py", "tests/alembic_online/test_connection.py",
    "tests/alembic_online/test_lock.py", "tests/alembic_online/test_blockers.py",
    "tests/alembic_online/test_steps.py", "tests/alembic_online/test_floor.py",
    "tests/alembic_online/test_history.py", "tests/alembic_online/test_pooler.py",
    "tests/alembic_online/test_status.py", "tests/alembic_online/test_run_drift.py",
    "tests/alembic_online/test_environment.py", "tests/alembic_online/test_lint_gate.py",
    "tests/faults/test_lock_lost.py", "tests/processes/test_migrator.py",
    "tests/processes/test_phases.py", "tests/processes/test_history.py", "tests/processes/test_pooler.py",
    "tests/processes/test_workers.py", "tests/processes/test_drift.py", "tests/processes/test_floor.py",
    "tests/processes/test_lint.py", "tests/processes/test_tool.py", "tests/faults/test_migrator.py",
    "tests/faults/test_retries.py", "tests/faults/test_at_once.py",
]  # fmt: skip
TESTS = {
    "api/crud/photos": ["tests/api", "tests/processes/test_photo_storage.py", "tests/faults/test_photos.py"],
    "api/crud/accounts": ["tests/api", "tests/processes/test_create_user.py"],
    "api/crud/imports": ["tests/api", "tests/processes/test_imports.py"],
    "api/crud": ["tests/api"],
    "api/http/authentication.py": ["tests/api"],
    "api/http/clients.py": ["tests/api"],
    "api/dependencies": ["tests/api"],
    "api/turns.py": ["tests/api"],
    "alembic_online/operations/rows.py": [
        "tests/alembic_online/test_operations.py", "tests/faults/test_backfill_batches.py",
        "tests/faults/test_backfill_keys.py",
    ],
    "alembic_online/operations": [
        "tests/alembic_online/test_operations.py", "tests/alembic_online/test_online.py",
        "tests/alembic_online/test_internals.py", "tests/alembic_online/test_undoing.py",
    ],
    "alembic_online/backfill": [
        "tests/alembic_online/test_backfill_reports.py", "tests/alembic_online/test_backfill_pace.py",
        "tests/faults/test_backfill_batches.py", "tests/faults/test_backfill_keys.py", "tests/faults/test_backfill.py",
        "tests/processes/test_backfill.py",
    ],
    "alembic_online/runs/command.py": [
        *RUNS, "tests/alembic_online/test_literal.py", "tests/processes/test_rehearse.py",
        "tests/migrator/test_migrations.py",
    ],
    "alembic_online/runs": RUNS,
}  # fmt: skip
SAMPLE = rounds(quick=30, full=None)
WORKERS = os.cpu_count() or 1
GOAL = 0.95


def modules(only: list[str]) -> list[str]:
    """The paths of the mutated modules."""
    found = {path: None for top in TESTS for path in [ROOT / top, *sorted((ROOT / top).rglob("*.py"))] if path.suffix}
    known = [path.relative_to(ROOT) for path in found]
    return [str(path) for path in known if (not only or any(path.is_relative_to(top) for top in only))]


def tests_of(path: str) -> list[str]:
    """The tests that speak for the module at this path."""
    return next(tests for top, tests in TESTS.items() if Path(path).is_relative_to(top))


def read_equivalents(text: str) -> dict[str, str]:
    """By mutant, why it does the same as the code: lines that begin with # say so for those up to the next."""
    reasons: dict[str, str] = {}
    reason: list[str] = []
    goes_on = False
    for line in text.splitlines():
        if line.startswith("#"):
            reason = [*reason, line.strip("# ")] if goes_on else [line.strip("# ")]
        elif line:
            reasons[line] = " ".join(reason)
        goes_on = line.startswith("#")
    return reasons


def sample(mutants: list[Mutant]) -> list[Mutant]:
    """All of them, or as many as a quick run takes: others for each commit, always the same for one."""
    if SAMPLE is None or len(mutants) <= SAMPLE:
        return mutants
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    return random.Random(commit).sample(mutants, SAMPLE)


def job(mutant: Mutant, reached: Reached) -> Job:
    """The mutant with the tests that may find it: those that run the block it is in.

    Where that runs on behalf of other tests, too, or is not in a function, those that run any of the module, or whose
    file names it; where it runs when the module is imported, all.
    """
    block = block_of((ROOT / mutant.path).read_text(), mutant.path, mutant.line)
    tops = tests_of(mutant.path)
    speaking = {
        test: seconds
        for test, seconds in reached.seconds.items()
        if test not in reached.failed and any(Path(_file(test)).is_relative_to(top) for top in tops)
    }
    direct = reached.tests[block] if block else set()
    near = {test for (path, _), tests in reached.tests.items() if path == mutant.path for test in tests}
    if block is None or block in reached.shared:
        near |= {test for test in speaking if _names(_file(test), Path(mutant.path))}
        asked = speaking.keys() if block in reached.imported else near
    else:
        asked = direct
    chosen = [test for test in speaking if test in asked]
    together: dict[str, float] = defaultdict(float)
    for test in chosen:
        together[_file(test)] += speaking[test]

    def order(test: str) -> tuple[bool, bool, float, str, float]:
        return test not in direct, test not in near, together[_file(test)], _file(test), speaking[test]

    swaps = block is not None and block not in reached.imported
    return Job(mutant, {test: speaking[test] for test in sorted(chosen, key=order)}, tuple(tops), swaps)


@cache
def _names(file: str, module: Path) -> bool:
    name = module.parent.name if module.stem == "__init__" else module.stem
    return bool(re.search(rf"\b{name}\b", (ROOT / file).read_text()))


def _file(test: str) -> str:
    return test.partition("::")[0]


def main(only: list[str]) -> int:
    os.environ.pop("ROUNDS", None)  # it says how many mutants; each test has its quick form
    equivalents = read_equivalents((ROOT / "tests/mutants/equivalents.txt").read_text())
    made = [mutant for path in modules(only) for mutant in make_mutants(ROOT, path)]
    mutants = [mutant for mutant in sample(made) if str(mutant) not in equivalents]
    paths = list(dict.fromkeys(mutant.path for mutant in mutants))
    files = list(dict.fromkeys(test for path in paths for test in tests_of(path)))
    print(f"{len(made)} mutants in {len(modules(only))} modules, of which {len(mutants)} are tried", flush=True)
    with tempfile.TemporaryDirectory(prefix="zoo-mutants-") as folder:
        (Path(folder) / "reach").mkdir()
        reached = reach(copy_checkout(Path(folder) / "reach"), paths, files, WORKERS)
        if reached.failed:
            print("not used, because they fail on the code:", *sorted(reached.failed), sep="\n  ", flush=True)
        # Those of the same tests together, which are collected once for them.
        jobs = sorted((job(mutant, reached) for mutant in mutants), key=lambda job: job.among)
        import_libraries()
        fork = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(WORKERS, fork, start_worker, (folder,)) as workers:
            if failing := workers.submit(run_job, unchanged(jobs)).result():
                sys.exit(f"on the code as it is, {failing} fails in a worker, but passed before")
            found: Counter[str] = Counter()
            for done, failing in zip(jobs, workers.map(run_job, jobs), strict=True):
                found[done.mutant.path] += failing is not None
                said = f"found by {failing}" if failing else f"SURVIVES {len(done.tests)} tests"
                print(f"{done.mutant}\n    {said}", flush=True)
    return report(mutants, found)


def unchanged(jobs: Sequence[Job]) -> Job:
    """The code as it is, with one test: the quickest of all."""
    path = jobs[0].mutant.path
    tests = sorted((seconds, test) for job in jobs for test, seconds in job.tests.items())
    as_it_is = Mutant(path, "as it is", (ROOT / path).read_text(), 1)
    return Job(as_it_is, {test: seconds for seconds, test in tests[:1]}, jobs[0].among, swaps=False)


def report(mutants: list[Mutant], found: Mapping[str, int]) -> int:
    """Print the figures by module; returns the exit code."""
    for path, number in Counter(mutant.path for mutant in mutants).items():
        print(f"{path}: {found[path]} of {number}")
    share = sum(found.values()) / max(1, len(mutants))
    print(f"found: {sum(found.values())} of {len(mutants)}, {share:.1%}")
    return 0 if share >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
