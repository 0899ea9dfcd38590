"""From the start to the first answer, and where that time is spent."""

import json
import re
import statistics
import subprocess
import sys
import time
from collections import Counter

from benchmarks.report import Section, table
from benchmarks.stack import ROOT, Zoo

PYTHON = "Python itself"
SHOWN = 12


def measure(zoo: Zoo) -> Section:
    """The steps in one process, the packages that are imported, and gunicorn as a whole."""
    steps: dict[str, list[float]] = {}
    wholes = []
    for _ in range(zoo.scale.rounds):
        began = time.perf_counter()
        _python(zoo, "-c", "pass")
        found = {PYTHON: time.perf_counter() - began}
        found |= json.loads(_python(zoo, "-m", "benchmarks.first_answer").stdout)
        for step, seconds in found.items():
            steps.setdefault(step, []).append(seconds)
        began = time.perf_counter()
        with zoo.serve("ours"):
            wholes.append(time.perf_counter() - began)
    whole = statistics.median(wholes)
    shares = [(step, statistics.median(seconds)) for step, seconds in steps.items() if not step.startswith("(")]
    packages = _imports(zoo)
    total = sum(packages.values())
    text = (
        f"gunicorn answers its first request, `GET /animals/1`, **{whole:.2f} s** after it was started. In one process,"
        " step by step:\n\n"
        f"{table(['step', 'time'], ([step, f'{seconds * 1e3:,.0f} ms'] for step, seconds in shares))}\n\n"
        "Of the imports (`python -X importtime`), by package:\n\n"
        f"{table(['package', 'share'], _shares(packages, total))}"
    )
    return Section("Cold start", text)


def _imports(zoo: Zoo) -> Counter[str]:
    """Microseconds to import each package's own modules; the standard library counts as one package."""
    lines = _python(zoo, "-X", "importtime", "-c", "import api.main").stderr
    packages: Counter[str] = Counter()
    for taken, module in re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", lines):
        package = module.partition(".")[0]
        packages["the standard library" if package in sys.stdlib_module_names else package] += int(taken)
    return packages


def _shares(packages: Counter[str], total: int) -> list[list[str]]:
    most = packages.most_common(SHOWN)
    rest = total - sum(taken for _, taken in most)
    return [[name, f"{taken / total:.0%}"] for name, taken in [*most, ("all others", rest)]]


def _python(zoo: Zoo, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=zoo.environment(), capture_output=True, text=True, check=True
    )
