"""The alerts of deploy/prometheus fire when they should, and only then, and each leads to what helps."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from tests.conftest import ROOT

HERE = ROOT / "tests" / "deploy"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
CASES = [HERE / "alerts.yml", HERE / "alerts-of-days.yml"]
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RUNBOOKS = ROOT / "docs" / "runbooks"
PARTS = ["## What it means", "## What to look at", "## What to do"]


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.name)
def test_each_alert_fires_when_it_should_and_only_then(cases: os.PathLike[str]) -> None:
    if shutil.which("promtool") is None and not os.environ.get("CI"):
        pytest.skip("there is no promtool: .ci/promtool installs it")
    # Go collects garbage less often: that is a quarter of the work, for 250 MB at most.
    env = os.environ | {"GOGC": "400"}
    done = subprocess.run(["promtool", "test", "rules", cases], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_case_of_each_alert_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires: set[str] = set()
    is_silent: set[str] = set()
    for path in CASES:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for check in case["promql_expr_test"]:
                [alert] = re.findall(r'alertname="(\w+)"', check["expr"])
                (fires if check.get("exp_samples") else is_silent).add(alert)
    assert fires == ALERTS.keys()
    assert is_silent == ALERTS.keys() - {"Watchdog"}  # which is never silent


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert {rule["annotations"]["runbook"] for rule in ALERTS.values()} == {
        f"docs/runbooks/{path.name}" for path in RUNBOOKS.iterdir()
    }
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{name}.md"
        assert rule["labels"]["severity"] in {"page", "ticket", "none"}
        lines = (RUNBOOKS / f"{name}.md").read_text().splitlines()
        assert lines[0] == f"# {name}"
        assert [line for line in lines if line.startswith("## ")] == PARTS


def test_kubernetes_has_the_same_rules() -> None:
    copy = ROOT / "deploy" / "kubernetes" / "components" / "observe" / "rules.yaml"
    assert yaml.safe_load(copy.read_text())["spec"]["groups"] == GROUPS, "make alerts"
