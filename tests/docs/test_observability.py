"""docs/observability.md has every metric that there is, and no other."""

import re

from prometheus_client.metrics import MetricWrapperBase

from api import metrics
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "observability.md").read_text()


def test_it_lists_every_metric() -> None:
    cells = re.findall(r"^\| (`[^|]+`) \|", TEXT, re.MULTILINE)
    found = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
    names = {family.name + "_total" * (family.type == "counter") for metric in found for family in metric.describe()}
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == names
