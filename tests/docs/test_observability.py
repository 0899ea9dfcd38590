"""docs/observability.md has every metric that there is, and no other."""

import re

from prometheus_client.metrics import MetricWrapperBase

from api import metrics
from api.crud.orders import metrics as orders
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "observability.md").read_text()


def test_it_lists_every_metric() -> None:
    cells = re.findall(r"^\| (`[^|]+`) \|", TEXT, re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell) if not name.startswith("alembic_online")}
    defined = [found for module in (metrics, orders) for found in vars(module).values()]
    families = [family for found in defined if isinstance(found, MetricWrapperBase) for family in found.describe()]
    assert listed == {family.name + "_total" * (family.type == "counter") for family in families}
