-- What the schemas $1 hold, in the words of Postgres: kind, object, part, definition.
-- Left out: the tables $2 of the tool and of Alembic; partitions, which come and go; what belongs to an extension.
-- Each catalog is read once, however many tables there are.
WITH space AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = ANY ($1::text[])
), relation AS MATERIALIZED (
    SELECT pg_class.oid, nspname || '.' || relname AS name, relkind, relpersistence, relrowsecurity,
        relforcerowsecurity, relreplident, reloptions, reltoastrelid, relacl, relowner
    FROM pg_class JOIN space ON space.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND NOT relispartition AND relname <> ALL ($2::text[])
    AND NOT EXISTS (
        SELECT FROM pg_depend LEFT JOIN pg_class holder ON refclassid = 'pg_class'::regclass AND holder.oid = refobjid
        WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
        AND (deptype = 'e' OR pg_class.relkind = 'S' AND (deptype = 'i' OR deptype = 'a' AND holder.relname = ANY ($2::text[])))
    )
), tables AS (
    SELECT oid, name FROM relation WHERE relkind IN ('r', 'p', 'f')
), attribute AS MATERIALIZED (
    SELECT tables.name, pg_attribute.* FROM tables JOIN pg_attribute ON attrelid = tables.oid
    WHERE attnum > 0 AND NOT attisdropped
), routine AS (
    SELECT pg_proc.*, nspname || '.' || proname || '(' || pg_get_function_identity_arguments(pg_proc.oid) || ')' AS name
    FROM pg_proc JOIN space ON space.oid = pronamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')
), type AS (
    SELECT pg_type.*, nspname || '.' || typname AS name
    FROM pg_type JOIN space ON space.oid = typnamespace LEFT JOIN pg_class ON pg_class.oid = typrelid
    WHERE (typtype IN ('e', 'd', 'r') OR relkind = 'c')
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_type'::regclass AND objid = pg_type.oid AND deptype = 'e')
), owned AS (
    SELECT name, relowner AS owner, relacl AS acl, CASE relkind WHEN 'S' THEN 's' ELSE 'r' END AS class FROM relation
    UNION ALL SELECT name, proowner, proacl, 'f' FROM routine
    UNION ALL SELECT name, typowner, typacl, 'T' FROM type
    UNION ALL SELECT nspname, nspowner, nspacl, 'n' FROM space
), privilege AS (
    SELECT name, '' AS field, coalesce(acl, acldefault(class::"char", owner)) AS acl FROM owned
    UNION ALL SELECT name, attname, attacl FROM attribute WHERE attacl IS NOT NULL
    UNION ALL SELECT coalesce(defaclnamespace::regnamespace::text, ''), 'new '
        || CASE defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
            WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE defaclobjtype::text END
        || ' of ' || pg_get_userbyid(defaclrole), defaclacl
    FROM pg_default_acl WHERE defaclnamespace = 0 OR defaclnamespace IN (SELECT oid FROM space)
)
SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'table' END
        AS kind,
    name AS object, '' AS part,
    CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(relation.oid)
        WHEN relkind = 'S' THEN (
            SELECT format('%s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s', seqtypid::regtype,
                seqincrement, seqmin, seqmax, seqstart, seqcache) || CASE WHEN seqcycle THEN ' CYCLE' ELSE '' END
            FROM pg_sequence WHERE seqrelid = relation.oid
        ) ELSE CASE relpersistence WHEN 'u' THEN 'unlogged ' ELSE '' END
            || CASE relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END
            || coalesce(' partitioned by ' || pg_get_partkeydef(relation.oid), '')
            || coalesce((
                SELECT ' inherits ' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)
                FROM pg_inherits WHERE inhrelid = relation.oid
            ), '')
    END AS definition
FROM relation
UNION ALL
SELECT 'column', name, attname, format_type(atttypid, atttypmod)
    || CASE WHEN attcollation NOT IN (0, typcollation) THEN format(' COLLATE "%s"', collname) ELSE '' END
    || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
FROM attribute JOIN pg_type ON pg_type.oid = atttypid LEFT JOIN pg_collation ON pg_collation.oid = attcollation
UNION ALL
SELECT CASE attgenerated WHEN '' THEN 'default' ELSE 'generated' END, name, attname,
    pg_get_expr(adbin, adrelid) || CASE attgenerated WHEN 's' THEN ' STORED' WHEN 'v' THEN ' VIRTUAL' ELSE '' END
FROM attribute JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
UNION ALL
SELECT 'identity', name, attname, CASE attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END
    || format(' INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s', seqincrement, seqmin, seqmax, seqstart,
        seqcache) || CASE WHEN seqcycle THEN ' CYCLE' ELSE '' END
FROM attribute
JOIN pg_depend ON classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype = 'i'
    AND refobjid = attrelid AND refobjsubid = attnum
JOIN pg_sequence ON seqrelid = objid
WHERE attidentity <> ''
UNION ALL
SELECT 'comment', name, coalesce(attname, ''), description
FROM relation JOIN pg_description ON classoid = 'pg_class'::regclass AND objoid = relation.oid
LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid
UNION ALL
SELECT CASE contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique constraint' WHEN 'f' THEN 'foreign key'
        WHEN 'c' THEN 'check constraint' ELSE 'exclusion constraint' END,
    tables.name, conname, CASE contype WHEN 'f' THEN replace(pg_get_constraintdef(pg_constraint.oid),
        ' REFERENCES ' || confrelid::regclass || '(', format(' REFERENCES %I.%I(', nspname, relname))
        ELSE pg_get_constraintdef(pg_constraint.oid) END
