"""docs/observability.md has every metric that there is, and no other."""

import re
import shlex
from importlib import import_module

from prometheus_client.metrics import MetricWrapperBase

from api.settings import Settings
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "observability.md").read_text()


def test_it_lists_every_metric() -> None:
    cells = re.findall(r"^\| (`[^|]+`) \|", TEXT, re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell) if not name.startswith("alembic_online")}
    modules = [
        import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for path in (ROOT / "api").rglob("metrics.py")
    ]
    defined = [found for module in modules for found in vars(module).values()]
    families = [family for found in defined if isinstance(found, MetricWrapperBase) for family in found.describe()]
    assert listed == {family.name + "_total" * (family.type == "counter") for family in families}


def test_the_command_that_starts_traces_has_settings_of_the_api() -> None:
    (command,) = re.findall(r"^\$ (OTEL_.+) docker compose up", TEXT, re.MULTILINE)
    settings = dict(setting.split("=", 1) for setting in shlex.split(command))
    assert {name.lower() for name in settings} <= Settings.model_fields.keys()
    found = Settings.model_validate({name.lower(): value for name, value in settings.items()})
    assert (found.traces_url, found.otel_traces_sampler_arg) == ("http://collector:4318/v1/traces", 0.01)
