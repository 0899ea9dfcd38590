"""squawk, a linter of others (https://squawkhq.com): a second opinion on each revision's SQL.

It is asked about each revision by itself, for in the SQL of the whole history every table would look new. What it finds
is left out where a rule of our own says the same of the statement, and knows more.
"""

import json
import re
import shutil
import subprocess
import sysconfig
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postgast import pg_query_pb2 as pg

from migrator.errors import ConfigurationError
from migrator.lint.finding import Problem
from migrator.lint.reading import Parsed

POSTGRES = "18.0"
LOCKS = {"blocking-build", "blocking-rewrite", "blocking-scan", "required-column"}


@dataclass(frozen=True)
class Kept:
    """A rule of squawk's: our safe way, and the rules of our own that say the same."""

    safe_way: str
    ours: frozenset[str] = frozenset()
    of_new_tables: bool = False
    """Whether it is about tables that are made in the revision, too."""
    is_for_contract: bool = False
    """Whether it is what a contract revision is for."""


def _lock(safe_way: str) -> Kept:
    return Kept(safe_way, frozenset(LOCKS))


def _drop() -> Kept:
    return Kept("Drop it in a contract revision", frozenset({"drop-in-expand"}), is_for_contract=True)


def _of_server() -> Kept:
    return Kept("Set it where the server is configured: a revision is about one schema")


KEPT = {
    "require-concurrent-index-creation": _lock("Use op.create_index_online(...), alone in its revision"),
    "require-concurrent-index-deletion": Kept("Use op.drop_index_online(...), alone in its revision"),
    "require-concurrent-reindex": _lock("Use REINDEX ... CONCURRENTLY in op.get_context().autocommit_block()"),
    "require-concurrent-partition-detach": Kept("Use DETACH PARTITION ... CONCURRENTLY", frozenset({"detach"})),
    "adding-foreign-key-constraint": _lock(
        "Add the column, then use op.add_foreign_key_online(...) in a revision after it"
    ),
    "adding-not-nullable-field": _lock("Use op.set_not_null_online(...), alone in its revision"),
    "adding-required-field": _lock("Add it with a constant server_default, or nullable"),
    "adding-serial-primary-key-field": _lock("Build the index before, then ADD PRIMARY KEY USING INDEX"),
    "disallowed-unique-constraint": _lock("Use op.add_unique_online(...), alone in its revision"),
    "ban-concurrent-index-creation-in-transaction": Kept(
        "Use op.create_index_online(...), alone in its revision", frozenset({"needs-autocommit"})
    ),
    "ban-alter-domain-with-add-constraint": _lock("Add the constraint NOT VALID, and VALIDATE it in the next revision"),
    "ban-create-domain-with-constraint": Kept(
        "Use a plain type, and op.add_check_online(...): a domain's constraint can be changed only under a lock on all "
        "tables that use it",
        of_new_tables=True,
    ),
    "ban-truncate-cascade": Kept("Drop the foreign keys first", frozenset({"truncate"})),
    "prefer-robust-stmts": Kept(
        "Use the online operation; or write IF EXISTS, or IF NOT EXISTS, so that a run that was killed can be repeated"
    ),
    "prefer-identity": Kept("Use sa.Identity(always=True)", of_new_tables=True),
    "prefer-timestamp-tz": Kept(
        "Use sa.DateTime(timezone=True), for to change it later rewrites the table", of_new_tables=True
    ),
    "ban-char-field": Kept("Use sa.Text(), and a check where the length matters", of_new_tables=True),
    "identifier-too-long": Kept("Give it a name of at most 63 bytes", of_new_tables=True),
    "ban-duplicate-column-assignments": Kept("Name each column once", of_new_tables=True),
    "ban-alter-identity": Kept("Let the api write what it writes: set GENERATED ALWAYS in a contract revision"),
    "ban-alter-sequence-values": Kept("Let it count on: numbers that come again are refused as duplicates"),
    "ban-drop-database": Kept("Drop it by hand"),
    "ban-alter-system-options": _of_server(),
    "ban-alter-database-options": _of_server(),
    "ban-alter-role-options": _of_server(),
    "ban-drop-column": _drop(),
    "ban-drop-table": _drop(),
    "ban-drop-view": _drop(),
    "ban-drop-function": _drop(),
    "ban-drop-type": _drop(),
    "ban-drop-schema": _drop(),
    "ban-drop-sequence": _drop(),
    "ban-drop-domain": _drop(),
    "ban-drop-extension": _drop(),
    "ban-drop-trigger": _drop(),
    "ban-drop-default": _drop(),
    "ban-drop-generated-expression": _drop(),
    "renaming-column": Kept("Keep both for a while, with op.sync_columns_online(...)", frozenset({"rename"})),
    "renaming-table": Kept("Keep both for a while", frozenset({"rename"})),
    "ban-set-schema": Kept("Keep both for a while", frozenset({"rename"})),
    "syntax-error": Kept(
        "Mend it; or, if Postgres takes it, waive this: then squawk has not looked at the rest of the revision",
        frozenset({"syntax-error"}),
    ),
}
EXCLUDED = {
    "require-lock-timeout": "the migrator's runs set it",
    "require-statement-timeout": "the migrator's runs set it",
    "require-timeout-settings": "the migrator's runs set them",
    "require-table-schema": "all tables are in public",
    "require-enum-value-ordering": "at the end is where most new values belong",
    "adding-field-with-default": "blocking-rewrite; squawk takes a virtual column for a stored one",
    "changing-column-type": "blocking-rewrite, which knows the type there was",
    "constraint-missing-not-valid": "blocking-scan and blocking-build; squawk knows no NOT ENFORCED",
    "prefer-bigint-over-int": "small-key; a count of retries needs no 8 bytes",
    "prefer-bigint-over-smallint": "small-key",
    "prefer-text-field": "a varchar is widened in an instant",
    "prefer-repack": "blocking-rewrite",
    "ban-drop-constraint": "it allows more: what the next release needs comes before it",
    "ban-drop-not-null": "it allows more: what the next release needs comes before it",
    "renaming-object": "rename; squawk has indexes and constraints among them, whose names nobody uses",
    "transaction-nesting": "transaction; the SQL that squawk gets says by COMMIT what is not in the transaction",
    "ban-uncommitted-transaction": "transaction",
    "ban-drop-index": "require-concurrent-index-deletion",
    "ban-detach-inheritance": "require-concurrent-partition-detach",
    "ban-disable-trigger": "trigger",
    "ban-revoke": "rights",
    "ban-create-policy": "rights",
    "ban-drop-policy": "rights",
    "ban-alter-policy-condition": "rights",
    "ban-alter-policy-roles": "rights",
    "ban-alter-row-level-security": "rights",
    "ban-alter-generated-expression": "blocking-rewrite",
    "ban-add-composite-attribute": "opaque",
    "ban-alter-extension": "opaque",
    "ban-add-column": "that is what a revision that expands is for",
    "ban-set-default": "a default is for rows to come, where the release at work gives none",
    "ban-new-write-restriction": "whether the release at work keeps to it can't be told from SQL",
    "ban-add-enum-value": "the release at work meets it only once another writes it",
    "ban-replace-view-function": "Postgres keeps a view's columns, and a function's arguments",
    "ban-alter-function-options": "they change no result",
    "ban-alter-view-options": "they change no result",
    "ban-replica-identity": "it is of no concern to the api",
}
# Squawk leaves them out unless it is asked for them.
INCLUDED = [
    "ban-alter-sequence-values",
    "ban-alter-system-options",
    "ban-alter-database-options",
    "ban-alter-role-options",
    "ban-drop-trigger",
]


