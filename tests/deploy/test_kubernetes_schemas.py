"""The manifests of each overlay are as Kubernetes, and the operators that they need, declare their objects."""

import json
import os
from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils

from tests.conftest import ROOT
from tests.deploy.kubernetes import VARIANTS, Object, build, name_of

# The oldest and the newest that Kubernetes itself maintains (kubernetes.io/releases); docs/kubernetes.md has them, too.
VERSIONS = ("1.35", "1.37")
# Beside the checkout, because they are large.
CRDS = ROOT.parent / "shared" / "kubernetes" / "crds"
PROJECTS = {"postgresql.cnpg.io": "cnpg", "barmancloud.cnpg.io": "cnpg", "gateway.networking.k8s.io": "gateway"}
PROJECTS["monitoring.coreos.com"] = "monitoring"


def project_of(item: Object) -> str | None:
    """Whose custom resource it is; None if it is one of Kubernetes' own objects."""
    return PROJECTS.get(item["apiVersion"].split("/")[0])


@cache
def definition_of(group: str, version: str, kind: str) -> Any:
    definition = yaml.load((CRDS / f"{PROJECTS[group]}_{kind.lower()}s.yaml").read_text(), yaml.CSafeLoader)
    [schema] = [v["schema"]["openAPIV3Schema"] for v in definition["spec"]["versions"] if v["name"] == version]
    return jsonschema.Draft202012Validator(closed(schema))


def closed(schema: Any) -> Any:
    """The schema, with unknown fields refused, which the API server would drop."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    known = {name: closed(value) for name, value in schema.items()}
    open_to_all = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("type") != "object"
    if "properties" in schema and not open_to_all:
        known.setdefault("additionalProperties", False)
    return known


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_own_objects_fit_its_schemas(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else, all definitions would be read again for each object.
    monkeypatch.setattr(utils, "schema_contents", cache(utils.schema_contents))
    every = {json.dumps(item): item for variant in VARIANTS for item in build(variant) if project_of(item) is None}
    assert every
    for item in every.values():
        kubernetes_validate.validate(item, version, strict=True)


def test_custom_resources_fit_their_definitions() -> None:
    if not CRDS.is_dir() and not os.environ.get("CI"):
        pytest.skip(f"the definitions of custom resources are not in {CRDS}")
    custom = {json.dumps(item): item for variant in VARIANTS for item in build(variant) if project_of(item)}
    assert {item["kind"] for item in custom.values()} == {
        "Cluster",
        "HTTPRoute",
        "ObjectStore",
        "PodMonitor",
        "Pooler",
        "PrometheusRule",
        "ScheduledBackup",
    }
    for item in custom.values():
        errors = definition_of(*item["apiVersion"].split("/"), item["kind"]).iter_errors(item)
        assert [f"{name_of(item)}: {error.json_path}: {error.message}" for error in errors] == []


def test_the_document_names_the_versions() -> None:
    assert f"Kubernetes {VERSIONS[0]} to {VERSIONS[1]}" in (ROOT / "docs" / "kubernetes.md").read_text()
