"""What `kubectl` needs of a cluster: an API server that keeps objects, and what controllers would make of them.

A stand-in, because no cluster can be had where the tests run: it schedules nothing and validates nothing. A Job ends at
once with the next of `exit_codes`, a Deployment is rolled out at once unless its release is in `broken`.
"""

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

Object = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"
VERSION = "app.kubernetes.io/version"
# The kinds by API, with their names in paths.
KINDS = {
    "v1": {
        "namespaces": "Namespace",
        "configmaps": "ConfigMap",
        "secrets": "Secret",
        "serviceaccounts": "ServiceAccount",
        "services": "Service",
        "pods": "Pod",
    },
    "apps/v1": {"deployments": "Deployment", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet"},
    "batch/v1": {"jobs": "Job"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
}


class Cluster:
    """The objects by their paths, and `calls`, all changes in their order."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.calls: list[str] = []
        self.exit_codes: dict[str, list[int]] = {}  # of Jobs, by how their names begin; 0, where there is none
        self.broken: set[str] = set()
        self.log = "the migrator's log\n"
        self.url = ""

    def change(self, path: str, item: Object) -> Object:
        """Keep an object, and do what its controller would do."""
        meta = item["metadata"]
        meta.setdefault("uid", str(uuid4()))
        meta.setdefault("creationTimestamp", datetime.now(UTC).isoformat(timespec="seconds"))
        meta["resourceVersion"] = str(int(meta.get("resourceVersion", 0)) + 1)
        self.objects[path] = item
        if item["kind"] == "Job" and not item["spec"].get("suspend") and "status" not in item:
            self._run(item)
        if item["kind"] == "Deployment":
            self._roll_out(path, item)
        return item

    def _run(self, job: Object) -> None:
        name = job["metadata"]["name"]
        codes = next((codes for start, codes in self.exit_codes.items() if name.startswith(start)), [])
        code = codes.pop(0) if codes else 0
        job["status"] = {"conditions": [{"type": "Failed" if code else "Complete", "status": "True"}]}
        ended = {"name": "migrator", "state": {"terminated": {"exitCode": code}}}
        container = job["spec"]["template"]["spec"]["containers"][0]
        pod = {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": f"{name}-{uuid4().hex[:5]}", "namespace": "zoo", "labels": {"job-name": name}},
            "spec": job["spec"]["template"]["spec"],
            "status": {"phase": "Succeeded", "containerStatuses": [ended]},
        }
        command = " ".join(container.get("command", ["alembic", "upgrade", "head"]))
        self.calls.append(f"run {name}: {container['env'][0]['value']} {command}")
        self.add_pod(pod)

    def add_pod(self, pod: Object) -> None:
        """Keep a pod of the namespace `zoo`."""
        pod["metadata"]["creationTimestamp"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.objects[f"api/v1/namespaces/zoo/pods/{pod['metadata']['name']}"] = pod

    def _roll_out(self, path: str, deployment: Object) -> None:
        template, meta = deployment["spec"]["template"], deployment["metadata"]
        release = template["metadata"]["labels"][VERSION]
        folder = path.replace("/deployments/zoo-api", "/replicasets")
        sets = {key: item for key, item in self.objects.items() if key.startswith(folder)}
        revisions = [int(item["metadata"]["annotations"][REVISION]) for item in sets.values()]
        newest = max(revisions, default=0)
        place = next((key for key, item in sets.items() if _same(item, template)), f"{folder}/zoo-api-{newest + 1}")
        if place not in sets or sets[place]["metadata"]["annotations"][REVISION] != str(newest):
            self.calls.append(f"roll out {release}")
            owner = {"uid": meta["uid"], "controller": True, "kind": "Deployment", "name": "zoo-api"}
            self.objects[place] = {
                "kind": "ReplicaSet",
                "apiVersion": "apps/v1",
                "metadata": {
                    "name": place.rpartition("/")[2],
                    "uid": str(uuid4()),
                    "namespace": "zoo",
                    "labels": template["metadata"]["labels"],
                    "annotations": {REVISION: str(newest + 1)},
                    "ownerReferences": [{**owner, "apiVersion": "apps/v1"}],
                },
                "spec": {
                    "template": copy.deepcopy(template),
                    "replicas": 2,
                    "selector": deployment["spec"]["selector"],
                },
            }
            meta.setdefault("annotations", {})[REVISION] = str(newest + 1)
        deployment["spec"].setdefault("replicas", 2)
        meta["generation"] = meta.get("generation", 0) + 1
        done = 0 if release in self.broken else 2
        deployment["status"] = {
            "observedGeneration": meta["generation"], "replicas": 2, "updatedReplicas": done, "availableReplicas": 2,
            "conditions": [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}],
        }  # fmt: skip
        if done:
            for number in (1, 2):
                labels = template["metadata"]["labels"]
                meta = {"name": f"zoo-api-{number}", "namespace": "zoo", "labels": labels}
                status = {"conditions": [{"type": "Ready", "status": "True"}]}
                self.add_pod({"kind": "Pod", "apiVersion": "v1", "metadata": meta, "status": status})


def _same(replica_set: Object, template: Object) -> bool:
    return bool(replica_set["spec"]["template"]["spec"] == template["spec"])


def merged(item: Any, patch: Any) -> Any:
    """A strategic merge, as far as it is needed here: lists of things with names are merged by those."""
    if isinstance(item, dict) and isinstance(patch, dict):
        result = dict(item)
        for key, value in patch.items():
            if key.startswith("$"):
                continue
            if value is None:
                result.pop(key, None)
            else:
                result[key] = merged(result.get(key), value)
        return result
    if _have_names(item) and _have_names(patch):
        changes = {one["name"]: one for one in patch}
        known = [merged(one, changes.pop(one["name"], {})) for one in item]
        return known + list(changes.values())
    return patch


def _have_names(things: Any) -> bool:
    return isinstance(things, list) and all(isinstance(thing, dict) and "name" in thing for thing in things)


class Handler(BaseHTTPRequestHandler):
    """The API of a cluster."""

    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def answer(self, content: Any, status: int = 200) -> None:
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, reason: str) -> None:
        self.answer(
            {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status}, status
        )

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path.strip("/"), parse_qs(urlsplit(self.path).query)
        if (found := discovery(path)) is not None:
            self.answer(found)
        elif path.endswith("/log"):
            self.answer(self.cluster.log)
        elif path.endswith("/exec"):
            self.cluster.calls.append(f"in {path.split('/')[-2]}: {' '.join(query['command'])}")
            self.refuse(403, "Forbidden")  # what it does then is a stream
        elif path in self.cluster.objects:
            self.answer(self.cluster.objects[path])
        elif path.rpartition("/")[2] not in {name for kinds in KINDS.values() for name in kinds}:
            self.refuse(404, "NotFound")
        elif "watch" in query and "sendInitialEvents" in query:
            self.refuse(422, "Invalid")  # it lists them, then
        elif "watch" in query:
            self.send_response(200)
            self.end_headers()
            threading.Event().wait(30)
        else:
            kind = next(kinds[name] for kinds in KINDS.values() for name in kinds if path.endswith(f"/{name}"))
            api = path.split("/namespaces")[0].partition("/")[2]
            items = self.listed(path, query)
            metadata = {"resourceVersion": "1"}
            self.answer({"kind": f"{kind}List", "apiVersion": api, "metadata": metadata, "items": items})

    def listed(self, path: str, query: dict[str, list[str]]) -> list[Object]:
        items = [item for key, item in self.cluster.objects.items() if key.rpartition("/")[0] == path]
        for condition in ",".join(query.get("labelSelector", [])).split(","):
            if condition:
                name, _, value = condition.partition("=")
                items = [item for item in items if item["metadata"].get("labels", {}).get(name) == value]
        return items

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def do_POST(self) -> None:
        folder = urlsplit(self.path).path.strip("/")
        if folder.endswith("/exec"):  # because the stream by GET was refused
            self.refuse(403, "Forbidden")
            return
        item = self.body()
        self.answer(self.cluster.change(f"{folder}/{item['metadata']['name']}", item), 201)

    def do_PATCH(self) -> None:
        path, patch = urlsplit(self.path).path.strip("/"), self.body()
        item = copy.deepcopy(self.cluster.objects[path])
        if isinstance(patch, list):
            for step in patch:
                *parents, last = step["path"].strip("/").split("/")
                place = item
                for name in parents:
                    place = place[name]
                place[last] = step["value"]
        else:
            item = merged(item, patch)
        if item["kind"] == "Deployment" and item["spec"] == self.cluster.objects[path]["spec"]:
            self.cluster.objects[path] = item
            self.answer(item)
            return
        self.answer(self.cluster.change(path, item))

    def do_DELETE(self) -> None:
        path, _ = urlsplit(self.path).path.strip("/"), self.body()
        if path not in self.cluster.objects:
            self.refuse(404, "NotFound")
            return
        self.cluster.objects.pop(path)
        self.cluster.calls.append(f"delete {path.rpartition('/')[2]}")
        self.answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})


def discovery(path: str) -> Any:
    """What the API has, if that is asked."""
    groups = [api for api in KINDS if api != "v1"]
    listed = [(api.split("/")[0], {"groupVersion": api, "version": api.split("/")[1]}) for api in groups]
    fixed = {
        "version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
        "api": {"kind": "APIVersions", "versions": ["v1"]},
        "apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [{"name": name, "versions": [version], "preferredVersion": version} for name, version in listed],
        },
        "openapi/v3": {
            "paths": {prefixed(api): {"serverRelativeURL": f"/openapi/v3/{prefixed(api)}"} for api in KINDS}
        },
    }
    if path in fixed:
        return fixed[path]
    for api, kinds in KINDS.items():
        if path == prefixed(api):
            resources = [
                {"name": name, "singularName": "", "namespaced": kind != "Namespace", "kind": kind,
                 "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"]}
                for name, kind in kinds.items()
            ]  # fmt: skip
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api, "resources": resources}
        if path == f"openapi/v3/{prefixed(api)}":
            group, _, version = api.rpartition("/")
            validated = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
            return {
                "openapi": "3.0.0",
                "info": {"title": "Kubernetes", "version": "v1.37.0"},
                "paths": {
                    f"/{prefixed(api)}/{name}/{{name}}": {
                        "patch": {
                            "parameters": validated,
                            "responses": {},
                            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
                        }
                    }
                    for name, kind in kinds.items()
                },
            }
    return None


def prefixed(api: str) -> str:
    return f"api/{api}" if api == "v1" else f"apis/{api}"


@contextmanager
def running() -> Iterator[Cluster]:
    """A new cluster, until the block ends."""
    cluster = Cluster()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"cluster": cluster}))
    server.daemon_threads = True
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
