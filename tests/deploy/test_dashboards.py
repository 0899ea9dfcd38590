"""The dashboards of deploy/grafana ask Prometheus for what there is, in a form that it understands."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
DOCUMENT = (ROOT / "docs" / "observability.md").read_text()
RULES = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()


def queries(path: Path) -> list[str]:
    return [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_each_query_is_one_that_prometheus_understands(path: Path, tmp_path: Path) -> None:
    if shutil.which("promtool") is None and not os.environ.get("CI"):
        pytest.skip("there is no promtool: .ci/promtool installs it")
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries(path))]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_each_metric_is_one_that_is_documented_or_postgres_exporters(path: Path) -> None:
    known = set(re.findall(r"`(\w+)`", DOCUMENT)) | set(re.findall(r"record: (\S+)", RULES))
    for query in queries(path):
        names = re.findall(r"\b(?!pg_)[a-z]+[\w:]*_[\w:]+(?=[{\[)]| or | > |$| )", re.sub(r"by \([^)]*\)", "", query))
        for name in set(names) - {"histogram_quantile"}:
            assert name in known or re.sub(r"_(bucket|count|sum)$", "", name) in known, (name, query)
