# shellcheck shell=sh
# What the steps of deploy/release mean for the stack of docker-compose.replicas.yml: two replicas of the api behind a
# proxy, which sends all requests to one while the other is replaced. To be sourced there.

REPLICAS="api api-2"
READY_SECONDS=${READY_SECONDS:-120} # for a new replica, from its start

if [ -z "${COMPOSE_FILE:-}" ] && ! grep -qs '^COMPOSE_FILE=' .env; then
    export COMPOSE_FILE=docker-compose.yml:docker-compose.replicas.yml
fi

SERVER="the Docker engine"
answers() { docker version >/dev/null 2>&1; }

# prepare: refuses to begin where the stack is not up, or the release's images can't be had
prepare() {
    read_config
    PROJECT=$(echo "$CONFIG" | sed -n 's/^name: //p')
    [ -n "$PROJECT" ] || refuse "the Compose files can't be read"
    [ -n "$(docker compose ps --quiet --status running proxy)" ] ||
        refuse "the stack is not up: docker compose up --detach --wait starts it, once"
    for service in migrator $REPLICAS; do
        docker image inspect "$(image_of "$service")" >/dev/null 2>&1 || docker compose pull --quiet "$service" >&2 ||
            refuse "there is no image $(image_of "$service"): build it here, or push it to the registry"
    done
}

# migrator PHASE COMMAND...
migrator() {
    phase=$1
    shift
    # Without what it depends on: a db whose settings have changed would be replaced, even by a dry run.
    docker compose run --rm --no-deps --no-TTY --env "MIGRATOR_PHASE=$phase" migrator "$@" </dev/null
}

# replicas: a line for each, with its release and whether it is ready
replicas() {
    for replica in $REPLICAS; do
        echo "  $replica: $(release_in "$(container "$replica")"), $(health "$replica")"
    done
}

# roll_out: fails if a replica is not ready in time; then the other one serves
roll_out() {
    for replica in $(least_missed_first); do # the way back leads to what is ready, if anything is
        used=$(image_in "$replica")
        [ -z "$used" ] || is_of "$(image_of api)" "$replica" || docker image tag "$used" "$(before)" || return 1
    done
    replace_by "$(image_of api)"
}

# take_back: puts the release of before in the place of this one
take_back() {
    previous=$(release_in "$(before)")
    [ -n "$previous" ] || return 1
    export RELEASE="$previous"
    read_config
    docker image tag "$(before)" "$(image_of api)" || return 1 # another may have been built under the same name since
    [ "$READY_SECONDS" -ge 120 ] || READY_SECONDS=120          # it was ready once, and there is nothing else to go back to
    replace_by "$(before)" && keep
}

# keep: from now on there is no way back to the release of before; the migrator's exporter, if it runs, is of this one
keep() {
    docker image rm --no-prune "$(before)" >/dev/null 2>&1 || true
    [ -z "$(containers exporter --filter status=running)" ] || docker compose up --detach --no-deps --no-build exporter >&2 ||
        say "the exporter is still of the release of before"
}

# replace_by IMAGE: replaces the replicas that are of another image, or not ready, while others serve
replace_by() {
    for replica in $(least_missed_first); do
        is_ready "$replica" && is_of "$1" "$replica" && continue
        # What a killed one has created, but not started, has the name that Compose would use.
        containers "$replica" --filter status=created | while read -r _ unused; do docker rm "$unused" >/dev/null; done
        if ! docker compose up --detach --no-deps "$replica" >&2 || ! gets_ready "$replica"; then
            docker compose logs --no-log-prefix --no-color --tail 20 "$replica" >&2 # which goes with the container
            return 1
        fi
        # Before another one is stopped, the proxy has to see that this one is ready, too.
        for other in $REPLICAS; do
            is_ready "$other" || continue 2
        done
        docker compose exec --no-TTY proxy curl --silent --show-error --fail --output /dev/null \
            --retry 60 --retry-delay 1 --retry-all-errors http://127.0.0.1:8404/all || return 1
    done
}

# least_missed_first: those that don't run, then those that are not ready, which may serve all the same
least_missed_first() {
    for replica in $REPLICAS; do
        case $(health "$replica") in
            healthy) echo "3 $replica" ;;
            starting | unhealthy) echo "2 $replica" ;;
            *) echo "1 $replica" ;;
        esac
    done | sort | cut -d ' ' -f 2
}

# gets_ready REPLICA: in time; Compose would not wait for one that is not healthy at the moment
gets_ready() {
    deadline=$(($(date +%s) + READY_SECONDS))
    new=$(container "$1")
    until [ "$(health_of "$new")" = healthy ]; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 1
    done
}

is_ready() { [ "$(health "$1")" = healthy ]; }

is_of() { [ "$(image_in "$2")" = "$(docker image inspect --format '{{.Id}}' "$1" 2>/dev/null)" ]; }

health() { health_of "$(container "$1")"; }

# health_of CONTAINER
health_of() {
    docker inspect --format '{{if .State.Running}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$1" 2>/dev/null ||
        echo "not there"
}

# containers SERVICE FILTER...: the state and the id of each
containers() {
    service=$1
    shift
    docker ps --all --no-trunc --filter "label=com.docker.compose.project=$PROJECT" \
        --filter "label=com.docker.compose.service=$service" --filter label=com.docker.compose.oneoff=False "$@" \
        --format '{{.State}} {{.ID}}'
}

# container SERVICE: the one that runs, if one does
container() { containers "$1" | sort -r | awk '{print $2; exit}'; }

image_in() { docker inspect --format '{{.Image}}' "$(container "$1")" 2>/dev/null; }

# release_in IMAGE_OR_CONTAINER
release_in() {
    docker inspect --format '{{index .Config.Labels "org.opencontainers.image.version"}}' "$1" 2>/dev/null || true
}

# read_config: what Compose makes of its files in this release; it takes a while each time. Nothing, if it can't read them
read_config() { CONFIG=$(docker compose config) || CONFIG=; }

# image_of SERVICE: the name of its image, in this release
image_of() {
    echo "$CONFIG" | awk -v service="  $1:" '$0 == service {found = 1} found && $1 == "image:" {print $2; exit}'
}

# The image of the release of before, kept by name until the roll out has succeeded: it outlives a kill of this command.
before() {
    name=$(image_of api)
    echo "${name%:*}:before"
}
