"""What schemas don't see: that the manifests of each overlay agree with each other, and are restricted."""

import re
from itertools import chain
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.deploy.kubernetes import (
    VARIANTS,
    Object,
    Pod,
    api_of,
    build,
    built,
    every_variant,
    name_of,
    of_kind,
    pods,
    programs,
    selects,
    settings,
    walk,
)

DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text()
KINDS_OF_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}


def references(pod: Pod) -> set[tuple[str, str]]:
    """The ConfigMaps, Secrets and ServiceAccounts that it needs."""
    names = {("ServiceAccount", pod.spec.get("serviceAccountName", "default"))}
    for value in walk(pod.spec):
        for key, kind in (("configMapRef", "ConfigMap"), ("configMapKeyRef", "ConfigMap"), ("configMap", "ConfigMap"),
                          ("secretRef", "Secret"), ("secretKeyRef", "Secret"), ("secret", "Secret")):  # fmt: skip
            if key in value:
                names.add((kind, value[key].get("name") or value[key]["secretName"]))
    return names - {("ServiceAccount", "default")}


def by_operator(objects: tuple[Object, ...]) -> set[tuple[str, str]]:
    """The Secrets that CloudNativePG creates for a Cluster."""
    clusters = [item["metadata"]["name"] for item in of_kind(objects, "Cluster")]
    return {("Secret", f"{name}-{suffix}") for name in clusters for suffix in ("ca", "superuser")}


@every_variant
def test_each_selector_finds_pods(variant: str) -> None:
    objects = build(variant)
    for pod in pods(objects):
        for value in walk(pod.owner["spec"]):
            for key in {"selector", "labelSelector"} & value.keys():
                assert selects(value[key], pod.labels), name_of(pod.owner)
    selectors = [
        *((item, {"matchLabels": item["spec"]["selector"]}) for item in of_kind(objects, "Service")),
        *((item, item["spec"]["selector"]) for item in of_kind(objects, "PodDisruptionBudget")),
        *(
            (item, value["podSelector"])
            for item in of_kind(objects, "NetworkPolicy")
            for value in walk(item["spec"])
            if "podSelector" in value and "namespaceSelector" not in value
        ),
    ]
    for item, selector in selectors:
        assert any(selects(selector, pod.labels) for pod in pods(objects)), (name_of(item), selector)
        listed = [name for expression in selector.get("matchExpressions", []) for name in expression["values"]]
        assert set(listed) <= {pod.labels.get("app.kubernetes.io/component") for pod in pods(objects)}, name_of(item)


