# shellcheck shell=sh
# What the steps of deploy/release mean for an overlay of deploy/kubernetes, which names the release. To be sourced there.

OVERLAY=${OVERLAY:-deploy/kubernetes/overlays/production}
READY_SECONDS=${READY_SECONDS:-120} # for a new pod, from its start, and for a Job's first pod to start
MIGRATION_SECONDS=${MIGRATION_SECONDS:-21600} # for a Job to end; it goes on beyond that

SERVER="the cluster"
answers() { kubectl get --raw /version >/dev/null 2>&1; }

# prepare: refuses to begin where the overlay names another release, or the api is not there
prepare() {
    manifests=$(kubectl kustomize "$OVERLAY") || refuse "the overlay $OVERLAY can't be read"
    [ -n "$(job "zoo-migrator-$RELEASE")" ] ||
        refuse "$OVERLAY is of another release: write release=$RELEASE into its kustomization.yaml"
    namespace=$(printf '%s\n' "$manifests" | awk '$1 == "namespace:" {print $2; exit}')
    [ -n "$(deployed '{.metadata.name}')" ] ||
        refuse "the api is not there: kubectl apply -k $OVERLAY starts it, once"
}

# migrator PHASE COMMAND...: a release's two Jobs are kept; of other commands, only the last one's is
migrator() {
    case "$1 $2" in
        "expand alembic")
            name=zoo-migrator-$RELEASE
            remove_unless_at_work || return 4
            begin migrator || return $?
            ;;
        "contract alembic")
            name=zoo-contract-$RELEASE
            remove_unless_at_work || return 4
            [ -n "$found" ] || begin contract || return $? # applied again, it would be suspended
            k patch job "$name" --patch '{"spec": {"suspend": false}}' >&2 || return 4
            ;;
        *)
            name=zoo-migrator-command-$RELEASE
            phase=$1
            shift
            remove_unless_at_work || return 4
            if [ -n "$found" ]; then # not to be taken away from who waits for it
                say "waiting for $name, which another deploy/release has begun, or one that was killed"
                finish || return $?
                remove || return 4
            fi
            command=$(printf ', "%s"' "$@")
            job "zoo-migrator-$RELEASE" | kubectl patch --local -f - -o yaml --patch '{
                "metadata": {"name": "'"$name"'"},
                "spec": {"template": {"spec": {
                    "initContainers": null,
                    "containers": [{
                        "name": "migrator",
                        "command": ['"${command#, }"'],
                        "env": [{"name": "MIGRATOR_PHASE", "value": "'"$phase"'"}]
                    }]
                }}}
            }' | k create -f - >&2 || return 4
            ;;
    esac
    finish || return $?
    case $said in *"a pooler needs RECONNECT"*) reconnect ;; esac
    case $found in *Complete*) return 0 ;; esac
    code=$(k get pod -l "job-name=$name" --sort-by=.metadata.creationTimestamp \
        -o 'jsonpath={range .items[*]}{.status.containerStatuses[?(@.name=="migrator")].state.terminated.exitCode}{"\n"}{end}' |
        tail -n 1)
    return "${code:-4}"
}

# begin COMPONENT: applies its Job
begin() {
    said=$(kubectl apply -k "$OVERLAY" -l "app.kubernetes.io/component=$1" 2>&1) && { say "$said"; return 0; }
    say "$said"
    case $said in *"field is immutable"*) ;; *) return 4 ;; esac
    say "$name is at work with other settings: wait for it, or delete it, and $again"
    return 3
}

# finish: shows the Job's log until it has ended; `said` has all of it then, and `found` how
finish() {
    shown=0 started='' began=$(date +%s)
    while found=$(state) || found=unknown; do
        said=$(log)
        lines=$(printf '%s\n' "$said" | tail -n "+$((shown + 1))")
        if [ -n "$lines" ]; then
            say "$lines"
            shown=$((shown + $(printf '%s\n' "$lines" | wc -l)))
        fi
        passed=$(($(date +%s) - began))
        case $found in
            *Complete* | *Failed*) return 0 ;;
            "")
                say "somebody has deleted $name"
                return 5
                ;;
        esac
        [ -n "$started" ] || ! has_started || started=yes # for good, though later its pods may be gone
        if [ -z "$started" ] && [ "$passed" -ge "$READY_SECONDS" ]; then
            say "$name does not start: $(reasons)"
            return 4
        elif [ "$passed" -ge "$MIGRATION_SECONDS" ]; then
            say "$name is still at work after $MIGRATION_SECONDS s; it goes on"
            return 5
        fi
        sleep 1
    done
}

