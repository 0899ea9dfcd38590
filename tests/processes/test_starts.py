"""What programs do while they start."""

import os
import subprocess
import sys

from tests.ports import find_free_port
from tests.python import ROOT, run


def test_what_the_api_imports_is_hardly_searched_for_garbage() -> None:
    code = "import gc, api.models; print(gc.get_stats()[0]['collections'])"
    searched = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert int(searched) < 30  # 200 with Python's own threshold


def test_without_a_collector_nothing_of_the_library_is_imported() -> None:
    code = (
        "import asyncio, sys; from api.main import create_app; app = create_app()\n"
        "async def run():\n    async with app.router.lifespan_context(app): pass\n"
        "asyncio.run(run()); print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": f"postgresql://zoo_api@127.0.0.1:{find_free_port()}/zoo",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c",
        "OTEL_SDK_DISABLED": "true",
    }
    done = run("-c", code, env=environment)
    assert done.stdout == "[]\n", done.stderr