FROM pg_constraint JOIN tables ON tables.oid = conrelid
LEFT JOIN (pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace) ON pg_class.oid = confrelid
WHERE contype IN ('p', 'u', 'f', 'c', 'x') AND conislocal AND conparentid = 0
UNION ALL
SELECT 'index', relation.name, relname, CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END
    || regexp_replace(pg_get_indexdef(indexrelid), '^CREATE .*? USING ', '')
FROM relation JOIN pg_index ON indrelid = relation.oid JOIN pg_class ON pg_class.oid = indexrelid
WHERE indisvalid AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'trigger', name, tgname, pg_get_triggerdef(pg_trigger.oid)
    || CASE tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' (disabled)' ELSE format(' (enabled: %s)', tgenabled) END
FROM relation JOIN pg_trigger ON tgrelid = relation.oid WHERE NOT tgisinternal
UNION ALL
SELECT 'rule', name, rulename, pg_get_ruledef(pg_rewrite.oid)
FROM relation JOIN pg_rewrite ON ev_class = relation.oid WHERE rulename <> '_RETURN'
UNION ALL
SELECT 'policy', name, polname, CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END
    || CASE polcmd WHEN '*' THEN ' FOR ALL' WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT'
        WHEN 'w' THEN ' FOR UPDATE' ELSE ' FOR DELETE' END
    || ' TO ' || array_to_string(ARRAY(
        SELECT coalesce(rolname, 'PUBLIC') FROM unnest(polroles) member LEFT JOIN pg_roles ON pg_roles.oid = member ORDER BY 1
    ), ', ')
    || coalesce(' USING ' || pg_get_expr(polqual, polrelid), '')
    || coalesce(' WITH CHECK ' || pg_get_expr(polwithcheck, polrelid), '')
FROM relation JOIN pg_policy ON polrelid = relation.oid
UNION ALL
SELECT 'row security', name, '', CASE WHEN relforcerowsecurity THEN 'forced' ELSE 'enabled' END
FROM relation WHERE relrowsecurity OR relforcerowsecurity
UNION ALL
SELECT 'replica identity', name, '', CASE relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE 'an index' END
FROM relation WHERE relreplident NOT IN ('d', 'n') OR relreplident = 'n' AND relkind = 'r'
UNION ALL
SELECT 'storage parameters', name, '', array_to_string(relation.reloptions || ARRAY(
        SELECT 'toast.' || option FROM pg_class toast, unnest(toast.reloptions) option
        WHERE toast.oid = relation.reltoastrelid
    ), ', ')
FROM relation LEFT JOIN pg_class toast ON toast.oid = relation.reltoastrelid
WHERE relation.reloptions IS NOT NULL OR toast.reloptions IS NOT NULL
UNION ALL
SELECT 'statistics', nspname || '.' || stxname, '', regexp_replace(pg_get_statisticsobjdef(pg_statistic_ext.oid), '^.*?STATISTICS \S+ ', '')
FROM pg_statistic_ext JOIN space ON space.oid = stxnamespace
UNION ALL
SELECT CASE prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END, name, '',
    CASE prokind WHEN 'a' THEN 'returns ' || prorettype::regtype ELSE pg_get_functiondef(routine.oid) END
FROM routine
UNION ALL
SELECT CASE typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'type' END, name, '',
    CASE typtype WHEN 'e' THEN (
            SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = type.oid
        ) WHEN 'd' THEN format_type(typbasetype, typtypmod) || CASE WHEN typnotnull THEN ' NOT NULL' ELSE '' END
            || coalesce(' DEFAULT ' || typdefault, '') || coalesce((
                SELECT string_agg(format(' CONSTRAINT %I %s', conname, pg_get_constraintdef(pg_constraint.oid)), '' ORDER BY conname)
                FROM pg_constraint WHERE contypid = type.oid AND contype = 'c'
            ), '')
        WHEN 'r' THEN (SELECT 'of ' || rngsubtype::regtype FROM pg_range WHERE rngtypid = type.oid)
        ELSE (
            SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
            FROM pg_attribute WHERE attrelid = typrelid AND NOT attisdropped
        )
    END
FROM type
UNION ALL
SELECT 'schema', nspname, '', '' FROM space
UNION ALL
SELECT 'extension', extname, '', format('%s in %s', extversion, extnamespace::regnamespace) FROM pg_extension
UNION ALL
SELECT 'event trigger', evtname, '', format('on %s: %s%s', evtevent, evtfoid::regproc, CASE evtenabled WHEN 'D' THEN ' (disabled)' ELSE '' END)
FROM pg_event_trigger
UNION ALL
SELECT 'owner', name, '', pg_get_userbyid(owner) FROM owned
UNION ALL
SELECT 'privileges', name, concat_ws(' of ', coalesce(rolname, 'PUBLIC'), nullif(field, '')),
    string_agg(privilege_type || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, ', ' ORDER BY privilege_type)
FROM privilege, aclexplode(acl) LEFT JOIN pg_roles ON pg_roles.oid = grantee
GROUP BY 2, 3
UNION ALL
SELECT 'server', '', '', format('Postgres %s, search_path %s', current_setting('server_version_num')::int / 10000,
    current_schemas(false))