# log: of all its pods, of which each but the first is another attempt
log() {
    k get pod -l "job-name=$name" --sort-by=.metadata.creationTimestamp \
        -o 'jsonpath={range .items[*]}{.metadata.name} {.spec.initContainers[?(@.name=="roles")].name} migrator{"\n"}{end}' 2>/dev/null |
        while read -r pod containers; do
            for container in $containers; do
                k logs "$pod" -c "$container" --tail=-1 2>/dev/null </dev/null || true # it may not have started
            done
        done
}

# state: "there", and then what has become of the Job; nothing if there is none
state() {
    k get job "$name" --ignore-not-found \
        -o 'jsonpath=there{"\n"}{range .status.conditions[?(@.status=="True")]}{.type}{"\n"}{end}'
}

# has_started: whether a container of it has
has_started() {
    k get pod -l "job-name=$name" -o 'jsonpath={.items[*].status.containerStatuses[*].state}{.items[*].status.initContainerStatuses[*].state}' \
        2>/dev/null | grep -qE 'running|terminated'
}

# reasons: why its pods don't run, as far as Kubernetes says it
reasons() {
    k get pod -l "job-name=$name" -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase} {.status.containerStatuses[*].state.waiting.reason} {.status.initContainerStatuses[*].state.waiting.reason} {.status.conditions[?(@.status=="False")].message}{end}'
}

# remove: with its pods, so that none of them is taken for one of the next Job of that name
remove() { k delete job "$name" --ignore-not-found --cascade=foreground --timeout "${READY_SECONDS}s" >&2; }

# One that has ended is no proof: a release of before may be below the floor by now, or a schema taken back. `found` has
# the state of one that is left.
remove_unless_at_work() {
    found=$(state) || found=
    case $found in *Complete* | *Failed* | *Suspended*) found='' && remove ;; esac
}

# reconnect: each pod of the pooler, whose admin console can't be reached by network
reconnect() {
    for pod in $(k get pod -l cnpg.io/poolerName=zoo-pooler -o name); do
        k exec "$pod" -c pgbouncer -- psql -c RECONNECT >&2 || say "$pod was not told: it needs RECONNECT"
    done
}

# replicas: a line for each pod, with its release and whether it is ready
replicas() {
    k get pod -l app.kubernetes.io/component=api -o 'jsonpath={range .items[*]}  {.metadata.name}: {.metadata.labels.app\.kubernetes\.io/version}, ready: {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}'
}

# roll_out: fails with 1 if a pod is not ready in time; then those of before serve
roll_out() {
    kubectl apply -k "$OVERLAY" -l app.kubernetes.io/component!=contract >&2 || return 3 # that would be suspended
    is_rolled_out || return 1
}

# take_back: puts the release of before in the place of this one; with its settings, of which it may have had others
take_back() {
    is_of_this_release && [ "$(deployed '{.metadata.annotations.kept-release}')" != "$RELEASE" ] || return 1
    before=$(k get replicaset -l app.kubernetes.io/component=api \
        -o 'jsonpath={range .items[*]}{.metadata.annotations.deployment\.kubernetes\.io/revision} {.metadata.labels.app\.kubernetes\.io/version}{"\n"}{end}' |
        awk -v release="$RELEASE" '$2 != release {print $1}' | sort -n | tail -n 1)
    [ -n "$before" ] || return 1
    k rollout undo deployment/zoo-api --to-revision "$before" >&2 && is_rolled_out && ! is_of_this_release
}

# keep: from now on there is no way back to the release of before
keep() { k annotate deployment zoo-api "kept-release=$RELEASE" --overwrite >&2 || return 4; }

is_rolled_out() {
    k rollout status deployment/zoo-api --timeout "$((READY_SECONDS * $(deployed '{.spec.replicas}')))s" >&2
}

is_of_this_release() {
    [ "$(deployed '{.spec.template.metadata.labels.app\.kubernetes\.io/version}')" = "$RELEASE" ]
}

deployed() { k get deployment zoo-api -o "jsonpath=$1" 2>/dev/null || true; }

# job NAME: its manifest
job() {
    printf '%s\n' "$manifests" | awk -v name="  name: $1" '
        function out() {if (is_job && is_named) printf "%s", text; text = ""; is_job = is_named = 0}
        /^---$/ {out(); next}
        {text = text $0 "\n"}
        $0 == "kind: Job" {is_job = 1}
        $0 == name {is_named = 1}
        END {out()}'
}

k() { kubectl --namespace "$namespace" "$@"; }
