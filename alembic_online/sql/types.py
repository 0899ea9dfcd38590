"""What a change of a column's type costs.

Source: ATColumnChangeRequiresRewrite of Postgres, and the support functions of the types' length coercions.
"""

from dataclasses import dataclass

import postgast
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql.effect import Work
from alembic_online.sql.expressions import type_name
from alembic_online.sql.names import Node

# Digits of a second's fraction, at most.
PRECISION = 6
WITH_LENGTH = {"varchar", "varbit"}
WITH_PRECISION = {"timestamp", "timestamptz", "time", "timetz"}
# Pairs that are stored alike, and have the same operators in indexes.
ALIKE = {("varchar", "text"), ("text", "varchar"), ("cidr", "inet")}


@dataclass(frozen=True)
class Type:
    """A type, for example varchar with the limits (20,). `limits` is None if they are not numbers."""

    name: str
    limits: tuple[int, ...] | None
    is_array: bool


def read_type(name: pg.TypeName) -> Type:
    """The type of this name."""
    limits = [unwrap_node(limit) for limit in name.typmods]
    numbers = tuple(limit.ival.ival for limit in limits if isinstance(limit, pg.A_Const) and limit.HasField("ival"))
    if type_name(name) == "numeric" and len(numbers) == 1:
        numbers = (*numbers, 0)
    return Type(type_name(name), numbers if len(limits) <= len(numbers) else None, bool(name.array_bounds))


def parse_type(text: str) -> Type:
    """The type, from what `format_type` prints."""
    (statement,) = postgast.parse(f"SELECT NULL::{text}").stmts
    cast = unwrap_node(statement.stmt.select_stmt.target_list[0].res_target.val)
    assert isinstance(cast, pg.TypeCast)
    return read_type(cast.type_name)


def cost_of_change(column: str, old: str | None, new: pg.TypeName, using: Node | None) -> tuple[Work, str]:
    """What the change costs, and why. `old` is as `format_type` prints it, None if it is not known."""
    wanted = read_type(new)
    if using is not None and not _is_cast_of(using, column, wanted):
        return Work.REWRITE, f"USING computes {column} again for every row"
    if old is None:
        return Work.REWRITE, f"a new type of {column} rewrites the table, unless its values are stored alike"
    present = parse_type(old)
    if present == wanted:
        return Work.NONE, f"{column} has this type already"
    if _is_wider(present, wanted):
        return Work.NONE, f"{old} becomes wider: no row is touched"
    if (present.name, wanted.name) in ALIKE and not wanted.limits and not (present.is_array or wanted.is_array):
        return Work.NONE, f"{old} and {wanted.name} are stored alike: no row is touched"
    return Work.REWRITE, f"the type of {column} changes from {old}, which rewrites every row"


def _is_wider(old: Type, new: Type) -> bool:
    if old.name != new.name or old.is_array or new.is_array or old.limits is None or new.limits is None:
        return False
    if old.name in WITH_LENGTH:
        return not new.limits or (bool(old.limits) and new.limits >= old.limits)
    if old.name in WITH_PRECISION:
        return not new.limits or new.limits[0] >= PRECISION or (bool(old.limits) and new.limits >= old.limits)
    if old.name == "numeric":
        return not new.limits or (bool(old.limits) and new.limits[1] == old.limits[1] and new.limits >= old.limits)
    return False


def _is_cast_of(node: Node, column: str, wanted: Type) -> bool:
    """Whether the expression is just the column, or the column cast to the new type."""
    inner = unwrap_node(node)
    if isinstance(inner, pg.TypeCast):
        return read_type(inner.type_name) == wanted and _is_cast_of(inner.arg, column, wanted)
    if not isinstance(inner, pg.ColumnRef):
        return False
    name = unwrap_node(inner.fields[-1])
    return isinstance(name, pg.String) and name.sval == column
