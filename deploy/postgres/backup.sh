#!/bin/bash
# The steps of a backup and of a restore that are done beside the database, as its superuser; deploy/backup calls them.
# They know where by PGHOST, POSTGRES_USER and POSTGRES_DB, as 10-roles.sh does:
#
#   ready                   waits until Postgres accepts connections, and opens the stack's database again if it ended while
#                           a restore had closed it
#   hold                    prints `held` once no other restore is at work, and keeps others off until standard input ends
#   release                 prints the release of the api that is at work, or else of the last migrator
#   dump                    writes the dump to standard output
#   saved TIME              remembers that there is a backup of this time, for the api's metrics
#   counts-in-dump          reads a dump to its end, and prints the number of rows of each table that has some
#   counts DATABASE         the same of a database
#   load DATABASE           restores the dump in standard input into this database, which it creates
#   empty DATABASE          fails if it has anything in it
#   swap DATABASE BEFORE    puts this database in the place of the stack's, which is then named BEFORE
#   drop DATABASE           if it is there
set -euo pipefail
export LC_ALL=C PGOPTIONS="--client-min-messages=warning"
LOCK=1793003 # in the database postgres

sql() {
    local database=$1
    shift
    psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" \
        --dbname="$database" "$@"
}

ready() {
    local tries=120
    # By TCP, if no socket is named: while the image initialises the database, it listens on the socket only.
    until pg_isready --quiet --host="${PGHOST:-127.0.0.1}"; do
        ((tries--)) || { echo "Postgres accepts no connections" >&2; return 1; }
        sleep 0.5
    done
    sql postgres --set=live="$POSTGRES_DB" <<SQL
SELECT count(*) FILTER (WHERE pg_try_advisory_lock($LOCK)) > 0 AS was_left FROM pg_database WHERE datname = :'live' AND NOT datallowconn \gset
\if :was_left
ALTER DATABASE :"live" ALLOW_CONNECTIONS true;
\endif
SQL
}

hold() {
    # The lock of one that was killed is given up once the server has noticed.
    sql postgres --command="SET lock_timeout = '5s'" --command="DO 'BEGIN PERFORM pg_advisory_lock($LOCK); END'" \
        --command='\! echo held' --file=-
}

release() {
    local table
    for table in migration_workers:seen_at migration_history:id; do
        sql "$POSTGRES_DB" <<SQL
SELECT to_regclass('public.${table%:*}') IS NOT NULL AS found \gset
\if :found
SELECT release FROM public.${table%:*} WHERE release <> '' ORDER BY ${table#*:} DESC LIMIT 1;
\endif
SQL
    done | head -n 1
}

# Of processes that were at work when it was made, nobody must wait after a restore. A lock that is not to be had is one
# of a migration.
dump() {
    pg_dump --format=custom --lock-wait-timeout=60000 --exclude-table-data=public.migration_workers \
        --username="$POSTGRES_USER" --dbname="$POSTGRES_DB"
}

# A setting of the database goes into no dump: a restored one has no backup yet.
saved() {
    sql postgres --set=live="$POSTGRES_DB" --set=time="$1" <<<"ALTER DATABASE :\"live\" SET backup.saved = :'time'"
}

# Rows of COPY are a line each.
counts-in-dump() {
    pg_restore --data-only --file=- | awk '
        rows && $0 == "\\." { if (rows > 1) print table "\t" rows - 1; rows = 0; next }
        rows { rows++; next }
        /^COPY .* FROM stdin;$/ { table = substr($0, 6); sub(/ (\(.*\))? ?FROM stdin;$/, "", table); rows = 1 }
    ' | sort
}

# Of the tables of an extension, which makes them itself, a dump has those rows only that the extension says.
counts() {
    sql "${1:-$POSTGRES_DB}" --field-separator="$(printf '\t')" <<'SQL' | awk '$NF > 0' | sort
SELECT format('SELECT %L, count(*) FROM ONLY %1$s %2$s', format('%I.%I', nspname, relname), condition)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
LEFT JOIN (SELECT kept.* FROM pg_extension, unnest(extconfig, extcondition) AS kept (relid, condition)) AS kept
    ON relid = pg_class.oid
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema' AND (relid IS NOT NULL OR NOT EXISTS (
    SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')) \gexec
SQL
}

load() {
    drop "$1" # of an interrupted restore
    createdb --username="$POSTGRES_USER" --template=template0 "$1"
    POSTGRES_DB=$1 KEEP_ROLES=yes sh "$(dirname "$(readlink -f "$0")")/10-roles.sh"
    pg_restore --exit-on-error --username="$POSTGRES_USER" --dbname="$1"
    sql "$1" --command='VACUUM (ANALYZE)'
}

empty() {
    local found
    found=$(sql postgres --set=database="${1:-$POSTGRES_DB}" <<'SQL'
SELECT EXISTS (SELECT FROM pg_database WHERE datname = :'database') AS is_there \gset
\if :is_there
\connect :"database"
SELECT nspname FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND (nspname <> 'public'
    OR EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_namespace.oid)
    OR EXISTS (SELECT FROM pg_type WHERE typnamespace = pg_namespace.oid)
    OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = pg_namespace.oid));
\endif
SQL
    )
    [ -z "$found" ]
}

# In one call of the server, which ends it even if its client is killed.
swap() {
    sql postgres --set=live="$POSTGRES_DB" --set=restored="$1" --set=before="$2" <<'SQL'
SELECT set_config('backup.' || name, value, false)
FROM (VALUES ('live', :'live'), ('restored', :'restored'), ('before', :'before')) AS settings (name, value) \g /dev/null
DO $swap$
DECLARE
    live CONSTANT text := current_setting('backup.live');
    restored CONSTANT text := current_setting('backup.restored');
    before CONSTANT text := current_setting('backup.before');
    is_there CONSTANT boolean := EXISTS (SELECT FROM pg_database WHERE datname = live);
    refused text;
BEGIN
    IF is_there THEN -- new sessions are refused before the others are ended
        EXECUTE format('ALTER DATABASE %I ALLOW_CONNECTIONS false', live);
        COMMIT;
    END IF;
    BEGIN
        PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = live;
        IF is_there THEN
            EXECUTE format('ALTER DATABASE %I RENAME TO %I', live, before);
        END IF;
        EXECUTE format('ALTER DATABASE %I RENAME TO %I', restored, live);
    EXCEPTION WHEN OTHERS THEN
        refused := SQLERRM;
    END;
    IF is_there THEN
        EXECUTE format('ALTER DATABASE %I ALLOW_CONNECTIONS true', CASE WHEN refused IS NULL THEN before ELSE live END);
    END IF;
    COMMIT;
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION '%', refused;
    END IF;
END
$swap$;
SQL
}

drop() {
    dropdb --if-exists --force --username="$POSTGRES_USER" "$1"
}

"$@"
