"""The API of Kubernetes, as far as `kubectl` needs it for deploy/release, in front of the objects of cluster.py."""

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.processes.cluster import Cluster, Object, merged

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


class Handler(BaseHTTPRequestHandler):
    """The API of `cluster`, which may be exchanged for another one, at `url`."""

    cluster: Cluster
    url: str
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

    def refuse(self, status: int, reason: str, cause: str = "") -> None:
        answer = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status}
        self.answer({**answer, "details": {"causes": [{"message": cause}] if cause else []}}, status)

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path.strip("/"), parse_qs(urlsplit(self.path).query)
        if (found := discovery(path)) is not None:
            self.answer(found)
        elif path.endswith("/log"):
            self.answer(self.cluster.logs[query["container"][0]])
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
        if item["kind"] == "Job" and item["spec"]["template"] != self.cluster.objects[path]["spec"]["template"]:
            self.refuse(422, "Invalid", "field is immutable")
            return
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
def running() -> Iterator[type[Handler]]:
    """The API of a new cluster, until the block ends."""
    handler: type[Handler] = type("Handler", (Handler,), {"cluster": Cluster({})})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