def ask_squawk(revisions: Sequence[Sequence[Parsed]]) -> list[list[tuple[Parsed, Problem]]]:
    """What squawk finds in the statements of each revision; ConfigurationError where it is missing, or fails."""
    program = shutil.which("squawk", path=sysconfig.get_path("scripts")) or shutil.which("squawk")
    if program is None:
        raise ConfigurationError("squawk is missing: pip install -r requirements/migrator.txt")
    with tempfile.TemporaryDirectory(prefix="migrator-lint-") as folder:
        starts = []
        for number, revision in enumerate(revisions):
            text, lines = _as_file(revision)
            starts.append(lines)
            (Path(folder) / f"{number}.sql").write_text(text)
        command = [
            program, "--reporter", "json", "--pg-version", POSTGRES, "--assume-in-transaction",
            "--exclude", ",".join(EXCLUDED), "--include", ",".join(INCLUDED),
            *(f"{number}.sql" for number in range(len(revisions))),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - not a shell, and no argument from outside
    try:
        found = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"squawk failed: {done.stderr.strip() or done.stdout.strip()}") from error
    problems: list[list[tuple[Parsed, Problem]]] = [[] for _ in revisions]
    for entry in found:
        number = int(Path(entry["file"]).stem)
        parsed = revisions[number][bisect_right(starts[number], entry["line"]) - 1]
        problems[number] += ((parsed, problem) for problem in _problems(entry, parsed))
    return problems


def _as_file(revision: Sequence[Parsed]) -> tuple[str, list[int]]:
    """The SQL of a revision, and the line in which each of its statements begins, from 0 on."""
    text, starts, in_transaction = "", [], True
    for parsed in revision:
        starts.append(text.count("\n"))
        if parsed.statement.in_transaction != in_transaction:
            in_transaction = not in_transaction
            text += "BEGIN;\n" if in_transaction else "COMMIT;\n"
        # Its waivers are not ours.
        text += re.sub("squawk", "", parsed.statement.sql, flags=re.IGNORECASE) + "\n;\n"
    return text, starts


def _problems(entry: dict[str, Any], parsed: Parsed) -> Iterator[Problem]:
    rule, message, hint = entry["rule_name"], entry["message"], entry["help"]
    kept = KEPT.get(rule, Kept(hint or "See https://squawkhq.com/docs/rules"))  # one that a newer squawk has
    is_of_new = parsed.is_on_new_only and not kept.of_new_tables
    if parsed.is_online or is_of_new or (rule == "prefer-robust-stmts" and _is_repeatable(parsed)):
        return
    yield Problem(rule, parsed.line, message.strip().removesuffix(".").replace("`", ""), kept.safe_way)


def _is_repeatable(parsed: Parsed) -> bool:
    """Whether a run that was killed can be repeated: what is in a transaction was rolled back."""
    commands = [command.subtype for _, command in parsed.commands()]
    return parsed.statement.in_transaction or (bool(commands) and set(commands) == {pg.AT_ValidateConstraint})


def is_for_contract(theirs: Problem) -> bool:
    """Whether a contract revision may do what squawk warns of."""
    return KEPT.get(theirs.rule, Kept("")).is_for_contract


def says_more(ours: set[str], theirs: Problem) -> bool:
    """Whether one of these rules of our own, found in the same statement, says what squawk says."""
    return bool(ours & KEPT.get(theirs.rule, Kept("")).ours)
