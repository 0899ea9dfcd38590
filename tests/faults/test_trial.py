
import asyncio, os, subprocess, sys
from tests.processes.pgbouncer import *
from tests.conftest import *
async def test_try(server, tmp_path):
    async with pgbouncer(server, tmp_path, max_client_conn=1000, default_pool_size=20) as pooler:
        outside = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST")}
        done = await asyncio.to_thread(subprocess.run, [sys.executable, "-m", "pytest", "-q", "-n", "2", "-x" if 0 else "-q", "tests/api"], env={**outside, POOLER_PORT: str(pooler.port)}, cwd=ROOT, capture_output=True, text=True)
        open("/tmp/pooler-api.log","w").write(done.stdout + done.stderr)
        open("/tmp/pooler-pgb.log","w").write((tmp_path/"log").read_text())
