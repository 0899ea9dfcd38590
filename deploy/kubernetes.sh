# shellcheck shell=sh
# What the steps of deploy/release mean for an overlay of deploy/kubernetes, which names the release. To be sourced there.

OVERLAY=${OVERLAY:-deploy/kubernetes/overlays/production}
READY_SECONDS=${READY_SECONDS:-120} # for a new pod, from its start

# prepare: refuses to begin where the overlay names another release, or the api is not there
prepare() {
    kubectl get --raw /version >/dev/null 2>&1 || { say "the cluster does not answer"; exit 4; }
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
            remove_failed
            kubectl apply -k "$OVERLAY" -l app.kubernetes.io/component=migrator >&2 || return 4
            ;;
        "contract alembic")
            name=zoo-contract-$RELEASE
            remove_failed
            kubectl apply -k "$OVERLAY" -l app.kubernetes.io/component=contract >&2 || return 4
            k patch job "$name" --patch '{"spec": {"suspend": false}}' >&2 || return 4
            ;;
        *)
            name=zoo-migrator-command-$RELEASE
            phase=$1
            shift
            k delete job "$name" --ignore-not-found >&2 || return 4
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
    until [ -n "$(ended)" ]; do sleep 1; done
    said=$(k logs -l "job-name=$name" -c migrator --tail=-1 2>&1)
    say "$said"
    case $said in *"a pooler needs RECONNECT"*) reconnect ;; esac
    [ "$(ended)" != Complete ] || return 0
    code=$(k get pod -l "job-name=$name" --sort-by=.metadata.creationTimestamp \
        -o 'jsonpath={range .items[*]}{.status.containerStatuses[?(@.name=="migrator")].state.terminated.exitCode}{"\n"}{end}' |
        tail -n 1)
    return "${code:-4}"
}

# ended: how the Job has ended, Complete or Failed; nothing until then
ended() {
    k get job "$name" -o 'jsonpath={range .status.conditions[?(@.status=="True")]}{.type}{"\n"}{end}' |
        grep -xE 'Complete|Failed' || true
}

remove_failed() { [ "$(ended 2>/dev/null)" != Failed ] || k delete job "$name" >&2; }

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

# roll_out: fails if a pod is not ready in time; then those of before serve
roll_out() { kubectl apply -k "$OVERLAY" >&2 && is_rolled_out; }

# take_back: puts the release of before in the place of this one
take_back() {
    is_of_this_release && [ "$(deployed '{.metadata.annotations.zoo/kept}')" != "$RELEASE" ] || return 1
    k rollout undo deployment/zoo-api >&2 && is_rolled_out && ! is_of_this_release
}

# keep: from now on there is no way back to the release of before
keep() { k annotate deployment zoo-api "zoo/kept=$RELEASE" --overwrite >&2; }

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
