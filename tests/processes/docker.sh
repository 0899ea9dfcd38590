#!/bin/bash
# Stands in for Docker: what deploy/backup has Compose's services do is done here, on the embedded Postgres and storage.
# CHECKOUT is where the modules are.
set -euo pipefail
case $* in
"compose up --detach --no-deps --no-recreate db") exit ;;
"compose exec --no-TTY db sha256sum") exec sha256sum ;;
"compose exec --no-TTY db /opt/zoo/backup.sh hold") exec "$CHECKOUT/deploy/postgres/backup.sh" hold ;;
"compose exec --no-TTY db /opt/zoo/backup.sh "*)
    shift 5
    cat | "$CHECKOUT/deploy/postgres/backup.sh" "$@" | cat # through pipes, which can't be sought in
    exit
    ;;
"compose run --rm --no-deps --no-TTY --env MIGRATION_DATABASE_URL=postgresql://zoo_migrator@db:5432/"*" migrator")
    cd "$CHECKOUT"
    export MIGRATION_DATABASE_URL="postgresql://zoo_migrator@/${7##*/}?host=$PGHOST"
    export "${9?}"
    exec "$PYTHON" -m alembic upgrade head
    ;;
"compose run --rm --no-deps --no-TTY buckets python3 "*)
    shift 7
    cd "$CHECKOUT"
    exec "$PYTHON" "$@"
    ;;
esac
echo "not known: docker $*" >&2
exit 1
