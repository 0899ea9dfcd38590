# shellcheck shell=sh
# What the steps of deploy/release mean for the stack of deploy/swarm/stack.yml, on a manager of the swarm: Swarm itself
# replaces the replicas, and takes them back if a new one fails. To be sourced there.

STACK=${STACK:-zoo}
READY_SECONDS=${READY_SECONDS:-120} # for a new replica, from its start

# prepare: refuses to begin where the stack is not up, or the release's images can't be had
prepare() {
    is_manager=$(docker info --format '{{.Swarm.ControlAvailable}}' 2>/dev/null) ||
        { say "the Docker engine does not answer"; exit 4; }
    [ "$is_manager" = true ] || refuse "this node is not a manager of a swarm"
    for service in migrator api; do
        [ -n "$(image_in "$service")" ] || refuse "the stack $STACK is not up: docker stack deploy starts it, once"
        docker image inspect "$(image_of "$service")" >/dev/null 2>&1 || docker pull --quiet "$(image_of "$service")" >&2 ||
            refuse "there is no image $(image_of "$service"): build it here, or push it to the registry"
    done
}

# migrator PHASE COMMAND...: runs the job, unless a killed deploy/release has left just that run at work
migrator() {
    phase=$1
    shift
    wanted="$RELEASE $phase $*"
    if [ "$(inspect migrator '{{index .Spec.Labels "zoo.run"}}')" != "$wanted" ] || [ -n "$(result)" ]; then
        update migrator --image "$(image_of migrator)" --env-add "MIGRATOR_PHASE=$phase" --args "$*" \
            --label-add "zoo.run=$wanted" --force || return 3
    fi
    shown=0 task=
    while [ -n "$(image_in migrator)" ]; do # until its end; or that of the stack
        task=$(run)
        found=$(result)
        [ -n "$task" ] || { sleep 0.5; continue; }
        # With --follow it would not end with the task; and without, it can hang.
        lines=$(timeout 10 docker service logs --raw "$task" 2>&1 | tail -n "+$((shown + 1))")
        if [ -n "$lines" ]; then
            say "$lines"
            shown=$((shown + $(printf '%s\n' "$lines" | wc -l)))
        fi
        case $found in
            "complete "*) return 0 ;;
            "failed "[1-9]*) return "${found#failed }" ;;
            ?*) break ;;
        esac
        sleep 0.5
    done
    said=$(docker inspect --type task --format '{{.Status.State}}: {{.Status.Err}}' "$task") ||
        { say "the swarm does not answer"; return 4; }
    say "the migrator did not run: $said"
    return 3
}

# run: the task of the migrator's newest run
run() {
    newest=$(inspect migrator '{{.JobStatus.JobIteration.Index}}')
    docker service ps --quiet --no-trunc "${STACK}_migrator" | xargs -r docker inspect --type task \
        --format '{{.JobIteration.Index}} {{.ID}}' | awk -v newest="$newest" '$1 == newest {print $2; exit}'
}

# result: how that run has ended, with its exit code; nothing until then
result() {
    docker inspect --type task --format '{{.Status.State}} {{with .Status.ContainerStatus}}{{.ExitCode}}{{end}}' "$(run)" \
        2>/dev/null | grep -E '^(complete|failed|rejected|shutdown|orphaned|remove) ' || true
}

# replicas: a line for each, with its release and its state, which is "running" only if it is healthy
replicas() {
    tasks '  {{.Name}} {{.Image}} {{.CurrentState}}' | while read -r name image state _; do
        echo "  ${name#"${STACK}_"}: $(tag "$image"), $(echo "$state" | tr '[:upper:]' '[:lower:]')"
    done
}

# roll_out: fails if Swarm has taken the api back, or a replica is not ready in time
roll_out() {
    settle # what a killed deploy/release has begun
    if [ "$(image_in api)" != "$(image_of api)" ]; then
        update api --image "$(image_of api)" || return 1
        settle || return 1
    fi
    are_ready
}

# take_back: unless Swarm has done it by itself
take_back() {
    if [ "$(image_in api)" = "$(image_of api)" ]; then
        [ "$(inspect api '{{with .PreviousSpec}}{{.TaskTemplate.ContainerSpec.Image}}{{end}}' | sed 's/@.*//')" != \
            "$(image_of api)" ] || return 1
        docker service rollback --detach "${STACK}_api" >/dev/null || return 1
    fi
    settle || return 1
    [ "$(image_in api)" != "$(image_of api)" ] || return 1
    RELEASE=$(tag "$(image_in api)")
    are_ready
}

# keep: from now on there is no way back to the release of before: what Swarm takes the api back to is this one
keep() { update api --label-add "zoo.release=$RELEASE"; }

# settle: until Swarm replaces no replica any more; fails if it does not get on for READY_SECONDS
settle() {
    there=
    while :; do
        case $(inspect api '{{with .UpdateStatus}}{{.State}}{{end}}') in
            updating | rollback_started) ;;
            *) return 0 ;;
        esac
        if [ "$(tasks '{{.ID}}')" != "$there" ]; then
            there=$(tasks '{{.ID}}')
            deadline=$(($(date +%s) + READY_SECONDS))
        fi
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 1
    done
}

# are_ready: as many replicas as there have to be, in time, and all of this release
are_ready() {
    deadline=$(($(date +%s) + READY_SECONDS))
    until [ "$(tasks '{{.Image}} {{.CurrentState}}' | awk '{print $1, $2}' | sort | uniq -c | xargs)" = \
        "$(inspect api '{{.Spec.Mode.Replicated.Replicas}}') $(image_of api) Running" ]; do
        [ "$(image_in api)" = "$(image_of api)" ] || return 1 # taken back
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 1
    done
}

# update SERVICE OPTION...: without waiting
update() {
    service=$1
    shift
    said=$(docker service update --detach --quiet --with-registry-auth "$@" "${STACK}_$service" 2>&1) || { say "$said"; return 1; }
}

inspect() { docker service inspect --format "$2" "${STACK}_$1" 2>/dev/null || true; }

# tasks FORMAT: of the api's that are to run
tasks() { docker service ps --filter desired-state=running --format "$1" "${STACK}_api"; }

# image_in SERVICE: what it is to run, by name and tag
image_in() { inspect "$1" '{{.Spec.TaskTemplate.ContainerSpec.Image}}' | sed 's/@.*//'; }

# image_of SERVICE: the name of its image, in this release
image_of() { image_in "$1" | sed "s/:[^:/]*\$/:$RELEASE/"; }

tag() { echo "${1##*:}"; }
