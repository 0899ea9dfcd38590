"""What a change of a column's type costs.

Source: ATColumnChangeRequiresRewrite of Postgres, and the support functions of the types' length coercions.
"""

from dataclasses import dataclass, replace

import postgast
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql.effect import Work
from alembic_online.sql.expressions import type_name
from alembic_online.sql.names import Node, strings

# Digits of a second's fraction, at most.
PRECISION = 6
WITH_LENGTH = {"varchar", "varbit"}
WITH_PRECISION = {"timestamp", "timestamptz", "time", "timetz"}
# Pairs that are stored alike, and have the same operators in indexes.
ALIKE = {("varchar", "text"), ("text", "varchar"), ("cidr", "inet")}


@dataclass(frozen=True)
class Type:
    """A type, for example varchar with the limits (20,). `limits` is None if they are not numbers.

    `collation` is None if it is the type's own.
    """

    name: str
    limits: tuple[int, ...] | None
    is_array: bool
    collation: str | None = None


def read_type(name: pg.TypeName) -> Type:
    """The type of this name."""
    limits = [unwrap_node(limit) for limit in name.typmods]
    numbers = tuple(limit.ival.ival for limit in limits if isinstance(limit, pg.A_Const) and limit.HasField("ival"))
    if type_name(name) == "numeric" and len(numbers) == 1:
        numbers = (*numbers, 0)
    return Type(type_name(name), numbers if len(limits) <= len(numbers) else None, bool(name.array_bounds))


def parse_type(text: str) -> Type:
    """The type, from what `format_type` prints, with COLLATE if it has a collation of its own."""
    (statement,) = postgast.parse(f"SELECT NULL::{text}").stmts
    cast = unwrap_node(statement.stmt.select_stmt.target_list[0].res_target.val)
    collation = None
    if isinstance(cast, pg.CollateClause):
        cast, collation = unwrap_node(cast.arg), _collation(cast)
    assert isinstance(cast, pg.TypeCast)
    return replace(read_type(cast.type_name), collation=collation)


def _collation(clause: pg.CollateClause) -> str | None:
    name = strings(clause.collname)[-1]
    return None if name == "default" else name


def cost_of_change(column: str, old: str | None, new: pg.ColumnDef, using: Node | None) -> tuple[Work, str]:
    """What the change costs, and why. `old` is as for `parse_type`, None if it is not known."""
    wanted = read_type(new.type_name)
    if using is not None and not _is_cast_of(using, column, wanted):
        return Work.REWRITE, f"USING computes {column} again for every row"
    if old is None:
        return Work.REWRITE, f"a new type of {column} rewrites the table, unless its values are stored alike"
    present = parse_type(old)
    why = _alike(column, old, replace(present, collation=None), wanted)
    if why is None:
        return Work.REWRITE, f"the type of {column} changes from {old}, which rewrites every row"
    if present.collation != (_collation(new.coll_clause) if new.HasField("coll_clause") else None):
        return Work.BUILD, f"{column} gets another order, and its indexes are built anew"
    return Work.NONE, why


def _alike(column: str, old: str, present: Type, wanted: Type) -> str | None:
    """Why the values are stored alike; None if they are not."""
    if present == wanted:
        return f"{column} has this type already"
    if _is_wider(present, wanted):
        return f"{old} becomes wider: no row is touched"
    if (present.name, wanted.name) in ALIKE and not wanted.limits and not (present.is_array or wanted.is_array):
        return f"{old} and {wanted.name} are stored alike: no row is touched"
    return None


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
