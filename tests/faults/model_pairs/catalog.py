"""What a database has, by its catalogs: everything that pg_dump would write of the kinds that models can declare.

Not pg_dump itself, which would take more time than all the rest of a pair; some histories are compared by both.
"""

import re

from sqlalchemy import Connection

Dump = dict[str, list[str]]
"""By kind, one line each."""

OURS = "nspname !~ '^pg_' AND nspname <> 'information_schema'"
NOT_OWN = "relname NOT IN ('alembic_version', 'migration_history', 'migration_backfills')"
CATALOGS = {
    "schemas": f"SELECT nspname, nspacl::text, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE {OURS}",
    "relations": (
        "SELECT c.oid::regclass, relkind, relpersistence, reloptions, relacl::text, relrowsecurity,"
        " obj_description(c.oid, 'pg_class')"
        f" FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE {OURS} AND relkind NOT IN ('i', 'S')"
    ),
    "columns": (
        # By their order, not by attnum: dropped ones leave gaps.
        "SELECT attrelid::regclass, row_number() OVER (PARTITION BY attrelid ORDER BY attnum), attname,"
        " format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attcollation::regcollation,"
        " attstorage, attcompression, attstattarget, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum)"
        " FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace"
        " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
        f" WHERE {OURS} AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'v', 'p', 'c', 'm', 'f')"
    ),
    # A NOT NULL's constraint has no name in models; whether it is set is a column's.
    "constraints": (
        "SELECT conrelid::regclass, CASE WHEN contype <> 'n' THEN conname END, pg_get_constraintdef(p.oid),"
        " convalidated, condeferrable, condeferred, obj_description(p.oid, 'pg_constraint')"
        f" FROM pg_constraint p JOIN pg_namespace n ON n.oid = connamespace WHERE {OURS}"
    ),
    "indexes": (
        "SELECT pg_get_indexdef(indexrelid), indisvalid, indisprimary, indimmediate, reloptions,"
        " obj_description(indexrelid, 'pg_class')"
        " FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace"
        f" WHERE {OURS}"
    ),
    "sequences": (
        "SELECT c.oid::regclass, seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle,"
        " (SELECT array_agg(format('%s %s.%s', deptype, refobjid::regclass, attname)) FROM pg_depend"
        " JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid"
        " WHERE objid = c.oid AND classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass)"
        " FROM pg_sequence JOIN pg_class c ON c.oid = seqrelid JOIN pg_namespace n ON n.oid = relnamespace"
        f" WHERE {OURS}"
    ),
    "types": (
        "SELECT t.oid::regtype, typtype, (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum"
        " WHERE enumtypid = t.oid), typdefault, typnotnull, format_type(typbasetype, typtypmod)"
        f" FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE {OURS} AND typtype IN ('e', 'd', 'r')"
    ),
    "functions": (
        f"SELECT p.oid::regprocedure, prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE {OURS}"
    ),
    "triggers": "SELECT pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE NOT tgisinternal",
    "default privileges": "SELECT defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl::text"
    " FROM pg_default_acl",
}


ANY = re.compile(r"= ANY \(+ARRAY\[.*?\]\)+(::text\[\]\)*)?")
CASTS = re.compile(r"::character varying|::text(?:\[\])?|[()]")


def dump(connection: Connection) -> Dump:
    """What there is, apart from the tool's own tables."""
    found: Dump = {}
    for kind, query in CATALOGS.items():
        rows = connection.exec_driver_sql(query).all()
        lines = sorted(str(tuple(str(value) if value is not None else None for value in row)) for row in rows)
        own = ("alembic_version", "migration_history", "migration_backfills")
        found[kind] = [settled(line) for line in lines if not any(name in line for name in own)]
    connection.rollback()
    return found


def settled(line: str) -> str:
    """Postgres stores `a IN ('b')` in one form, and in another what it shows of that one: here, they are the same."""
    return ANY.sub(lambda found: CASTS.sub("", found[0]), line)


def difference(before: Dump, after: Dump) -> list[str]:
    """What is in one of the two only."""
    return [
        f"{sign} {kind} {line}"
        for kind in before
        for sign, lines, others in (("-", before[kind], after[kind]), ("+", after[kind], before[kind]))
        for line in lines
        if lines.count(line) > others.count(line)
    ]
