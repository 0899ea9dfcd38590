"""The `Schema` of a database, read from its catalogs in a few queries that lock nothing but the catalogs."""

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, text

from alembic_online.sql.schema import ForeignKey, Schema


def _name(relation: str, schema: str, column: str = "relname") -> str:
    """SQL for the name of a row of `pg_class`, with its row of `pg_namespace`, in the form of `Effect`."""
    return f"concat(nullif(quote_ident({schema}.nspname), 'public') || '.', quote_ident({relation}.{column}))"


_OURS = "{}.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND {}.nspname NOT LIKE 'pg\\_temp%'"


def _ours(schema: str) -> str:
    return _OURS.format(schema, schema)


# Composed only of constants of this file.
_COLUMNS = text(
    f"SELECT {_name('c', 'n')}, attname, format_type(atttypid, atttypmod) || CASE WHEN attcollation IN"  # noqa: S608
    " (0, typcollation) THEN '' ELSE ' COLLATE ' || attcollation::regcollation END, attnotnull AND NOT EXISTS"
    " (SELECT FROM pg_constraint WHERE conrelid = attrelid AND contype = 'n' AND conkey = ARRAY[attnum])"
    " FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace"
    " JOIN pg_type t ON t.oid = atttypid"
    f" WHERE relkind IN ('r', 'p', 'f') AND attnum > 0 AND NOT attisdropped AND {_ours('n')}"
)
_EMPTY = text(
    f"SELECT {_name('c', 'n')} FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"  # noqa: S608
    f" WHERE relkind IN ('r', 'p', 'f') AND {_ours('n')}"
)
_INDEXES = text(
    f"SELECT {_name('i', 'ns')}, {_name('c', 'n')} FROM pg_index"  # noqa: S608
    " JOIN pg_class i ON i.oid = indexrelid JOIN pg_namespace ns ON ns.oid = i.relnamespace"
    " JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE {_ours('n')}"
)
_FOREIGN_KEYS = text(
    f"SELECT conname, {_name('c', 'n')}, {_name('r', 'nr')}, confdeltype IN ('c', 'n', 'd'),"  # noqa: S608
    " array(SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY(conkey) ORDER BY attnum),"
    " array(SELECT attname FROM pg_attribute WHERE attrelid = confrelid AND attnum = ANY(confkey) ORDER BY attnum),"
    " coalesce((to_jsonb(pg_constraint) ->> 'conenforced')::bool, true),"  # new in Postgres 18
    " conparentid <> 0"
    " FROM pg_constraint JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_class r ON r.oid = confrelid JOIN pg_namespace nr ON nr.oid = r.relnamespace"
    f" WHERE contype = 'f' AND {_ours('n')}"
)
# Whether a CHECK is `column IS NOT NULL` is read from Postgres's internal form: to write it as SQL, Postgres would wait
# for sessions that have locked the table.
_CHECKS = text(
    f"SELECT {_name('c', 'n')}, conname, attname, contype::text, convalidated,"  # noqa: S608
    " contype = 'n' OR (cardinality(conkey) = 1 AND conbin::text LIKE '{NULLTEST \\:arg {VAR %} \\:nulltesttype 1 %')"
    " FROM pg_constraint JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace"
    " JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY(conkey)"
    f" WHERE contype IN ('c', 'n') AND {_ours('n')}"
)
_KEYS = text(
    f"SELECT {_name('c', 'n')}, array(SELECT attname::text FROM pg_attribute"  # noqa: S608
    " WHERE attrelid = indrelid AND attnum = ANY((indkey::int2[])[0:indnkeyatts - 1]))"
    " FROM pg_index JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = relnamespace"
    f" WHERE indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL AND {_ours('n')}"
)
_CHILDREN = text(
    f"SELECT {_name('p', 'np')}, {_name('c', 'n')} FROM pg_inherits"  # noqa: S608
    " JOIN pg_class c ON c.oid = inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_class p ON p.oid = inhparent JOIN pg_namespace np ON np.oid = p.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'f')"
)
_DEFAULTS = text(
    f"SELECT {_name('p', 'np')}, {_name('c', 'n')} FROM pg_partitioned_table"  # noqa: S608
    " JOIN pg_class c ON c.oid = partdefid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_class p ON p.oid = partrelid JOIN pg_namespace np ON np.oid = p.relnamespace"
)
# A column in an index's expression or condition is one that the index depends on.
_INDEXED = text(
    f"SELECT {_name('c', 'n')}, attname FROM pg_index"  # noqa: S608
    " JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_attribute ON attrelid = indrelid AND (attnum = ANY(indkey) OR EXISTS (SELECT FROM pg_depend"
    " WHERE classid = 'pg_class'::regclass AND objid = indexrelid AND refobjid = indrelid AND refobjsubid = attnum))"
    f" WHERE c.relkind = 'p' AND attnum > 0 AND {_ours('n')}"
)
_READS = text(
    f"SELECT DISTINCT {_name('v', 'nv')}, {_name('c', 'n')} FROM pg_rewrite"  # noqa: S608
    " JOIN pg_depend ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid"
    " AND refclassid = 'pg_class'::regclass AND refobjid <> ev_class"
    " JOIN pg_class v ON v.oid = ev_class JOIN pg_namespace nv ON nv.oid = v.relnamespace"
    " JOIN pg_class c ON c.oid = refobjid JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE v.relkind IN ('v', 'm') AND {_ours('nv')}"
)
_OF_KIND = text(
    f"SELECT {_name('c', 'n')} FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"  # noqa: S608
    f" WHERE relkind::text = :kind AND {_ours('n')}"
)
_STATISTICS = text(
    f"SELECT {_name('s', 'ns', 'stxname')}, {_name('c', 'n')} FROM pg_statistic_ext s"  # noqa: S608
    " JOIN pg_namespace ns ON ns.oid = stxnamespace"
    " JOIN pg_class c ON c.oid = stxrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
)
_DOMAINS = text(
    f"SELECT {_name('t', 'n', 'typname')},"  # noqa: S608
    " typnotnull OR EXISTS (SELECT FROM pg_constraint WHERE contypid = t.oid)"
    f" FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype = 'd' AND {_ours('n')}"
)
_FUNCTIONS = text(
    f"SELECT {_name('f', 'n', 'proname')}, bool_or(provolatile = 'v')"  # noqa: S608
    f" FROM pg_proc f JOIN pg_namespace n ON n.oid = pronamespace WHERE {_ours('n')} GROUP BY 1"
)


