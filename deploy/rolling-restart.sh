#!/bin/sh
# Rolls a release out on the stack of docker-compose.replicas.yml, a replica at a time; the proxy sends all requests to
# the other one meanwhile. It stops where a replica does not get ready: then the other still serves the release before.
set -eu
cd "$(dirname "$0")/.."
export COMPOSE_FILE="${COMPOSE_FILE:-docker-compose.yml:docker-compose.replicas.yml}"

docker compose build migrator api
docker compose run --rm --no-TTY --env MIGRATOR_PHASE=expand migrator
for replica in api api-2; do
    docker compose up --detach --no-deps --wait "$replica"
    # The proxy has to have seen it, too, before the other one goes.
    docker compose exec --no-TTY proxy curl --silent --show-error --fail --output /dev/null \
        --retry 60 --retry-delay 1 --retry-all-errors http://127.0.0.1:8404/all
done
