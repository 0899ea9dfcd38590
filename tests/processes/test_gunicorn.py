"""gunicorn, with the api's configuration."""

import json
import re

import pytest

from tests.python import run

CONFIGURATION = "deploy/gunicorn.conf.py"


@pytest.mark.parametrize(("setting", "workers"), [({"WEB_CONCURRENCY": "5"}, 5), ({}, 2)], ids=["told", "default"])
def test_gunicorn_starts_as_many_workers_as_it_is_told(setting: dict[str, str], workers: int) -> None:
    command = ["gunicorn", "--config", CONFIGURATION, "--print-config"]
    shown = run(*command, env={"PATH": "/usr/bin:/bin", **setting})
    assert re.search(rf"^workers\s+= {workers}$", shown.stdout, re.MULTILINE), shown.stderr


def test_gunicorn_refuses_bad_settings_in_a_line_each() -> None:
    command = ["gunicorn", "--config", CONFIGURATION]
    done = run(*command, env={"PATH": "/usr/bin:/bin", "ENVIRONMENT": "production"})
    assert done.returncode == 1
    *_, last = map(json.loads, done.stderr.splitlines())
    assert (last["event"], last["level"]) == ("settings can't be used", "error")
    assert last["reason"].startswith("DATABASE_PASSWORD is a default")
