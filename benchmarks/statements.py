"""What each request sends to Postgres, from the server's own log."""

import re
import time
from collections import Counter
from contextlib import ExitStack

import httpx

from benchmarks import comparison
from benchmarks.comparison import NEW
from benchmarks.report import Section, table
from benchmarks.stack import APPS, START_SECONDS, Zoo
from benchmarks.users import KEEPER

TIMES = 5
WARM_UP = 40  # so that each connection of a pool knows the types
AFTERWARDS_SECONDS = 0.1  # for statements that are sent after the answer
HEADERS = {"Authorization": f"Bearer {KEEPER}", "Content-Type": "application/json"}
REQUESTS = [("GET", "/animals/1"), ("GET", "/animals?limit=100"), ("POST", "/animals")]
SIGNED_IN = [("GET", "/staff/1")]


def measure(zoo: Zoo) -> Section:
    """Count the statements of each request, each of which is a round trip; of apps that give the same answers."""
    zoo.execute("ALTER ROLE zoo_api SET log_statement = 'all'")
    rows = []
    try:
        with ExitStack() as running:
            apps = {name: running.enter_context(zoo.serve(name)) for name in APPS}
            comparison.check(apps)
            for name, app in apps.items():
                client = running.enter_context(httpx.Client(base_url=app.url, headers=HEADERS, timeout=START_SECONDS))
                for method, path in [*REQUESTS, *(SIGNED_IN if name == "ours" else [])]:
                    sent = statements(zoo, client, method, path)
                    rows.append([f"{method} {path}", name, str(len(sent)), ", ".join(f"`{found}`" for found in sent)])
    finally:
        zoo.execute("ALTER ROLE zoo_api RESET log_statement")
    order = [f"{method} {path}" for method, path in REQUESTS + SIGNED_IN]
    rows.sort(key=lambda row: order.index(row[0]))
    text = (
        "Each statement is a round trip."
        " Where a user has to be signed in, the statement that reads `access_tokens` looks the user up."
        f"\n\n{table(['request', 'app', 'round trips', 'statements'], rows)}"
    )
    return Section("What a request sends to Postgres", text)


def of(zoo: Zoo, method: str, path: str) -> tuple[str, ...]:
    """The statements of one request of ours, in their order."""
    zoo.execute("ALTER ROLE zoo_api SET log_statement = 'all'")
    try:
        with zoo.serve("ours") as app, httpx.Client(base_url=app.url, headers=HEADERS) as client:
            return statements(zoo, client, method, path)
    finally:
        zoo.execute("ALTER ROLE zoo_api RESET log_statement")


def statements(zoo: Zoo, client: httpx.Client, method: str, path: str) -> tuple[str, ...]:
    """The statements of one request, in their order: what each does, and to which tables."""
    for _ in range(WARM_UP):
        _ask(client, method, path)
    seen = Counter(_sent(zoo, client, method, path) for _ in range(TIMES))
    return seen.most_common(1)[0][0]  # now and then the server sends more by itself


def _sent(zoo: Zoo, client: httpx.Client, method: str, path: str) -> tuple[str, ...]:
    log = zoo.folder / "data.log"
    begin = log.stat().st_size
    _ask(client, method, path)
    time.sleep(AFTERWARDS_SECONDS)
    with log.open() as lines:
        lines.seek(begin)
        found = re.findall(r"LOG:  (?:statement|execute [^:]+): (.*(?:\n\t.*)*)", lines.read())
    return tuple(_summary(statement) for statement in found)


def _ask(client: httpx.Client, method: str, path: str) -> None:
    content = NEW if method == "POST" else ""
    client.request(method, path, content=content).raise_for_status()


def _summary(statement: str) -> str:
    verb = statement.split(maxsplit=1)[0].strip(";").upper()
    tables = dict.fromkeys(re.findall(r"(?:FROM|JOIN|INTO|UPDATE)\s+(?!LATERAL)(\w+)", statement))
    return f"{verb} {', '.join(tables)}".strip()
