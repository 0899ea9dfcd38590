"""What the pending revisions would do to the database as it is now: locks, work, sizes, who is in the way, a verdict.

Guarantee: it reads catalogs, changes nothing, and waits for no lock that somebody holds on a table. Rows are read only
where they are to be unique, for at most two seconds.

sizes       sizes of tables, and who holds which lock
verdict     safe, careful, unknown, unsafe, fails
obstacles   why a statement would fail
dependents  what needs what it drops or changes
rights      what the role may not do
duplicates  whether rows share what is to be unique
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from alembic_online.plan.obstacles import Known, conditions, dropped, find_obstacles
from alembic_online.plan.sizes import Holder, Table, read_holders, read_tables
from alembic_online.plan.verdict import Situation, Verdict, conflicting, gravest, judge
from alembic_online.project import Project
from alembic_online.revision_sql import NotSql, RevisionStatement, read_statements
from alembic_online.runs.contract import safe_from_release
from alembic_online.runs.history import is_ahead
from alembic_online.runs.status import find_pending
from alembic_online.sql import (
    Effect,
    Lock,
    NotUnderstood,
    Work,
    created_tables,
    ends_transaction,
    find_effects,
    renamed_tables,
)
from alembic_online.sql.apply import after
from alembic_online.sql.catalog import read_schema
from alembic_online.sql.parse import parse

__all__ = ["Holder", "Plan", "PlannedRevision", "PlannedStatement", "Table", "Verdict", "make_plan"]


@dataclass(frozen=True)
class PlannedStatement(RevisionStatement):
    """A statement, and what it would do.

    `effects` are those on tables that exist before the plan. `holders` are the sessions that it would have to wait for
    if it ran now.
    """

    effects: Sequence[Effect] = ()
    holders: Sequence[Holder] = ()
    verdict: Verdict = Verdict.SAFE
    reason: str = ""


@dataclass(frozen=True)
class PlannedRevision:
    """A pending revision. `problem` says why it has no statements, if its SQL is not known before it runs."""

    revision: str
    subject: str
    safe_from_release: str | None
    """For a contract revision: the first release of the app that does without what it takes away."""
    statements: Sequence[PlannedStatement]
    problem: str | None
    verdict: Verdict


@dataclass(frozen=True)
class Plan:
    """The pending revisions, the oldest first, and the tables that they affect."""

    current: Sequence[str]
    head: Sequence[str]
    is_ahead: bool
    """Whether a newer release has migrated the database, so that this one has nothing to do."""
    revisions: Sequence[PlannedRevision]
    tables: Sequence[Table]

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict."""
        return gravest([revision.verdict for revision in self.revisions])

    def as_dict(self) -> dict[str, Any]:
        """For JSON; locks by their names in SQL."""
        found = asdict(self) | {"verdict": self.verdict}
        for revision in found["revisions"]:
            for statement in revision["statements"]:
                del statement["constraint_kind"]  # which only the lint needs
                for held in (*statement["effects"], *statement["holders"]):
                    held["lock"] = str(held["lock"])
        return found


def make_plan(connection: Connection, project: Project) -> Plan:
    """The plan for the database behind `connection`; UnknownRevision if it is at a revision that nobody knows."""
    scripts = project.scripts
    ahead = is_ahead(connection, scripts)
    current = MigrationContext.configure(connection).get_current_heads()
    state = _State(connection)
    pending = [] if ahead else find_pending(connection, scripts)
    revisions = [_plan_revision(project, revision, state) for revision in pending]
    return Plan(current, scripts.get_heads(), ahead, revisions, list(state.tables.values()))


