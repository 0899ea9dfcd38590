"""The manifests of deploy/kubernetes, as `kubectl kustomize` builds them, and what is in them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

Object = dict[str, Any]

DEPLOY = ROOT / "deploy" / "kubernetes"
KUBECTL = Path(sys.executable).parent / "kubectl"
# Each overlay, also with what only some use; and a cluster without its pooler.
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "local": ("overlays/local", ()),
    "production": ("overlays/production", ()),
    "production, GitOps": ("overlays/production", ("gitops",)),
    "managed-database": ("overlays/managed-database", ()),
    "managed-database, GitOps": ("overlays/managed-database", ("gitops",)),
    "no pooler": ("base", ("cloudnative-pg", "gateway", "release")),
    "observed": ("base", ("cloudnative-pg", "pooler", "gateway", "observe", "release")),
}
# The ports of CloudNativePG's pods: of Postgres and PgBouncer, an instance's status, its metrics, PgBouncer's metrics.
CLOUDNATIVE_PG_PORTS = {5432, 8000, 9187, 9127}

every_variant = pytest.mark.parametrize("variant", VARIANTS)


@dataclass(frozen=True)
class Pod:
    """What a Deployment, a Job or a StatefulSet starts; or CloudNativePG for a Cluster, without a specification."""

    owner: Object
    labels: Mapping[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec.get("containers", [])]

    @property
    def ports(self) -> dict[str | int, int]:
        """The numbers of its ports, by name and by number."""
        ports = [port for container in self.containers for port in container.get("ports", [])]
        named: dict[str | int, int] = {port["name"]: port["containerPort"] for port in ports}
        numbers = set(named.values()) if self.containers else CLOUDNATIVE_PG_PORTS
        return named | {number: number for number in numbers}


@cache
def build(variant: str) -> tuple[Object, ...]:
    """The objects of one of VARIANTS."""
    overlay, components = VARIANTS[variant]
    with tempfile.TemporaryDirectory() as folder:
        return built(Path(folder), overlay, components)


def built(folder: Path, overlay: str | Path, components: tuple[str, ...] = (), **more: Any) -> tuple[Object, ...]:
    """The objects of a kustomization that is written into the folder: an overlay, components, and what else is said."""
    kustomization = {
        "namespace": "zoo",
        "resources": [os.path.relpath(DEPLOY / overlay, folder.resolve())],
        "components": [os.path.relpath(DEPLOY / "components" / name, folder.resolve()) for name in components],
        **more,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    result = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not result.stderr, result.stderr  # a warning
    return tuple(yaml.load_all(result.stdout, Loader=yaml.CSafeLoader))


def of_kind(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    return [item for item in objects if item["kind"] in kinds]


def name_of(item: Object) -> str:
    return f"{item['kind']}/{item['metadata']['name']}"


def pods(objects: tuple[Object, ...]) -> list[Pod]:
    templates = [
        Pod(item, item["spec"]["template"]["metadata"]["labels"], item["spec"]["template"]["spec"])
        for item in of_kind(objects, "Deployment", "Job", "StatefulSet")
    ]
    operators = [Pod(item, {"cnpg.io/cluster": item["metadata"]["name"]}, {}) for item in of_kind(objects, "Cluster")]
    return templates + operators


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector of Kubernetes, with matchLabels and `In`, is true for these labels."""
    expressions = selector.get("matchExpressions", [])
    assert {expression["operator"] for expression in expressions} <= {"In"}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )


def walk(value: Any) -> Iterator[Object]:
    """All mappings in it."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from walk(item)


def programs(objects: tuple[Object, ...]) -> list[Pod]:
    """The pods of the api and the migrator."""
    return [pod for pod in pods(objects) if pod.owner["kind"] in {"Deployment", "Job"}]


def settings(objects: tuple[Object, ...], pod: Pod) -> dict[str, str]:
    """Its environment, of its ConfigMaps and itself."""
    data = {item["metadata"]["name"]: item["data"] for item in of_kind(objects, "ConfigMap")}
    [container] = pod.spec["containers"]
    named = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
    return dict(chain(*(data[source["configMapRef"]["name"]].items() for source in container["envFrom"]))) | named


def api_of(objects: tuple[Object, ...]) -> Object:
    """The api's Deployment."""
    [found] = [item for item in of_kind(objects, "Deployment") if item["metadata"]["name"] == "zoo-api"]
    return found


def jobs(objects: tuple[Object, ...]) -> dict[str, Object]:
    """The migrator's, and the contract's."""
    return {item["metadata"]["labels"]["app.kubernetes.io/component"]: item for item in of_kind(objects, "Job")}
