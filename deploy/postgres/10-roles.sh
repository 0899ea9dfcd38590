#!/bin/sh
# Creates the roles of the stack, with their rights on the stack's database. Safe to run again.
#
#   zoo_migrator  creates and changes the tables of `public`, and schemas; sees whose sessions are in its way, and
#                 rehearses on databases of its own
#   zoo_api       reads and writes their rows, and nothing else
#   zoo_monitor   sees what Postgres measures; only where MONITOR_DATABASE_PASSWORD is set (docker-compose.observe.yml)
#
# In Compose the db container runs this on an empty data directory. For a managed Postgres, run it by hand, as an
# administrator with CREATEROLE, best the database's owner. What this one may not do is left out, and said with what it
# costs; without what is needed, nothing is changed.
#   PGHOST=... PGPASSWORD=... POSTGRES_USER=postgres POSTGRES_DB=zoo \
#   DATABASE_PASSWORD=... MIGRATION_DATABASE_PASSWORD=... deploy/postgres/10-roles.sh
# A password may also come from a file: DATABASE_PASSWORD_FILE, MIGRATION_DATABASE_PASSWORD_FILE. It needs secrets.sh beside
# it. With KEEP_ROLES=yes, roles that are there stay as they are, and only get their rights on the database.
set -eu

. "$(dirname "$(readlink -f "$0")")/secrets.sh"
read_secret DATABASE_PASSWORD
read_secret MIGRATION_DATABASE_PASSWORD
: "${DATABASE_PASSWORD:?set DATABASE_PASSWORD, or DATABASE_PASSWORD_FILE}"
: "${MIGRATION_DATABASE_PASSWORD:?set MIGRATION_DATABASE_PASSWORD, or MIGRATION_DATABASE_PASSWORD_FILE}"
# Passed by environment, because every user of the machine could read arguments.
export DATABASE_PASSWORD MIGRATION_DATABASE_PASSWORD
export KEEP_ROLES="${KEEP_ROLES:-no}"

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\getenv api_password DATABASE_PASSWORD
\getenv migrator_password MIGRATION_DATABASE_PASSWORD
\getenv keep_roles KEEP_ROLES

\set SHOW_CONTEXT never

BEGIN;
SELECT set_config('zoo.api_password', :'api_password', true) AS api_password,
    set_config('zoo.migrator_password', :'migrator_password', true) AS migrator_password,
    set_config('zoo.keep_roles', :'keep_roles', true) AS keep_roles \gset
DO $roles$
DECLARE
    here CONSTANT text := quote_ident(current_database());
    -- What Postgres allows everybody: to hold any lock of this kind, such as that of migrations, and to create large
    -- objects. The api needs neither.
    of_all CONSTANT text := $$FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
        AND proname ~ '^(pg_(try_)?advisory_(xact_)?lock|lo_(creat|create|from_bytea)$)'$$;
    shares CONSTANT text := $$(SELECT count(*) = 5 FROM pg_default_acl, aclexplode(defaclacl)
        WHERE defaclrole = to_regrole('zoo_migrator') AND defaclnamespace = 'public'::regnamespace
        AND grantee = to_regrole('zoo_api') AND (defaclobjtype, privilege_type) IN
            (('r', 'SELECT'), ('r', 'INSERT'), ('r', 'UPDATE'), ('r', 'DELETE'), ('S', 'USAGE')))$$;
    share CONSTANT text :=
        'ALTER DEFAULT PRIVILEGES FOR ROLE zoo_migrator IN SCHEMA public '
        'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO zoo_api; '
        'ALTER DEFAULT PRIVILEGES FOR ROLE zoo_migrator IN SCHEMA public GRANT USAGE ON SEQUENCES TO zoo_api';
    kept CONSTANT boolean := current_setting('zoo.keep_roles') = 'yes'
        AND to_regrole('zoo_migrator') IS NOT NULL AND to_regrole('zoo_api') IS NOT NULL;
    is_16 CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
    functions text;
    step record;
    is_so boolean;
    reason text;
