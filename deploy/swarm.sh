# shellcheck shell=sh
# What the steps of deploy/release mean for the stack of deploy/swarm/stack.yml, on a manager of the swarm: Swarm itself
# replaces the replicas, and takes them back if a new one fails. To be sourced there.

STACK=${STACK:-zoo}
READY_SECONDS=${READY_SECONDS:-120} # for a new replica, from its start, and for the migrator's job to start
MIGRATION_SECONDS=${MIGRATION_SECONDS:-21600} # for the job to end; it goes on beyond that

SERVER="the Docker engine"
answers() { docker info >/dev/null 2>&1; }

# prepare: refuses to begin where the stack is not up, or the release's images can't be had
prepare() {
    [ "$(docker info --format '{{.Swarm.ControlAvailable}}')" = true ] || refuse "this node is not a manager of a swarm"
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
    wanted="$RELEASE $phase $*" deadline=$(($(date +%s) + MIGRATION_SECONDS))
    if [ "$(this_run)" != "$wanted" ] && is_at_work; then # an update would kill it
        say "waiting for the migrator, which is at work for another: $(this_run)"
        while is_at_work; do in_time || return 5; done
    fi
    if [ "$(this_run)" != "$wanted" ] || [ -n "$(result "$(run)")" ]; then
        update migrator --image "$(image_of migrator)" --env-add "MIGRATOR_PHASE=$phase" --args "$*" \
            --label-add "release.run=$wanted" --force || return 3
    fi
    shown=0 task='' started=$(date +%s)
    while [ "$(this_run)" = "$wanted" ]; do
        task=$(run)
        found=$(result "$task")
        if [ -n "$task" ]; then
            # With --follow it would not end with the task; and without, it can hang.
            lines=$(timeout 10 docker service logs --raw "$task" 2>&1 | tail -n "+$((shown + 1))")
            if [ -n "$lines" ]; then
                say "$lines"
                shown=$((shown + $(printf '%s\n' "$lines" | wc -l)))
            fi
        fi
        case $found in
            "complete "*) return 0 ;;
            "failed "[1-9]*) return "${found#failed }" ;;
            ?*)
                say "the migrator did not run: $(said)"
                return 3
                ;;
        esac
        if [ "$(($(date +%s) - started))" -gt "$READY_SECONDS" ] && ! is_at_work && [ -z "$(result "$(run)")" ]; then
            say "the migrator does not start: $(said)"
            return 4
        fi
        in_time || return 5
    done
    answers || { say "$SERVER does not answer"; return 4; }
    say "the migrator's job was removed, or given another run: by docker stack deploy, or on another manager"
    return 5
}

# in_time: waits a little, unless it is too late
in_time() {
    [ "$(date +%s)" -lt "$deadline" ] || { say "the migrator is still at work after $MIGRATION_SECONDS s; it goes on"; return 1; }
    sleep 0.5
}

# this_run: what the job was told to run last, by deploy/release
this_run() { inspect migrator '{{index .Spec.Labels "release.run"}}'; }

# is_at_work: whether the migrator runs, or is about to
is_at_work() {
    case $(docker inspect --type task --format '{{.Status.State}}' "$(run)" 2>/dev/null) in
        preparing | ready | starting | running) ;;
        *) return 1 ;;
    esac
}

# said: what Swarm says about the newest run
said() { docker inspect --type task --format '{{.Status.State}}: {{or .Status.Err .Status.Message}}' "$(run)" 2>/dev/null; }

# run: the task of the migrator's newest run
run() {
    newest=$(inspect migrator '{{.JobStatus.JobIteration.Index}}')
    docker service ps --quiet --no-trunc "${STACK}_migrator" | xargs -r docker inspect --type task \
        --format '{{.JobIteration.Index}} {{.ID}}' | awk -v newest="$newest" '$1 == newest {print $2; exit}'
}

# result TASK: how this run has ended, with its exit code; nothing until then
result() {
    docker inspect --type task --format '{{.Status.State}} {{with .Status.ContainerStatus}}{{.ExitCode}}{{end}}' "$1" \
        2>/dev/null | grep -E '^(complete|failed|rejected|shutdown|orphaned|remove) ' || true
}

# replicas: a line for each, with its release and its state, which is "running" only if it is healthy
replicas() {
    tasks '  {{.Name}} {{.Image}} {{.CurrentState}}' | while read -r name image state _; do
        echo "  ${name#"${STACK}_"}: $(tag "$image"), $(echo "$state" | tr '[:upper:]' '[:lower:]')"
    done
}

# roll_out: fails with 1 if Swarm has taken the api back, or a replica is not ready in time
roll_out() {
    is_settled || gets_ready "$(image_in api)" || true # what a killed deploy/release has begun
    if [ "$(image_in api)" != "$(image_of api)" ]; then
        update api --image "$(image_of api)" || return 3
    fi
    gets_ready "$(image_of api)"
}

# take_back: unless Swarm has done it by itself
take_back() {
    if [ "$(image_in api)" = "$(image_of api)" ]; then
        [ "$(inspect api '{{with .PreviousSpec}}{{.TaskTemplate.ContainerSpec.Image}}{{end}}' | sed 's/@.*//')" != \
            "$(image_of api)" ] || return 1
        docker service rollback --detach "${STACK}_api" >/dev/null || return 1
    fi
    [ "$(image_in api)" != "$(image_of api)" ] || return 1
    RELEASE=$(tag "$(image_in api)")
    gets_ready "$(image_of api)"
}

# keep: from now on there is no way back to the release of before: what Swarm takes the api back to is this one
keep() { update api --label-add "release.kept=$RELEASE" || return 4; }

# gets_ready IMAGE: until as many replicas as there have to be run, all of this image, and Swarm replaces none any more;
# fails if it has to run another one, does not get on for READY_SECONDS, or starts new ones again and again
gets_ready() {
    there=none last=$(($(date +%s) + READY_SECONDS * ($(inspect api '{{.Spec.Mode.Replicated.Replicas}}') + 1)))
    until [ "$(tasks '{{.Image}} {{.CurrentState}}' | awk '{print $1, $2}' | sort | uniq -c | xargs)" = \
        "$(inspect api '{{.Spec.Mode.Replicated.Replicas}}') $1 Running" ] && is_settled; do
        [ "$(image_in api)" = "$1" ] || return 1 # taken back
        now=$(tasks '{{.ID}} {{.CurrentState}}' | awk '{print $1, $2}')
        if [ "$now" != "$there" ]; then
            there=$now
            deadline=$(($(date +%s) + READY_SECONDS))
        fi
        [ "$(date +%s)" -lt "$deadline" ] && [ "$(date +%s)" -lt "$last" ] || return 1
        sleep 1
    done
}

# is_settled: whether Swarm replaces no replica
is_settled() {
    case $(inspect api '{{with .UpdateStatus}}{{.State}}{{end}}') in
        updating | rollback_started) return 1 ;;
    esac
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
