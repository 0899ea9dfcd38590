"""From any models to any others: what autogenerate writes is what the lint accepts, runs, and can be taken back.

Each history is three releases of made-up models, and so three pairs, the first from an empty database. Each pair: the
revisions are written, linted and applied, to tables that have a row; then nothing is left to write, and no drift but
what a comment describes; and taken back, they leave the schema as it was.
"""

import warnings
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.faults.model_pairs.bench import Bench
from tests.faults.model_pairs.catalog import Dump, difference
from tests.faults.model_pairs.changes import histories
from tests.faults.model_pairs.fixtures import bench, own_bench, own_database
from tests.faults.model_pairs.models import Models
from tests.faults.model_pairs.rows import fill
from tests.rounds import rounds

__all__ = ["bench", "own_bench", "own_database"]  # fixtures

SEEDS, HISTORIES = rounds(quick=(4, 4), full=(80, 10))


@pytest.mark.parametrize("number", range(SEEDS))
def test_what_is_written_for_any_change_runs_and_can_be_taken_back(bench: Bench, number: int) -> None:
    made_up(number, HISTORIES, lambda history: check(bench, history, bench.dump))


@pytest.mark.parametrize("number", range(rounds(quick=2, full=20)))
def test_what_is_taken_back_is_as_it_was_to_pg_dump_too(bench: Bench, number: int) -> None:
    made_up(number, 1, lambda history: check(bench, history, lambda: {**bench.dump(), "types": bench.pg_dump()}))


def made_up(number: int, count: int, do: Callable[[list[Models]], None]) -> None:
    """Make up so many histories, the same ones for each number, and do something with each."""

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],  # a smaller example takes minutes to find: add Phase.shrink for that
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(histories())
    def run(history: list[Models]) -> None:
        do(history)

    with warnings.catch_warnings():
        # SQLAlchemy's, of tables that refer to each other.
        warnings.filterwarnings("ignore", "Cannot correctly sort tables")
        run()


def check(bench: Bench, history: list[Models], dump: Callable[[], Dump]) -> None:
    """Go up through the releases, and down again."""
    bench.clear()
    steps: list[tuple[Models, str, Dump]] = []
    for models in history:
        steps.append((models, bench.scripts.get_current_head() or "base", dump()))
        go_to(bench, models)
        bench.do(fill, models, steps[-2][0] if len(steps) > 1 else None)
    has_more_values = False
    while steps:
        models, below, there = steps.pop()
        bench.downgrade(models.metadata(), below)
        now = dump()
        has_more_values |= bool(steps) and steps[-1][0].enums != models.enums
        if steps and has_more_values:
            now["types"] = there["types"]  # a value that was added stays
        found = difference(there, now)
        assert found == [], found


def go_to(bench: Bench, models: Models) -> None:
    """Write the revisions to these models, and apply them."""
    metadata = models.metadata()
    written = bench.write(metadata)
    findings = bench.lint(metadata, written)
    assert findings == [], "\n".join(findings)
    bench.upgrade(metadata)
    comments, operations = bench.rest(metadata)
    left = [vars(operation) for operation in operations]
    assert left == [], left
    drift = undescribed(bench.drift(models.metadata()), " ".join(comments), models)
    assert drift == [], drift


def undescribed(drift: list[str], comments: str, models: Models) -> list[str]:
    """The drift without what people are told to do, which is drift until they have done it."""
    known = [
        *(table.name for table in models.tables if table.name in comments),
        *(["not in the models"] if "no longer in the models" in comments else []),
        *(["enum "] if "the models no longer have" in comments or "keeps the order" in comments else []),
    ]
    return [change for change in drift if not any(name in change for name in known)]
