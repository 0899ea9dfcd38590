"""Rights: the release at work may do less, or see fewer rows."""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.lint.drops import CONTRACT
from alembic_online.lint.finding import Problem
from alembic_online.lint.reading import ParsedStatement
from alembic_online.sql.names import quote, table_name
from alembic_online.sql.objects import named, object_of

ROW_SECURITY = {pg.AT_EnableRowSecurity, pg.AT_ForceRowSecurity}


def find_rights(parsed: ParsedStatement) -> Iterator[Problem]:
    """What one statement takes from the release at work."""
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
            yield f"rights on {_granted(node)} are revoked"
        elif isinstance(node, pg.GrantRoleStmt) and not node.is_grant:
            roles = [quote(found.access_priv.priv_name) for found in node.granted_roles]
            yield f"the role {' and '.join(roles)} is revoked"
        elif isinstance(node, pg.AlterOwnerStmt):
            yield f"the owner of {object_of(node.object_type, node.object)} changes"
        elif isinstance(node, pg.CreatePolicyStmt | pg.AlterPolicyStmt) and table_name(node.table) not in parsed.made:
            policy = named(pg.OBJECT_POLICY, node.table.schemaname, node.table.relname, node.policy_name)
            yield f"{policy} hides rows"
        elif isinstance(node, pg.DropStmt) and node.remove_type == pg.OBJECT_POLICY and parsed.effects:
            yield f"{object_of(pg.OBJECT_POLICY, node.objects[0])}, which shows rows, is dropped"
    for node, command in parsed.commands():
        table = named(node.objtype, node.relation.schemaname, node.relation.relname)
        if command.subtype == pg.AT_ChangeOwner:
            yield f"the owner of {table} changes"
        elif command.subtype in ROW_SECURITY:
            yield f"row security of {table} hides rows"


def _granted(node: pg.GrantStmt) -> str:
    if node.targtype == pg.ACL_TARGET_ALL_IN_SCHEMA:
        return "all of the schema {}".format(" and ".join(quote(found.string.sval) for found in node.objects))
    return " and ".join(object_of(node.objtype, found) for found in node.objects)


def _is_all_new(node: pg.GrantStmt, parsed: ParsedStatement) -> bool:
    found = [unwrap_node(each) for each in node.objects]
    return bool(found) and all(isinstance(each, pg.RangeVar) and table_name(each) in parsed.made for each in found)