def read_schema(connection: Connection) -> Schema:
    """The schema of the database behind `connection`: all schemas but Postgres's own."""
    columns: dict[str, dict[str, str]] = {table: {} for (table,) in connection.execute(_EMPTY)}
    not_null = set()
    for table, column, kind, is_not_null in connection.execute(_COLUMNS):
        columns[table][column] = kind
        if is_not_null:
            not_null.add((table, column))
    checks = connection.execute(_CHECKS).all()
    return Schema(
        is_known=True,
        columns=columns,
        indexes=dict(_pairs(connection, _INDEXES)),
        foreign_keys=tuple(
            ForeignKey(name, table, tuple(own), referred, tuple(others), changes, is_enforced, is_part)
            for name, table, referred, changes, own, others, is_enforced, is_part in connection.execute(_FOREIGN_KEYS)
        ),
        checked={(table, column) for table, _, column, kind, is_valid, _ in checks if is_valid and kind == "c"},
        not_null=not_null,
        proofs={(table, name): column for table, name, column, _, is_valid, proves in checks if proves and is_valid},
        unproven={
            (table, name): column for table, name, column, _, is_valid, proves in checks if proves and not is_valid
        },
        keys=_keys(connection),
        children=_grouped(connection, _CHILDREN),
        reads=_grouped(connection, _READS),
        partitioned=set(connection.scalars(_OF_KIND, {"kind": "p"})),
        defaults=dict(_pairs(connection, _DEFAULTS)),
        indexed=set(_pairs(connection, _INDEXED)),
        materialized=set(connection.scalars(_OF_KIND, {"kind": "m"})),
        statistics=dict(_pairs(connection, _STATISTICS)),
        domains=dict(_pairs(connection, _DOMAINS)),
        functions=dict(_pairs(connection, _FUNCTIONS)),
    )


def _pairs(connection: Connection, query: Any) -> list[tuple[str, Any]]:
    return [(row[0], row[1]) for row in connection.execute(query)]


def _keys(connection: Connection) -> dict[str, frozenset[frozenset[str]]]:
    found: defaultdict[str, set[frozenset[str]]] = defaultdict(set)
    for table, columns in _pairs(connection, _KEYS):
        found[table].add(frozenset(columns))
    return {table: frozenset(keys) for table, keys in found.items()}


def _grouped(connection: Connection, query: Any) -> dict[str, tuple[str, ...]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, other in _pairs(connection, query):
        found[name].append(other)
    return {name: tuple(others) for name, others in found.items()}
