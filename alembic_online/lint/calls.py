"""Code of a revision, as text that can be pasted: calls of `op`, and SQL from parse trees.

`...` is where the statement does not say what belongs there.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node, walk

from alembic_online.operations.steps import short_name
from alembic_online.sql.names import strings

# What sa.text(), which op.execute and checks use, would take for an escaped colon.
ESCAPED = re.compile(r"\\(?=:\w*(?![:\w]))")


@dataclass(frozen=True)
class Code:
    """Python code, to be written without quotes."""

    text: str


def call(operation: str, *arguments: Any, **options: Any) -> str:
    """`op.<operation>(...)`, without the options that are None, False or empty."""
    given = [_python(argument) for argument in arguments]
    given += [f"{name}={_python(value)}" for name, value in options.items() if value is ... or value]
    return f"op.{operation}({', '.join(given)})"


def execute(statement: Message | str) -> str:
    """`op.execute("...")`."""
    return call("execute", as_text(statement if isinstance(statement, str) else sql_of(statement)))


def execute_outside(statement: Message | str) -> str:
    """`op.execute("...")` for a statement that Postgres refuses in a transaction."""
    return f"with op.get_context().autocommit_block(): {execute(statement)}"


def text(sql: str) -> Code:
    """`sa.text("...")`."""
    return Code(f"sa.text({_python(as_text(sql))})")


def final(name: str) -> Code:
    """`op.f("...")`: a final name, to which no naming convention is applied."""
    return Code(f"op.f({_python(name)})")


def as_text(sql: str) -> str:
    """The SQL for sa.text(), which takes a backslash before a colon for an escape."""
    return ESCAPED.sub(r"\\\\", sql)


def sql_of(statement: Message) -> str:
    """A statement's SQL."""
    (field,) = (each.name for each in pg.Node.DESCRIPTOR.fields if each.message_type is statement.DESCRIPTOR)
    node = pg.Node(**{field: statement})
    return str(postgast.deparse(pg.ParseResult(stmts=[pg.RawStmt(stmt=node)])))


def expression(node: pg.Node) -> str:
    """An expression's SQL."""
    return sql_of(pg.SelectStmt(target_list=[pg.Node(res_target=pg.ResTarget(val=node))])).removeprefix("SELECT ")


def alter_table(relation: pg.RangeVar, subtype: "pg.AlterTableType", **command: Any) -> pg.AlterTableStmt:
    """ALTER TABLE with one subcommand."""
    made = pg.AlterTableCmd(subtype=subtype, behavior=pg.DROP_RESTRICT, **command)
    return pg.AlterTableStmt(relation=relation, cmds=[pg.Node(alter_table_cmd=made)], objtype=pg.OBJECT_TABLE)


def relation_of(name: str) -> pg.RangeVar:
    """The relation of this name, which has the form of `Effect.table`."""
    select = unwrap_node(postgast.parse(f"TABLE {name}").stmts[0].stmt)
    assert isinstance(select, pg.SelectStmt)
    return select.from_clause[0].range_var


def name_of(*parts: str) -> str:
    """A readable name for something without one, composed of its kind, table and columns."""
    return short_name("_".join(parts))


def _python(value: Any) -> str:
    if isinstance(value, Code):
        return value.text
    if isinstance(value, str):
        # Single quotes are frequent in SQL; only without them is a string with double quotes easier to read in them.
        return repr(value) if '"' in value and "'" not in value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_python, value))}]"
    if isinstance(value, dict):
        return "{{{}}}".format(", ".join(f"{_python(key)}: {_python(each)}" for key, each in value.items()))
    return "..." if value is ... else repr(value)


def columns_in(condition: pg.Node) -> list[str]:
    """The columns that an expression reads, each once."""
    references = (found for _, found in walk(condition) if isinstance(found, pg.ColumnRef))
    return list(dict.fromkeys(parts[-1] for found in references if (parts := strings(found.fields))))
