"""What schemas don't see: that the manifests of each overlay agree with what the api and the migrator do."""

import re
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

import alembic_online.settings
import api.settings
from api.main import create_app
from tests.authority import Authority
from tests.conftest import ROOT
from tests.deploy.kubernetes import (
    VARIANTS,
    api_of,
    build,
    built,
    every_variant,
    jobs,
    name_of,
    of_kind,
    programs,
    settings,
)

DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text()


@pytest.mark.parametrize("variant", [variant for variant, (where, _) in VARIANTS.items() if where != "base"])
def test_the_programs_can_start_with_their_settings(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, objects = Authority(tmp_path, "database_ca"), build(variant)
    known = {
        "api": api.settings.Settings.model_fields,
        "migrator": alembic_online.settings.Settings.model_fields,
    }
    for pod in programs(objects):
        [program] = [container["name"] for container in pod.spec["containers"]]
        given = settings(objects, pod)
        assert {name.lower() for name in given} <= known[program].keys(), name_of(pod.owner)
        with monkeypatch.context() as environment:
            for name, value in given.items():
                environment.setenv(name, value.replace("/run/secrets/database_ca", str(authority.path)))
            for secret in re.findall(r"--from-file=([a-z_]+)=", DOCUMENT):
                environment.setenv(secret.upper(), "Kq9dXw2mB7rTz4NvHs8uYp3LfJc6GeAi")
            if program == "api":
                api.settings.load_settings().require_usable()
            else:
                alembic_online.settings.load_settings().database()


@every_variant
def test_jobs_end_or_try_again_as_the_exit_codes_say(variant: str) -> None:
    table = re.findall(r"^\| (\d+) \| ", (ROOT / "docs" / "migrations.md").read_text(), re.MULTILINE)
    for component, job in jobs(build(variant)).items():
        first, *rules = job["spec"]["podFailurePolicy"]["rules"]
        assert first == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        actions = {code: rule["action"] for rule in rules for code in rule["onExitCodes"]["values"]}
        for_good = {1, 3, 6} | ({7} if component == "migrator" else set())
        assert actions == {int(code): "FailJob" if int(code) in for_good else "Count" for code in table if code != "0"}
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
        assert not {"ttlSecondsAfterFinished", "activeDeadlineSeconds"} & job["spec"].keys()
        assert "hook" not in str(job["metadata"])


@every_variant
def test_contract_waits_until_it_is_told_to_begin_but_for_gitops(variant: str) -> None:
    found, by_gitops = jobs(build(variant)), "GitOps" in variant
    assert found["contract"]["spec"].get("suspend", False) is not by_gitops
    assert found["contract"]["spec"]["backoffLimit"] > found["migrator"]["spec"]["backoffLimit"]
    wave = "argocd.argoproj.io/sync-wave"
    waves: dict[str, set[int]] = {}
    for item in build(variant):
        annotations = item["metadata"].get("annotations", {})
        waves.setdefault(item["kind"], set()).add(int(annotations.get(wave, 0)))
    api_objects = {waves.pop(kind).pop() for kind in ("Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget")}
    of_jobs = waves.pop("Job")
    assert (of_jobs, api_objects) == (({1, 3}, {2}) if by_gitops else ({0}, {0}))
    assert set(chain(*waves.values())) == {0}  # what the Jobs need is there before them


@pytest.mark.parametrize("overlay", ["local", "production", "managed-database"])
def test_a_setting_replaces_the_pods_of_the_api_and_leaves_the_jobs_as_they_are(overlay: str, tmp_path: Path) -> None:
    merged = [
        {"name": name, "namespace": "zoo", "behavior": "merge", "literals": ["LOG_FORMAT=text"],
         "options": {"disableNameSuffixHash": name == "zoo-migrator"}}
        for name in ("zoo-api", "zoo-migrator")
    ]  # fmt: skip
    before = build(overlay)
    after = built(tmp_path, f"overlays/{overlay}", configMapGenerator=merged)
    assert before != after
    assert of_kind(before, "Job") == of_kind(after, "Job")
    assert of_kind(before, "Deployment") != of_kind(after, "Deployment")


@every_variant
def test_the_migrator_goes_past_the_pooler(variant: str) -> None:
    objects = build(variant)
    hosts: dict[str, set[str]] = {"api": set(), "migrator": set(), "contract": set(), "exporter": set()}
    for pod in programs(objects):
        url = next(value for name, value in settings(objects, pod).items() if name.endswith("DATABASE_URL"))
        hosts[pod.labels["app.kubernetes.io/component"]].add(url.split("@")[1].split(":")[0])
    poolers = {item["metadata"]["name"] for item in of_kind(objects, "Pooler")}
    assert hosts["api"] == (poolers or hosts["migrator"])
    assert hosts["migrator"] == hosts["contract"] != poolers
    assert hosts["exporter"] <= hosts["migrator"]
    for item in of_kind(objects, "Pooler"):
        assert item["spec"]["pgbouncer"]["poolMode"] == "transaction"
        assert int(item["spec"]["pgbouncer"]["parameters"]["max_prepared_statements"]) > 0
    for item in of_kind(objects, "Cluster"):
        assert set(item["spec"].get("certificates", {}).get("serverAltDNSNames", [])) == poolers


@every_variant
def test_replicas_go_one_by_one_and_never_all(variant: str) -> None:
    objects = build(variant)
    deployment = api_of(objects)
    [autoscaler], [budget] = (of_kind(objects, kind) for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget"))
    assert "replicas" not in deployment["spec"]
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert 1 <= budget["spec"]["maxUnavailable"] < autoscaler["spec"]["minReplicas"]


@every_variant
def test_the_api_has_the_time_that_it_needs_to_stop(variant: str) -> None:
    deployment = api_of(build(variant))
    spec = deployment["spec"]["template"]["spec"]
    assert "initContainers" not in spec
    configuration = (ROOT / "deploy" / "gunicorn.conf.py").read_text()
    [graceful] = re.findall(r"^graceful_timeout = (\d+)$", configuration, re.MULTILINE)
    before = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    probe = spec["containers"][0]["readinessProbe"]
    assert before >= probe["periodSeconds"] * probe["failureThreshold"]
    assert spec["terminationGracePeriodSeconds"] > before + int(graceful)


@cache
def paths_of_the_api() -> set[str]:
    return set(create_app(api.settings.Settings()).openapi()["paths"])


@every_variant
def test_probes_ask_what_the_api_answers_and_the_route_hides_it(variant: str) -> None:
    objects, paths = build(variant), paths_of_the_api()
    deployment = api_of(objects)
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    asked = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert set(asked.values()) <= paths
    assert asked["readinessProbe"] == "/health/ready"
    assert asked["livenessProbe"] in {"/health", "/health/live"}  # never the database
    for route in of_kind(objects, "HTTPRoute"):
        [hidden, _] = route["spec"]["rules"]
        assert all(path.startswith(hidden["matches"][0]["path"]["value"]) for path in asked.values())
        assert hidden["filters"][0]["urlRewrite"]["path"]["replaceFullPath"] not in paths


@every_variant
def test_postgres_has_the_connections_that_all_replicas_open(variant: str) -> None:
    objects = build(variant)
    deployment, [autoscaler] = api_of(objects), of_kind(objects, "HorizontalPodAutoscaler")
    replicas = autoscaler["spec"]["maxReplicas"] + deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    fields = api.settings.Settings.model_fields
    opened = replicas * fields["web_concurrency"].default * (fields["database_pool_size"].default + 1)
    for pooler in of_kind(objects, "Pooler"):
        parameters = pooler["spec"]["pgbouncer"]["parameters"]
        assert int(parameters["max_client_conn"]) >= opened
        opened = pooler["spec"]["instances"] * int(parameters["default_pool_size"])
    assert opened + 2 <= 100 - 3