@every_variant
def test_each_port_is_one_of_the_pods_behind_it(variant: str) -> None:
    objects = build(variant)
    services = {item["metadata"]["name"]: item["spec"] for item in of_kind(objects, "Service")}
    for service in services.values():
        behind = [pod for pod in pods(objects) if selects({"matchLabels": service["selector"]}, pod.labels)]
        assert all(port["targetPort"] in pod.ports for port in service["ports"] for pod in behind), service
    for pod in pods(objects):
        probed = [value["httpGet"]["port"] for value in walk(pod.spec) if "httpGet" in value]
        assert set(probed) <= pod.ports.keys()
    for policy in of_kind(objects, "NetworkPolicy"):
        selected = [pod for pod in pods(objects) if selects(policy["spec"]["podSelector"], pod.labels)]
        allowed = {port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"]}
        assert allowed <= set(chain(*(pod.ports for pod in selected))), name_of(policy)
    for monitor in of_kind(objects, "PodMonitor"):
        measured = [pod for pod in pods(objects) if selects(monitor["spec"]["selector"], pod.labels)]
        assert measured
        ports = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
        assert all(ports <= pod.ports.keys() for pod in measured if pod.containers)
    for route in of_kind(objects, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                assert backend["port"] in [port["port"] for port in services[backend["name"]]["ports"]]


@every_variant
def test_each_name_that_is_referred_to_is_there_or_is_to_be_created_as_documented(variant: str) -> None:
    objects = build(variant)
    there = {(item["kind"], item["metadata"]["name"]) for item in objects} | by_operator(objects)
    needed = set().union(*(references(pod) for pod in pods(objects)))
    for item in of_kind(objects, "ObjectStore"):
        needed |= {("Secret", value["name"]) for value in walk(item["spec"]) if value.keys() == {"name", "key"}}
    for kind, name in needed - there:
        assert re.search(rf"kubectl create (secret generic|configmap) {name} ", DOCUMENT), (kind, name)
    for item in of_kind(objects, "HorizontalPodAutoscaler"):
        target = item["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in there
    for item in of_kind(objects, "Pooler", "ScheduledBackup"):
        assert ("Cluster", item["spec"]["cluster"]["name"]) in there
    for item in of_kind(objects, "Cluster"):
        assert ("ObjectStore", item["spec"]["plugins"][0]["parameters"]["barmanObjectName"]) in there
    for pod in pods(objects):
        claims = pod.owner["spec"].get("volumeClaimTemplates", [])
        mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
        named = {item["name"] for item in pod.spec.get("volumes", [])} | {item["metadata"]["name"] for item in claims}
        assert mounted == named, name_of(pod.owner)


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant != "local"])
def test_secrets_are_only_referred_to(variant: str) -> None:
    objects = build(variant)
    assert of_kind(objects, "Secret") == []
    assert not re.search(r"://[^@/\s]*:[^@/\s]*@|password=", str(of_kind(objects, "ConfigMap")))


@every_variant
def test_secrets_that_are_made_of_files_come_as_files_whose_line_ends_do_not_count(variant: str) -> None:
    objects = build(variant)
    named = {value["secretKeyRef"]["name"] for value in walk(list(objects)) if "secretKeyRef" in value}
    assert {("Secret", name) for name in named} <= by_operator(objects)


@every_variant
def test_pods_are_restricted(variant: str) -> None:
    for pod in pods(build(variant)):
        if not pod.containers:
            continue  # the operator's
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert min(security["runAsUser"], security["runAsGroup"], security["fsGroup"]) > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.spec.keys()
        assert set(chain(*pod.spec["volumes"])) <= KINDS_OF_VOLUMES | {"name"}
        for container in pod.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"].keys() == {"memory"}
            assert "hostPort" not in str(container.get("ports"))
        assert all(item["emptyDir"]["sizeLimit"] for item in pod.spec["volumes"] if "emptyDir" in item)


@every_variant
def test_images_are_of_the_release_or_pinned_otherwise(variant: str) -> None:
    objects = build(variant)
    releases = {pod.labels["app.kubernetes.io/version"] for pod in programs(objects)}
    [release] = releases
    for pod in pods(objects):
        for container in pod.containers:
            name, _, tag = container["image"].rpartition("/")[2].partition(":")
            assert tag == ("18" if name == "zoo-db" else release), container["image"]
    assert {item["metadata"]["name"] for item in of_kind(objects, "Job")} == {
        f"zoo-migrator-{release}", f"zoo-contract-{release}"
    }  # fmt: skip
    others = re.findall(r"ghcr\.io/\S+?:([^\s'\"]+)", str(objects))
    assert all(re.match(r"\d+\.\d+", tag) for tag in others), others


def test_a_digest_takes_the_place_of_the_tag(tmp_path: Path) -> None:
    digest = f"sha256:{'0' * 64}"
    images = [{"name": f"registry.example/team/zoo-{name}", "digest": digest} for name in ("api", "migrator")]
    for pod in programs(built(tmp_path, "overlays/production", images=images)):
        assert pod.spec["containers"][0]["image"].endswith(f"@{digest}")


@every_variant
def test_policies_let_programs_reach_what_their_settings_name(variant: str) -> None:
    objects = build(variant)
    for pod in programs(objects):
        rules = [
            rule for policy in of_kind(objects, "NetworkPolicy") if selects(policy["spec"]["podSelector"], pod.labels)
            for rule in policy["spec"].get("egress", [])
        ]  # fmt: skip
        open_to = {port["port"] for rule in rules for port in rule["ports"]}
        urls = [value for name, value in settings(objects, pod).items() if name.endswith("_URL")]
        assert {int(port) for url in urls for port in re.findall(r":(\d+)", url)} <= open_to - {53}
        # And the database lets them in.
        for target in pods(objects):
            if "cnpg.io/cluster" in target.labels or target.labels.get("app.kubernetes.io/component") == "database":
                assert any(
                    selects(peer["podSelector"], pod.labels)
                    for policy in of_kind(objects, "NetworkPolicy")
                    if selects(policy["spec"]["podSelector"], target.labels)
                    for rule in policy["spec"].get("ingress", []) if {"port": 5432} in rule["ports"]
                    for peer in rule["from"] if "namespaceSelector" not in peer
                )  # fmt: skip


@every_variant
def test_metrics_are_open_to_prometheus_only(variant: str) -> None:
    objects = build(variant)
    [api] = [pod for pod in programs(objects) if pod.owner == api_of(objects)]
    number = api.ports["metrics"]
    assert settings(objects, api)["METRICS_PORT"] == str(number)
    policies = [item["spec"] for item in of_kind(objects, "NetworkPolicy")]
    openings = [
        rule["from"] for policy in policies if selects(policy["podSelector"], api.labels)
        for rule in policy.get("ingress", []) if {"port": number} in rule["ports"]
    ]  # fmt: skip
    monitoring = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    assert openings == [[{"namespaceSelector": monitoring}]]
    assert not [
        port
        for item in of_kind(objects, "Service")
        for port in item["spec"]["ports"]
        if port["targetPort"] == "metrics"
    ]


@every_variant
def test_nothing_is_open_but_for_what_a_policy_allows(variant: str) -> None:
    policies = [item["spec"] for item in of_kind(build(variant), "NetworkPolicy")]
    [others] = [policy for policy in policies if policy["podSelector"] == {}]
    assert others["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in others
    for policy in policies:
        assert {kind for kind in ("Ingress", "Egress") if kind.lower() in policy} <= set(policy["policyTypes"])
        assert all(rule.get("from") for rule in policy.get("ingress", []))