BEGIN
    EXECUTE $$SELECT string_agg(oid::regprocedure::text, ', ') $$ || of_all INTO functions;
    FOR step IN
        -- Whether the stack can't do without it; how to see whether it is so already (null: not at all); what makes it
        -- so; and what is the matter if it is not so (null: the next step is another way).
        SELECT * FROM (VALUES
        (true, $$to_regrole('zoo_migrator') IS NOT NULL$$, 'CREATE ROLE zoo_migrator', 'there is no role zoo_migrator'),
        (true, $$to_regrole('zoo_api') IS NOT NULL$$, 'CREATE ROLE zoo_api', 'there is no role zoo_api'),
        (false, NULL, format('ALTER ROLE zoo_migrator LOGIN PASSWORD %L', current_setting('zoo.migrator_password')),
            'zoo_migrator keeps its password: only a role with ADMIN OPTION on it can change that'),
        (false, NULL, format('ALTER ROLE zoo_api LOGIN PASSWORD %L', current_setting('zoo.api_password')),
            'zoo_api keeps its password: only a role with ADMIN OPTION on it can change that'),

        -- To say who is in the way of a migration, the migrator has to see the sessions of others.
        (false, $$pg_has_role('zoo_migrator', 'pg_read_all_stats', 'USAGE')$$,
            'GRANT pg_read_all_stats TO zoo_migrator',
            'of sessions of other roles that are in the way of a migration, only the name is known, not what they do'),
        (false, $$pg_has_role('zoo_migrator', 'pg_read_all_stats', 'USAGE')
            OR pg_has_role('zoo_migrator', 'zoo_api', 'USAGE')$$, 'GRANT zoo_api TO zoo_migrator',
            'this is so for the sessions of zoo_api, too'),
        -- To rehearse, it creates a database beside this one, and drops it again.
        (false, $$(SELECT rolcreatedb FROM pg_roles WHERE rolname = 'zoo_migrator')$$,
            'ALTER ROLE zoo_migrator CREATEDB',
            'migrations can not be rehearsed, because a rehearsal creates a database'),

        -- PUBLIC may neither connect nor create temporary tables.
        (false, $$NOT has_database_privilege('public', current_database(), 'CONNECT, TEMPORARY')$$,
            'REVOKE ALL ON DATABASE ' || here || ' FROM PUBLIC',
            'every role may connect to this database, and create temporary tables in it'),
        (true, $$has_database_privilege('zoo_migrator', current_database(), 'CONNECT')
            AND has_database_privilege('zoo_api', current_database(), 'CONNECT')$$,
            'GRANT CONNECT ON DATABASE ' || here || ' TO zoo_migrator, zoo_api', 'the roles may not connect'),
        -- REFRESH MATERIALIZED VIEW CONCURRENTLY needs a temporary table.
        (false, $$has_database_privilege('zoo_migrator', current_database(), 'TEMPORARY')$$,
            'GRANT TEMPORARY ON DATABASE ' || here || ' TO zoo_migrator',
            'migrations can not refresh a materialized view CONCURRENTLY'),
        -- Models may have schemas of their own, and extensions that Postgres trusts.
        (false, $$has_database_privilege('zoo_migrator', current_database(), 'CREATE')$$,
            'GRANT CREATE ON DATABASE ' || here || ' TO zoo_migrator',
            'migrations can create neither schemas nor extensions'),
        (false, $$NOT has_schema_privilege('public', 'public', 'USAGE, CREATE')$$,
            'REVOKE ALL ON SCHEMA public FROM PUBLIC', 'every role that may connect may also use the schema public'),
        (true, $$has_schema_privilege('zoo_migrator', 'public', 'USAGE')
            AND has_schema_privilege('zoo_migrator', 'public', 'CREATE')$$,
            'GRANT USAGE, CREATE ON SCHEMA public TO zoo_migrator', 'zoo_migrator may not create tables'),
        (true, $$has_schema_privilege('zoo_api', 'public', 'USAGE')$$, 'GRANT USAGE ON SCHEMA public TO zoo_api',
            'zoo_api may not use tables'),

        -- Only members of the role can set its default privileges; the admin of a managed Postgres is no superuser.
        (false, format('pg_has_role(current_user, ''zoo_migrator'', %L)', CASE WHEN is_16 THEN 'SET' ELSE 'MEMBER' END),
            'GRANT zoo_migrator TO CURRENT_USER', NULL),
        (false, shares, 'SET LOCAL ROLE zoo_migrator; ' || share || '; RESET ROLE', NULL),  -- if the admin is NOINHERIT
        (true, shares, share, 'zoo_api may not use the tables that zoo_migrator creates'),

        (false, 'bool_and(NOT has_function_privilege(''zoo_api'', oid, ''EXECUTE'')) ' || of_all,
            format('REVOKE EXECUTE ON FUNCTION %1$s FROM PUBLIC; GRANT EXECUTE ON FUNCTION %1$s TO zoo_migrator',
                functions),
            'zoo_api can hold the lock of migrations, which then wait for it, and create large objects'),
        (false, $$NOT has_database_privilege('public', 'template1', 'CONNECT, TEMPORARY')$$,
            'REVOKE ALL ON DATABASE template1 FROM PUBLIC', NULL),
        (false, $$NOT has_database_privilege('public', 'postgres', 'TEMPORARY')$$,
            'REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC', NULL),
        (false, $$NOT EXISTS (SELECT FROM pg_database
            WHERE datallowconn AND has_database_privilege('zoo_api', oid, 'TEMPORARY'))$$,
            'SELECT', 'zoo_api may create temporary tables in other databases of this server')
        ) AS rights (needed, holds, does, missing)
        UNION ALL
        SELECT false, format('EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = 0 AND setrole = to_regrole(%L)
                AND %L = ANY (setconfig))', 'zoo_api', name || '=' || value),
            format('ALTER ROLE zoo_api SET %I = %L', name, value), 'sessions of zoo_api are without ' || name
        FROM (VALUES
            -- Neither a runaway query nor a transaction that was left open can hold the api's pool.
            ('statement_timeout', '3s'),
            -- Nor can a statement that only waits for a record that another one is changing.
            ('lock_timeout', '2s'),
            ('idle_in_transaction_session_timeout', '30s'),
            -- The driver would turn it off around its own queries and on again, behind a pooler for other sessions.
            ('jit', 'off'),
            -- Not transaction_timeout (Postgres 17 and later): an import is one transaction, however long it takes.
            -- An api whose machine is gone, so that its kernel confirms no packets, does not keep its locks. (For a
            -- server that is gone, see api/database/engine.py.)
            ('tcp_keepalives_idle', '2s'),
            ('tcp_keepalives_interval', '1s'),
            ('tcp_user_timeout', '5s'),
            -- What the api sets itself when it connects, but a pooler may not let it.
            ('default_transaction_isolation', 'read committed')
        ) AS settings (name, value)
    LOOP
        is_so := false;
        IF step.holds IS NOT NULL THEN
            EXECUTE 'SELECT ' || step.holds INTO is_so;
        END IF;
        CONTINUE WHEN is_so OR (kept AND step.does LIKE 'ALTER ROLE %');
        reason := NULL;
        BEGIN
            SET LOCAL client_min_messages = error;  -- "no privileges were granted" is said better below
            EXECUTE step.does;
        EXCEPTION
            WHEN insufficient_privilege THEN reason := SQLERRM;
            WHEN OTHERS THEN RAISE EXCEPTION '%', SQLERRM;  -- without the statement, which may have a password in it
        END;
        SET LOCAL client_min_messages = notice;
        is_so := reason IS NULL;
        IF step.holds IS NOT NULL THEN
            EXECUTE 'SELECT ' || step.holds INTO is_so;
        END IF;
        IF NOT is_so AND step.needed THEN
            RAISE EXCEPTION '%, so nothing was changed', step.missing
                USING DETAIL = coalesce(reason, 'Only its owner can change that.'),
                    HINT = 'Have this run by who may: ' || step.does;
        ELSIF NOT is_so AND step.missing IS NOT NULL THEN
            RAISE WARNING '%', step.missing USING DETAIL = coalesce(reason, 'Only its owner can change that.');
        END IF;
    END LOOP;
