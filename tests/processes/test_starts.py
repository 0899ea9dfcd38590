"""What programs do while they start."""

import subprocess
import sys

from tests.conftest import ROOT


def test_what_the_api_imports_is_hardly_searched_for_garbage() -> None:
    code = "import gc, api.models; print(gc.get_stats()[0]['collections'])"
    searched = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert int(searched) < 30  # 200 with Python's own threshold
