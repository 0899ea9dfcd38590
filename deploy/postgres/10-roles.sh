#!/bin/sh
# Creates the two roles of the stack, as a superuser, on the stack's database. Safe to run again.
#
#   zoo_migrator  creates and changes the tables of `public`, sees whose sessions are in its way, and rehearses on
#                 databases of its own
#   zoo_api       reads and writes their rows, and nothing else
#
# In Compose the db container runs this on an empty data directory. For a managed Postgres, run it by hand:
#   PGHOST=... PGPASSWORD=... POSTGRES_USER=postgres POSTGRES_DB=zoo \
#   DATABASE_PASSWORD=... MIGRATION_DATABASE_PASSWORD=... deploy/postgres/10-roles.sh
# A password may also come from a file: DATABASE_PASSWORD_FILE, MIGRATION_DATABASE_PASSWORD_FILE.
set -eu

if [ -n "${DATABASE_PASSWORD_FILE:-}" ]; then DATABASE_PASSWORD=$(cat "$DATABASE_PASSWORD_FILE"); fi
if [ -n "${MIGRATION_DATABASE_PASSWORD_FILE:-}" ]; then
    MIGRATION_DATABASE_PASSWORD=$(cat "$MIGRATION_DATABASE_PASSWORD_FILE")
fi
: "${DATABASE_PASSWORD:?set DATABASE_PASSWORD, or DATABASE_PASSWORD_FILE}"
: "${MIGRATION_DATABASE_PASSWORD:?set MIGRATION_DATABASE_PASSWORD, or MIGRATION_DATABASE_PASSWORD_FILE}"
# Passed by environment, because every user of the machine could read arguments.
export DATABASE_PASSWORD MIGRATION_DATABASE_PASSWORD

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\getenv api_password DATABASE_PASSWORD
\getenv migrator_password MIGRATION_DATABASE_PASSWORD

BEGIN;
SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['zoo_migrator', 'zoo_api']) AS name
WHERE to_regrole(name) IS NULL \gexec
ALTER ROLE zoo_migrator LOGIN PASSWORD :'migrator_password';
ALTER ROLE zoo_api LOGIN PASSWORD :'api_password';
-- Neither a runaway query nor a transaction that was left open can hold the api's pool.
ALTER ROLE zoo_api SET statement_timeout = '3s';
-- Nor can a statement that only waits for a record that another one is changing.
ALTER ROLE zoo_api SET lock_timeout = '2s';
ALTER ROLE zoo_api SET idle_in_transaction_session_timeout = '30s';
-- The driver would turn it off around its own queries and on again, behind a pooler for other sessions than its own.
ALTER ROLE zoo_api SET jit = off;
-- Not transaction_timeout (Postgres 17 and later): an import is one transaction, however long it takes.
-- An api whose machine is gone, so that its kernel confirms no packets, does not keep its locks. (For a server that is
-- gone, see api/database/engine.py.)
ALTER ROLE zoo_api SET tcp_keepalives_idle = '2s';
ALTER ROLE zoo_api SET tcp_keepalives_interval = '1s';
ALTER ROLE zoo_api SET tcp_user_timeout = '5s';

-- To say who is in the way of a migration, the migrator has to see the sessions of others.
GRANT pg_read_all_stats TO zoo_migrator;
-- To rehearse, it creates a database beside this one, and drops it again.
ALTER ROLE zoo_migrator CREATEDB;

-- PUBLIC may neither connect nor create temporary tables.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO zoo_migrator, zoo_api', current_database()) \gexec
-- REFRESH MATERIALIZED VIEW CONCURRENTLY needs a temporary table.
SELECT format('GRANT TEMPORARY ON DATABASE %I TO zoo_migrator', current_database()) \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO zoo_migrator;
GRANT USAGE ON SCHEMA public TO zoo_api;

-- Only a member of the role can set its default privileges, and the admin of a managed Postgres is not a superuser.
SELECT 'GRANT zoo_migrator TO CURRENT_USER' FROM pg_roles WHERE rolname = current_user AND NOT rolsuper \gexec
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_migrator IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO zoo_api;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_migrator IN SCHEMA public GRANT USAGE ON SEQUENCES TO zoo_api;
COMMIT;
SQL
