#!/bin/sh
# Rolls a release out on the stack of docker-compose.replicas.yml, one replica at a time; meanwhile the proxy sends all
# requests to the other one. It stops if a replica does not get ready: then the other still serves the old release.
set -eu
cd "$(dirname "$0")/.."
export COMPOSE_FILE="${COMPOSE_FILE:-docker-compose.yml:docker-compose.replicas.yml}"

. deploy/build-args.sh
docker compose build migrator api
docker compose run --rm --no-TTY --env MIGRATOR_PHASE=expand migrator
for replica in api api-2; do
    docker compose up --detach --no-deps --wait "$replica"
    # The proxy has to see that it is ready, too, before the other one stops.
    docker compose exec --no-TTY proxy curl --silent --show-error --fail --output /dev/null \
        --retry 60 --retry-delay 1 --retry-all-errors http://127.0.0.1:8404/all
done
