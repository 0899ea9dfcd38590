"""What programs do while they start."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("package", ["api.models", "alembic_online"])
def test_what_is_imported_is_hardly_searched_for_garbage(package: str) -> None:
    code = f"import gc, {package}; print(gc.get_stats()[0]['collections'])"
    searched = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert int(searched) < 30  # 200 with Python's own threshold
