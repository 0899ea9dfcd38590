"""Run, lint, plan and rehearsal read a statement alike, however it is written: over the statements of all examples."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from alembic_online.lint.reading import ParsedStatement, read_revision
from alembic_online.rehearsal.lock_observation import LockObservation, observation_of
from alembic_online.revision_sql import NotSql
from alembic_online.runs import online
from alembic_online.sql import Lock, Work, find_effects, is_online
from tests.alembic_online.lint.examples import examples, findings, project, script_of

OF_LOCKS = {"blocking-build", "blocking-rewrite", "blocking-scan", "detach", "lock-table", "truncate"}


@cache
def statements() -> Sequence[tuple[Path, ParsedStatement]]:
    """The statements of all examples, as far as Postgres can read them."""
    found: list[tuple[Path, ParsedStatement]] = []
    for file in [*examples("unsafe"), *examples("safe")]:
        with suppress(NotSql):
            revision = read_revision(project(file.parent), script_of(file).revision)
            found += ((file, parsed) for parsed in revision if parsed.error is None)
    return found


def test_comments_spaces_and_case_change_nothing() -> None:
    for _, parsed in statements():
        sql = parsed.statement.sql
        disguised = f"/* CREATE INDEX CONCURRENTLY */ -- VACUUM\n  {sql}\n /* so be it */ ; -- now"
        assert online.is_online(sql) == is_online(sql)
        for read in (online.is_online, is_online, find_effects, observation_of):
            assert read(disguised) == read(sql)


def test_the_lint_finds_no_lock_where_the_run_gives_time() -> None:
    online = [(file, parsed) for file, parsed in statements() if is_online(parsed.statement.sql)]
    assert online
    for file, parsed in online:
        rules = {finding.rule for finding in findings(file.parent.name)[file] if finding.line == parsed.line}
        assert not rules & OF_LOCKS, parsed.statement.sql


def test_the_run_gives_time_to_what_works_long_and_blocks_nobody() -> None:
    for _, parsed in statements():
        effects = find_effects(parsed.statement.sql)
        is_long = any(effect.work in {Work.SCAN, Work.BUILD} for effect in effects)
        if is_long and max(effect.lock for effect in effects) is Lock.SHARE_UPDATE_EXCLUSIVE:
            assert is_online(parsed.statement.sql), parsed.statement.sql


def test_the_rehearsal_runs_outside_of_a_transaction_what_the_lint_says_postgres_refuses_in_one() -> None:
    for file, parsed in statements():
        found = {finding.line for finding in findings(file.parent.name)[file] if finding.rule == "needs-autocommit"}
        if parsed.line in found:
            assert observation_of(parsed.statement.sql) is LockObservation.HELD_UP, parsed.statement.sql
