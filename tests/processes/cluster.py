"""What is in a cluster, and what its controllers would make of it; kubernetes_api.py has what `kubectl` speaks to.

A stand-in, because no cluster can be had where the tests run: it schedules nothing and validates nothing. A Job ends at
once with the next of `exit_codes`, unless it is one of `endless`; a Deployment is rolled out at once unless its release
is in `broken`.
"""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

Object = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"
VERSION = "app.kubernetes.io/version"


class Cluster:
    """The objects by their paths, at first a copy of those given, and `calls`, all changes in their order."""

    def __init__(self, objects: Mapping[str, Object]) -> None:
        self.objects: dict[str, Object] = copy.deepcopy(dict(objects))
        self.calls: list[str] = []
        self.exit_codes: dict[str, list[int]] = {}  # of Jobs, by how their names begin; 0, where there is none
        self.endless: dict[str, Object] = {}  # the state of containers, likewise: of Jobs that do not end
        self.broken: set[str] = set()
        self.logs = {"migrator": "the migrator's log\n"}  # by container

    def change(self, path: str, item: Object) -> Object:
        """Keep an object, and do what its controller would do."""
        meta = item["metadata"]
        meta.setdefault("uid", str(uuid4()))
        meta.setdefault("creationTimestamp", datetime.now(UTC).isoformat(timespec="seconds"))
        meta["resourceVersion"] = str(int(meta.get("resourceVersion", 0)) + 1)
        self.objects[path] = item
        if item["kind"] == "Job" and "conditions" not in item.get("status", {}):
            self._start_or_suspend(item)
        if item["kind"] == "Deployment":
            self._roll_out(path, item)
        return item

    def _start_or_suspend(self, job: Object) -> None:
        is_at_work, name = bool(job.get("status")), job["metadata"]["name"]
        if job["spec"].get("suspend") and is_at_work:
            del job["status"]
            self.calls.append(f"suspend {name}")
            for path, item in list(self.objects.items()):
                if item["kind"] == "Pod" and item["metadata"]["labels"].get("job-name") == name:
                    del self.objects[path]
        elif not job["spec"].get("suspend") and not is_at_work:
            self._run(job)

    def _run(self, job: Object) -> None:
        name = job["metadata"]["name"]
        job["status"] = {"active": 1}
        state = next((state for start, state in self.endless.items() if name.startswith(start)), None)
        if state is None:
            codes = next((codes for start, codes in self.exit_codes.items() if name.startswith(start)), [])
            code = codes.pop(0) if codes else 0
            state = {"terminated": {"exitCode": code}}
            job["status"] = {"conditions": [{"type": "Failed" if code else "Complete", "status": "True"}]}
        container = job["spec"]["template"]["spec"]["containers"][0]
        pod = {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": f"{name}-{uuid4().hex[:5]}", "namespace": "zoo", "labels": {"job-name": name}},
            "spec": job["spec"]["template"]["spec"],
            "status": {"phase": "Succeeded", "containerStatuses": [{"name": "migrator", "state": state}]},
        }
        command = " ".join(container.get("command", ["alembic", "upgrade", "head"]))
        self.calls.append(f"run {name}: {container['env'][0]['value']} {command}")
        self.add_pod(pod)

    def have_failed(self, *names: str) -> None:
        """Have the Jobs whose names begin so, which have ended, not have succeeded."""
        for item in self.objects.values():
            if item["kind"] == "Job" and item["metadata"]["name"].startswith(names):
                item["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}

    def put_to_work(self, name: str) -> None:
        """Have the Job `name`, which has ended, still be at work."""
        for item in self.objects.values():
            if item["kind"] == "Job" and item["metadata"]["name"] == name:
                item["status"] = {"active": 1}
            if item["kind"] == "Pod" and item["metadata"]["labels"].get("job-name") == name:
                item["status"]["containerStatuses"][0]["state"] = {"running": {}}

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