class _State:
    """The database as it would be after the statements planned so far."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.schema = connection, read_schema(connection)
        self.version = tuple(int(part) for part in connection.dialect.server_version_info or ())
        self.new: set[str] = set()
        """The tables that the plan creates."""
        self.names: dict[str, str] = {}
        """The present names of tables that the plan renames, by their new names."""
        self.tables: dict[str, Table] = {}
        """The existing tables that the plan affects, by their present names."""
        self.changed: set[str] = set()
        """The tables of which the plan changes rows."""
        self.gone: set[int] = set()
        """The oids of what the plan drops."""

    @property
    def known(self) -> Known:
        """What can be known of it from the catalogs."""
        return Known(self.connection, self.schema, self.names, self.new, self.changed, self.gone)

    def effects(self, sql: str) -> list[Effect]:
        """What the statement does to existing tables."""
        return [effect for effect in find_effects(sql, self.schema) if effect.table not in self.new]

    def look_at(self, effects: Sequence[Effect]) -> tuple[dict[str, Table], list[Holder]]:
        """The existing tables of these effects, by their names at that point of the plan; and who has locked them."""
        now = {effect.table: self.names.get(effect.table, effect.table) for effect in effects if effect.is_named}
        self.tables |= read_tables(self.connection, [name for name in now.values() if name not in self.tables])
        holders = read_holders(self.connection, sorted({name for name in now.values() if name in self.tables}))
        by_then = {name: later for later, name in now.items()}
        return (
            {later: self.tables[name] for later, name in now.items() if name in self.tables},
            [Holder(by_then[holder.table], holder.lock, holder.session) for holder in holders],
        )

    def carry_out(self, sql: str, effects: Sequence[Effect]) -> None:
        """Apply the statement to this state; `effects` are its own."""
        self.changed |= {effect.table for effect in effects if effect.work in {Work.ROWS, Work.ALL_ROWS}}
        for statement in parse(sql):
            self.gone |= dropped(statement, self.known)
        there = {*self.schema.columns, *self.schema.reads}
        self.new |= {name for name in created_tables(sql) if name not in there}
        for old, new in renamed_tables(sql).items():
            if old in self.new:
                self.new.add(new)
            else:
                self.names[new] = self.names.get(old, old)
        self.schema = after(sql, self.schema)


def _plan_revision(project: Project, revision: str, state: _State) -> PlannedRevision:
    script = project.scripts.get_revision(revision)
    assert script is not None
    release = safe_from_release(script)
    try:
        found = read_statements(project, revision, state.version)
    except NotSql as error:
        return PlannedRevision(revision, script.doc, release, [], str(error), Verdict.UNKNOWN)
    statements: list[PlannedStatement] = []
    held: dict[str, Lock] = {}
    block = None
    for statement in found:
        if statement.block != block or not statement.in_transaction or ends_transaction(statement.sql):
            held, block = {}, statement.block
        statements.append(_plan_statement(statement, held, state))
    verdict = gravest([statement.verdict for statement in statements])
    return PlannedRevision(revision, script.doc, release, statements, None, verdict)


def _plan_statement(statement: RevisionStatement, held: dict[str, Lock], state: _State) -> PlannedStatement:
    """Plan it; `held` are the locks of its transaction, and its own are added to them."""
    try:
        effects = state.effects(statement.sql)
    except NotUnderstood as error:
        return PlannedStatement(**vars(statement), verdict=Verdict.UNKNOWN, reason=f"not understood: {error}")
    tables, holders = state.look_at(effects)
    for effect in effects:
        if effect.table in tables:
            held[effect.table] = max(effect.lock, held.get(effect.table, effect.lock))
    known, nodes = state.known, parse(statement.sql)
    obstacles = [found for node in nodes for found in find_obstacles(node, known)]
    needs = [condition for node in nodes for condition in conditions(node, known)]
    verdict, reason = judge(statement, effects, Situation(tables, held, holders, obstacles, needs))
    if verdict is not Verdict.FAILS:
        state.carry_out(statement.sql, effects)
    for old, new in renamed_tables(statement.sql).items():
        if old in held:
            held[new] = held.pop(old)
    waits_for = conflicting(statement, effects, holders)
    return PlannedStatement(**vars(statement), effects=effects, holders=waits_for, verdict=verdict, reason=reason)
