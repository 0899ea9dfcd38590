"""What has to hold for a pair."""

from typing import Any

from tests.faults.pairs.bench import Bench
from tests.faults.pairs.catalog import difference
from tests.faults.pairs.models import Models


# What the lint has against types that only the models can choose.
OF_THE_MODELS = ("prefer-identity", "prefer-timestamp-tz")


def step(bench: Bench, models: Models) -> None:
    metadata = models.metadata()
    written = bench.write(metadata)
    found = [each for each in bench.lint(metadata, written) if not (any(f" {rule}: " in each for rule in OF_THE_MODELS) or "%%" in each)]
    assert found == [], ("lint", found)
    bench.upgrade(metadata)
    notes, again = bench.rest(metadata)
    assert again == [], ("again", [vars(each) for each in again])
    said = " ".join(notes)
    # What is left for people to do is drift until they have done it.
    drift = [each for each in bench.drift(metadata) if not any(table.name in each and table.name in said for table in models.tables)]
    drift = [each for each in drift if not (each.startswith("remove") and "no longer in the models" in said)]
    assert drift == [], ("drift", drift)


def check(bench: Bench, first: Models, second: Models) -> None:
    bench.clear()
    empty = bench.dump()
    step(bench, first)
    head = bench.scripts.get_current_head()
    before = bench.dump()
    step(bench, second)
    bench.downgrade(second.metadata(), head)
    after = bench.dump()
    if first.enums != second.enums:  # their values stay
        after["types"] = before["types"]
    found = difference(before, after)
    assert found == [], ("dump", found)
    bench.downgrade(first.metadata(), "base")
    found = difference(empty, bench.dump())
    assert found == [], ("base", found)
