"""What the plan says of the pending revisions."""

from alembic_online.plan import Plan, PlannedStatement
from alembic_online.rehearsal.compare import Planned
from alembic_online.sql.effect import unknown


def read_plan(plan: Plan) -> tuple[dict[str, list[Planned] | None], dict[str, str]]:
    """The planned statements of each revision, None if not known; and for those, why not."""
    statements = {
        revision.revision: None if revision.problem else [_planned(one) for one in revision.statements]
        for revision in plan.revisions
    }
    return statements, {revision.revision: revision.problem for revision in plan.revisions if revision.problem}


def _planned(statement: PlannedStatement) -> Planned:
    is_not_understood = statement.verdict.value == "unknown" and not statement.effects
    effects = [unknown("whatever it touches", statement.reason)] if is_not_understood else list(statement.effects)
    return Planned(statement.sql, statement.line, statement.operation, effects)
