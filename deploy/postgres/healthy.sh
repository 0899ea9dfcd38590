#!/bin/sh
# The health check of the database: it accepts connections, and the stack's roles are there with their rights. What is
# missing, and how to mend it, is its output, and, once, in the container's log.
set -eu
SCRIPTS=$(dirname "$(readlink -f "$0")")
. "$SCRIPTS/secrets.sh"
NOTED=/tmp/missing

read_secret POSTGRES_PASSWORD
export PGPASSWORD="${POSTGRES_PASSWORD:-}" PGCONNECT_TIMEOUT=2
query() {
    psql --no-psqlrc --quiet --tuples-only --no-align --username="$POSTGRES_USER" "$@"
}

# By TCP: while the image initialises the database, it listens on the socket only. It is waited for: for Docker, to start
# this check takes more work than all that it asks.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    if pg_isready --quiet --host=127.0.0.1; then break; fi
    sleep 0.2
done
missing=$(query --host=127.0.0.1 --dbname=postgres --set=database="$POSTGRES_DB" --file="$SCRIPTS/missing.sql" 2>&1) || {
    echo "$missing"
    exit 1
}
noted=$(cat "$NOTED" 2>/dev/null || echo nothing yet)
if [ -z "$missing" ] && [ -n "$noted" ] && [ "${ENVIRONMENT:-local}" = production ]; then
    # By network, where the password counts. A volume keeps the password that it was created with.
    query --host="$(hostname -i)" --dbname=postgres --command='' >/dev/null 2>&1 \
        || missing="the superuser's password is not POSTGRES_PASSWORD"
fi
if [ -n "$missing" ]; then
    said="the database can't be used: $missing
mend it:                  docker compose exec db /docker-entrypoint-initdb.d/10-roles.sh
or, if it has no data yet: docker compose down --volumes, and start it again"
    echo "$said"
    [ "$missing" = "$noted" ] || echo "$said" >/proc/1/fd/2
fi
printf %s "$missing" >"$NOTED"
[ -z "$missing" ]