END
$roles$;
COMMIT;
SQL

# For postgres_exporter: who sees what Postgres measures, and no rows.
read_secret MONITOR_DATABASE_PASSWORD
export MONITOR_DATABASE_PASSWORD="${MONITOR_DATABASE_PASSWORD:-}"
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\getenv password MONITOR_DATABASE_PASSWORD
\getenv keep_roles KEEP_ROLES
SELECT :'password' <> '' AND (to_regrole('zoo_monitor') IS NULL OR :'keep_roles' <> 'yes') AS is_set \gset
\if :is_set
SELECT 'CREATE ROLE zoo_monitor' WHERE to_regrole('zoo_monitor') IS NULL \gexec
ALTER ROLE zoo_monitor LOGIN PASSWORD :'password';
-- A table that somebody has locked is left out, after a second; otherwise nothing is measured until it is free, and the
-- database passes for one that does not answer.
ALTER ROLE zoo_monitor SET lock_timeout = '1s';
GRANT pg_monitor TO zoo_monitor;
\endif
SELECT format('GRANT CONNECT ON DATABASE %I TO zoo_monitor', current_database())
FROM pg_roles WHERE rolname = 'zoo_monitor' AND NOT has_database_privilege(oid, current_database(), 'CONNECT') \gexec
SQL

# In Compose, where the superuser's password may also have been changed.
if [ -z "${PGHOST:-}" ] && [ "$KEEP_ROLES" = no ]; then
    read_secret POSTGRES_PASSWORD
    if [ -n "${POSTGRES_PASSWORD:-}" ]; then
        export POSTGRES_PASSWORD
        psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\getenv password POSTGRES_PASSWORD
ALTER ROLE CURRENT_USER PASSWORD :'password';
SQL
    fi
fi
