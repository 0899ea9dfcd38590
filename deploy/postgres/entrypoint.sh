#!/bin/sh
# The entry of the database's image: refuses what production must not start with, then hands over to Postgres's own entry.
set -eu
SCRIPTS=$(dirname "$(readlink -f "$0")")
. "$SCRIPTS/secrets.sh"

# The superuser's; and those that are stored when the database is created.
secrets=POSTGRES_PASSWORD
[ -s "$PGDATA/PG_VERSION" ] || secrets="$secrets DATABASE_PASSWORD MIGRATION_DATABASE_PASSWORD"
[ -z "${MONITOR_DATABASE_PASSWORD:-}" ] || secrets="$secrets MONITOR_DATABASE_PASSWORD"

refused=
for name in $secrets; do
    read_secret "$name"
    [ "${ENVIRONMENT:-local}" = production ] || continue
    reason=$(eval "printf %s \"\${$name:-}\"" | weakness)
    [ -z "$reason" ] || refused="$refused$name $reason
"
done
if [ -n "$refused" ]; then
    printf %s "$refused" >&2
    echo "Before running in production, set them; openssl rand -base64 32 makes one" >&2
    exit 3
fi

exec docker-entrypoint.sh "$@"
