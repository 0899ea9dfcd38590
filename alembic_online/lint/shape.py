"""What the release at work would miss, or not expect."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.lint.calls import execute
from alembic_online.lint.finding import Problem
from alembic_online.lint.online_calls import fill, sync_columns
from alembic_online.lint.reading import ParsedStatement, names_of
from alembic_online.sql.names import qualified, quote, strings, table_name

Column = tuple[str, str]
"""A table and a column."""

# Kinds whose names queries don't use.
UNUSED_NAMES = {
    pg.OBJECT_INDEX,
    pg.OBJECT_TABCONSTRAINT,
    pg.OBJECT_DOMCONSTRAINT,
    pg.OBJECT_TRIGGER,
    pg.OBJECT_RULE,
    pg.OBJECT_POLICY,
    pg.OBJECT_EVENT_TRIGGER,
    pg.OBJECT_PUBLICATION,
    pg.OBJECT_SUBSCRIPTION,
    pg.OBJECT_STATISTIC_EXT,
}
# Kinds that no query misses once they are dropped; policies have the rule `rights`.
UNMISSED = {pg.OBJECT_INDEX, pg.OBJECT_STATISTIC_EXT, pg.OBJECT_POLICY, pg.OBJECT_PUBLICATION, pg.OBJECT_SUBSCRIPTION}
CONTRACT = (
    'Do it once no release that uses it is at work: in a revision with phase = "contract" and safe_from_release = the '
    "first release that does without it"
)
WIDTHS = {"int2", "int4", "smallserial", "serial", "serial2", "serial4"}
ROW_SECURITY = {pg.AT_EnableRowSecurity, pg.AT_ForceRowSecurity, pg.AT_ChangeOwner}


def find_shape(parsed: ParsedStatement, given: AbstractSet[Column], *, is_contract: bool) -> Iterator[Problem]:
    """What is wrong with how one statement changes the shape of the schema; `given` are columns with a new default."""
    yield from _renames(parsed)
    yield from _small_keys(parsed)
    if not is_contract:
        yield from find_drops(parsed, given)
        yield from _rights(parsed)


def columns_given_a_default(revision: list[ParsedStatement]) -> set[Column]:
    """The columns that get a default, or an identity, in the revision: their former default may be dropped."""
    return {
        (table_name(node.relation), command.name)
        for parsed in revision
        for node, command in parsed.commands()
        if command.subtype == pg.AT_AddIdentity or (command.subtype == pg.AT_ColumnDefault and command.HasField("def"))
    }


def find_drops(parsed: ParsedStatement, given: AbstractSet[Column]) -> Iterator[Problem]:
    """What one statement drops although the release at work may use it."""
    for dropped in _dropped(parsed, given):
        yield Problem(
            "drop-in-expand", parsed.line, f"drops {dropped}, which the release at work may still use", CONTRACT
        )
        return


def _dropped(parsed: ParsedStatement, given: AbstractSet[Column]) -> Iterator[str]:
    for node in parsed.nodes:
        if isinstance(node, pg.DropStmt) and node.remove_type not in UNMISSED:
            kind = pg.ObjectType.Name(node.remove_type).removeprefix("OBJECT_").lower().replace("matview", "view")
            for name in names_of(node):
                if name not in parsed.made and name.rpartition(".")[0] not in parsed.made:
                    yield f"the {kind} {name}"
    for node, command in parsed.commands():
        what = {
            pg.AT_DropColumn: "the column",
            pg.AT_DropExpression: "the expression of",
            pg.AT_DropIdentity: "the identity of",
        }.get(command.subtype)
        is_given = (table_name(node.relation), command.name) in given
        if command.subtype == pg.AT_ColumnDefault and not (command.HasField("def") or is_given):
            what = "the default of"
        if what:
            yield f"{what} {table_name(node.relation)}.{command.name}"


def _renames(parsed: ParsedStatement) -> Iterator[Problem]:
    for node in parsed.nodes:
        name = _renamed(node)
        is_column = isinstance(node, pg.RenameStmt) and node.rename_type == pg.OBJECT_COLUMN
        column = f".{node.subname}" if is_column else ""
        if name and name not in parsed.made:
            yield Problem(
                "rename",
                parsed.line,
                f"from then on the release at work no longer finds {name}{column}; before, the next release does not "
                "find the new name",
                _both(node),
            )


def _both(node: Message) -> str:
    """How to have both names for a while."""
    if isinstance(node, pg.RenameStmt) and node.rename_type == pg.OBJECT_COLUMN:
        return (
            f"Keep both for a while: a second column, {quote(node.newname)}, kept equal with "
            f"{sync_columns(node.relation, node.subname, node.newname)}, and filled with "
            f"{fill(node.relation, {node.newname: quote(node.subname)})}"
        )
    if isinstance(node, pg.RenameStmt) and node.rename_type == pg.OBJECT_TABLE:
        new = qualified(node.relation.schemaname, node.newname)
        view = execute(f"CREATE VIEW {new} AS TABLE {table_name(node.relation)}")
        return f"Keep both for a while: the table, and a view of the new name, {view}"
    if isinstance(node, pg.AlterEnumStmt):
        added = pg.AlterEnumStmt(type_name=node.type_name, new_val=node.new_val, new_val_is_after=True)
        return f"Keep both for a while: add the new value, {execute(added)}, and leave the old one"
    return "Keep both for a while: create a second one with the new name"


def _renamed(node: Message) -> str | None:
    """The name of what is renamed, or moved to another schema."""
    if isinstance(node, pg.RenameStmt) and node.rename_type not in UNUSED_NAMES:
        if node.HasField("relation"):
            return table_name(node.relation)
        return qualified(*_names(node.object)) if node.HasField("object") else node.subname
    if isinstance(node, pg.AlterObjectSchemaStmt):
        return table_name(node.relation) if node.HasField("relation") else qualified(*_names(node.object))
    if isinstance(node, pg.AlterEnumStmt) and node.old_val:
        return qualified(*strings(node.type_name))
    return None


def _names(node: Message) -> list[str]:
    inner = unwrap_node(node)
    if isinstance(inner, pg.String):
        return [inner.sval]
    return strings(
        getattr(inner, "items", None) or getattr(inner, "objname", None) or getattr(inner, "names", None) or ()
    )


def _rights(parsed: ParsedStatement) -> Iterator[Problem]:
    what = next(_taken(parsed), None)
    if what:
        yield Problem(
            "rights",
            parsed.line,
            f"{what}: from then on the release at work may do less, or see fewer rows",
            CONTRACT,
        )


def _taken(parsed: ParsedStatement) -> Iterator[str]:
    for node in parsed.nodes:
        if isinstance(node, pg.GrantStmt) and not node.is_grant and not _is_all_new(node, parsed):
            yield "rights are revoked"
        elif isinstance(node, pg.GrantRoleStmt) and not node.is_grant:
            yield "a role is revoked"
        elif isinstance(node, pg.AlterOwnerStmt):
            yield "the owner changes"
        elif isinstance(node, pg.CreatePolicyStmt | pg.AlterPolicyStmt) and table_name(node.table) not in parsed.made:
            yield "a policy hides rows"
        elif isinstance(node, pg.DropStmt) and node.remove_type == pg.OBJECT_POLICY and parsed.effects:
            yield "a policy that shows rows is dropped"
    for node, command in parsed.commands():
        if command.subtype in ROW_SECURITY:
            what = "the owner changes" if command.subtype == pg.AT_ChangeOwner else "row security hides rows"
            yield f"{what} ({table_name(node.relation)})"


def _is_all_new(node: pg.GrantStmt, parsed: ParsedStatement) -> bool:
    named = [unwrap_node(found) for found in node.objects]
    return bool(named) and all(isinstance(found, pg.RangeVar) and table_name(found) in parsed.made for found in named)


def _small_keys(parsed: ParsedStatement) -> Iterator[Problem]:
    for node in parsed.nodes:
        if not isinstance(node, pg.CreateStmt):
            continue
        elements = [unwrap_node(found) for found in node.table_elts]
        columns = {found.colname: found for found in elements if isinstance(found, pg.ColumnDef)}
        keys = [
            strings(found.keys)
            for found in elements
            if isinstance(found, pg.Constraint) and found.contype == pg.CONSTR_PRIMARY
        ]
        keys += [
            [name]
            for name, column in columns.items()
            if any(c.contype == pg.CONSTR_PRIMARY for c in map(unwrap_node, column.constraints))
        ]
        # A key of several columns usually consists of other tables' keys, whose types it shares.
        for name in (key[0] for key in keys if len(key) == 1):
            if name in columns and strings(columns[name].type_name.names)[-1] in WIDTHS:
                yield Problem(
                    "small-key",
                    parsed.line,
                    f"{name} runs out of numbers, at 2,147,483,647 or before, and a wider type then rewrites the table "
                    "while nobody can use it",
                    f'Use sa.Column("{name}", sa.BigInteger(), sa.Identity(always=True), primary_key=True)',
                )
