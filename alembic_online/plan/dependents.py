"""What needs a table, a column, a type or a function, so that Postgres refuses to drop or to change it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, text

# `owner` is the relation that the dependent belongs to: it goes with that, and not before.
_DEPENDENTS = text("""\
SELECT DISTINCT
    CASE WHEN v.oid IS NULL THEN pg_describe_object(classid, objid, objsubid)
        ELSE CASE v.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'a rule on ' END
            || v.oid::regclass END,
    classid::regclass::text,
    objid,
    coalesce(v.oid, con.conrelid, def.adrelid, pol.polrelid, trig.tgrelid, CASE WHEN classid = 'pg_class'::regclass
        THEN objid END, 0)
FROM pg_depend
LEFT JOIN pg_rewrite r ON classid = 'pg_rewrite'::regclass AND r.oid = objid
LEFT JOIN pg_class v ON v.oid = r.ev_class
LEFT JOIN pg_constraint con ON classid = 'pg_constraint'::regclass AND con.oid = objid
LEFT JOIN pg_attrdef def ON classid = 'pg_attrdef'::regclass AND def.oid = objid
LEFT JOIN pg_policy pol ON classid = 'pg_policy'::regclass AND pol.oid = objid
LEFT JOIN pg_trigger trig ON classid = 'pg_trigger'::regclass AND trig.oid = objid
WHERE refclassid = CAST(CAST(:kind AS text) AS regclass) AND refobjid = :oid AND deptype = 'n'
AND (CAST(:column AS text) IS NULL OR refobjsubid =
    (SELECT attnum FROM pg_attribute WHERE attrelid = :oid AND attname = CAST(:column AS text) AND NOT attisdropped))
ORDER BY 1""")


@dataclass(frozen=True)
class Needed:
    """An object: the catalog that it is in, its oid, and a column of it, if only that is meant."""

    catalog: str
    oid: int
    column: str | None = None


@dataclass(frozen=True)
class Dependent:
    """An object that needs another: Postgres's words for it, its catalog and oid, and its relation's oid, or 0."""

    name: str
    catalog: str
    oid: int
    owner: int


def find_dependents(connection: Connection, needed: Iterable[Needed], without: Collection[int]) -> list[Dependent]:
    """What needs one of these objects; except objects, and what belongs to relations, whose oids are in `without`."""
    found = [
        Dependent(*row)
        for one in needed
        for row in connection.execute(_DEPENDENTS, {"kind": one.catalog, "oid": one.oid, "column": one.column})
    ]
    return [one for one in found if one.oid not in without and one.owner not in without]
