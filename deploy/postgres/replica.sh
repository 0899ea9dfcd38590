#!/bin/sh
# The entry of a replica (docker-compose.read-replica.yml): at its first start it copies the database of PRIMARY, and then
# it follows that. A copy that was cut off is begun anew. Its roles and their passwords are the primary's.
set -eu
. "$(dirname "$(readlink -f "$0")")/secrets.sh"

read_secret POSTGRES_PASSWORD
export PGPASSWORD="${POSTGRES_PASSWORD:-}"  # also for the process that receives the WAL
primary="host=${PRIMARY:?set PRIMARY, the host of the primary} user=$POSTGRES_USER"

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "$PGDATA.new"
    mkdir -p "$(dirname "$PGDATA")"
    pg_basebackup --dbname="$primary" --pgdata="$PGDATA.new" --checkpoint=fast --no-password
    touch "$PGDATA.new/standby.signal"
    mv "$PGDATA.new" "$PGDATA"
fi
exec postgres -c listen_addresses='*' -c primary_conninfo="$primary"
