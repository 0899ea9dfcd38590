"""What is traced, and what a collector that is away costs. What one gets is tested on gunicorn, in tests/processes."""

import asyncio
import re
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

import httpx
import pytest
from opentelemetry.exporter.otlp.common import http
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from api.database.engine import create_engine
from api.database.tracing import summary
from api.external_services import collector as collectors
from api.external_services.collector import open_collector
from api.external_services.s3 import S3
from api.main import create_app
from api.models.animals import Animal
from api.settings import Settings
from api.traces import Tracing, call
from local.postgres import Server
from tests.collector import collecting
from tests.conftest import Log, started
from tests.each import each
from tests.ports import find_free_port

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WHOLE = f"00-{TRACE}-{PARENT}-01"
# Of versions to come, those that begin as this one does are taken.
TAKEN = [WHOLE, f" {WHOLE}\t", f"00-{TRACE}-{PARENT}-00", f"cc-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-what"]
# As in the tests of W3C's recommendation.
NOT_TAKEN = [
    *("", "-", "-" * 30_000, f"{WHOLE}{'-' * 30_000}", f"{WHOLE}-what", f"{WHOLE}.", f"{WHOLE},{WHOLE}", "\xff" * 55),
    *(f"{version}-{TRACE}-{PARENT}-01" for version in ("ff", "FF", "0", "000", "0.", ".0", "")),
    f"cc-{TRACE}-{PARENT}-01.what",
    *(f"00-{trace}-{PARENT}-01" for trace in ("0" * 32, TRACE.upper(), TRACE[1:], f"{TRACE}0", f".{TRACE[1:]}", "")),
    *(f"00-{TRACE}-{parent}-01" for parent in ("0" * 16, PARENT.upper(), PARENT[1:], f"{PARENT}0", f"{PARENT[1:]}.")),
    *(f"00-{TRACE}-{PARENT}-{flags}" for flags in ("0", "001", ".1", "1.", "0G", "")),
    *(WHOLE[:length] for length in (2, 35, 52, 54)),
    WHOLE.replace("-", "_"),
]

ReadLog = Callable[[], list[Log]]


def at(url: str, **settings: object) -> Settings:
    """With a collector at this address."""
    return Settings.model_validate({"otel_exporter_otlp_endpoint": url, **settings})


def traced(server: Server, database: str, url: str) -> Settings:
    return at(url, database_url=server.url("zoo_api", database))


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """All that are made from now on, without a collector."""
    spans, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(Tracing, "tracer", provider.get_tracer("api"))
    return spans


def said(log: ReadLog) -> list[Log]:
    return [line for line in log() if "traces" in line["event"]]


def test_no_endpoint_an_empty_one_and_a_disabled_library_are_no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    empty, unset = Settings(), Settings(otel_exporter_otlp_endpoint=None)
    disabled = Settings(otel_exporter_otlp_endpoint="http://c", otel_sdk_disabled=True)
    assert [settings.traces_url for settings in (empty, unset, disabled)] == [None] * 3


async def test_a_request_that_is_not_sampled_has_a_trace_id_but_no_spans(
    anonymous: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sampler, share, is_sampled in (
        ("parentbased_always_off", 1, False),
        ("traceidratio", 0, False),
        ("parentbased_traceidratio", 1, True),
        ("always_on", 0, True),
    ):
        exported = InMemorySpanExporter()
        monkeypatch.setattr(collectors, "Collector", lambda *_, exporter=exported: exporter)
        async with open_collector(at("http://c", otel_traces_sampler=sampler, otel_traces_sampler_arg=share)):
            trace = (await anonymous.get("/docs")).headers["X-Trace-ID"]
        assert re.fullmatch("[0-9a-f]{32}", trace)
        found = [f"{span.context.trace_id:032x}" for span in exported.get_finished_spans()]
        assert found == ([trace] if is_sampled else []), sampler


async def test_of_a_trusted_proxys_traceparents_those_that_break_the_rules_begin_a_new_trace(
    anonymous: httpx.AsyncClient,
) -> None:
    settings = at(f"http://127.0.0.1:{find_free_port()}", otel_traces_sampler="always_off")

    async def trace_of(*parents: str) -> str:
        headers = [(b"traceparent", each.encode("latin-1")) for each in parents]
        answer = await anonymous.get("/unicorns", headers=headers)
        assert answer.status_code == 404
        return str(answer.headers["X-Trace-ID"])

    async with open_collector(settings):
        for parent in TAKEN:
            assert await trace_of(parent) == TRACE, parent
        new = [await trace_of(parent) for parent in NOT_TAKEN]
        new += [await trace_of(WHOLE, WHOLE), await trace_of("", WHOLE)]
    assert TRACE not in new
    assert len(set(new)) == len(new)


async def test_a_collector_that_fails_is_said_once_and_so_is_that_it_is_back(
    server: Server, worker_database: str, log: ReadLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")  # ms
    monkeypatch.setattr(f"{http.__name__}._OTLPHTTPClient._compute_backoff", lambda *_: 0.01)  # s; not 1, 2, 4
    refused = 0

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        refused += 1
        writer.close()

    failing = await asyncio.start_server(hang_up, "127.0.0.1")
    port = failing.sockets[0].getsockname()[1]
    with ExitStack() as working:  # until the app has ended
        app = create_app(traced(server, worker_database, f"http://127.0.0.1:{port}"))
        async with asyncio.timeout(60), started(app) as client:
            while refused < 30:  # several batches: each is sent six times, and each time twice
                assert (await client.get("/docs")).status_code == 200
                await asyncio.sleep(0.02)
            failing.close()
            working.enter_context(collecting(port))
            while len(said(log)) < 2:
                assert (await client.get("/docs")).status_code == 200
                await asyncio.sleep(0.02)
    away, back = said(log)
    assert (away["event"], away["level"]) == ("traces are not exported", "warning")
    assert "Connection" in away["reason"]
    assert (back["event"], back["level"], back["spans_lost"] > 1) == ("traces are exported again", "info", True)


async def test_a_collector_that_never_answers_delays_neither_requests_nor_the_end(
    server: Server, worker_database: str, log: ReadLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SCHEDULE_DELAY", "10"), ("MAX_QUEUE_SIZE", "2"), ("MAX_EXPORT_BATCH_SIZE", "1")):
        monkeypatch.setenv(f"OTEL_BSP_{name}", value)
    monkeypatch.setattr(http, "_MAX_RETRIES", 1)  # once it has hung up
    monkeypatch.setattr(collectors, "FLUSH_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        async with started(create_app(traced(server, worker_database, url))) as client:
            for _ in range(20):
                assert (await client.get("/animals?limit=1")).status_code == 200
        assert [line["event"] for line in log() if line["level"] == "warning"] == [
            "the last traces are not exported: the collector takes too long"
        ]
    for thread in threading.enumerate():  # their connections have ended now
        if thread.name.startswith("OtelBatch"):
            await asyncio.to_thread(thread.join)


async def test_a_call_of_the_storage_is_a_span_and_the_storage_takes_its_header(
    s3: S3, spans: InMemorySpanExporter
) -> None:
    assert [stored async for stored in s3.objects("nothing/")] == []
    assert [(span.name, span.parent) for span in spans.get_finished_spans()] == [("storage", None)]


async def test_each_statement_is_one_span_however_it_is_executed(
    server: Server, worker_database: str, spans: InMemorySpanExporter
) -> None:
    two = [{"name": "Zuri", "species": "Okapi"}, {"name": "Nala", "species": "Okapi"}]
    engine = create_engine(traced(server, worker_database, "http://collector"))
    with call("alone"), suppress(DBAPIError):
        async with engine.connect() as connection:
            await connection.execute(insert(Animal).returning(Animal.id), two)  # INSERT ... VALUES (...), (...)
            await connection.execute(text("UPDATE animals SET name = :name WHERE species = :species"), two)
            await connection.execute(text("DELETE FROM animals WHERE id = 1 / :no"), [{"no": 0}, {"no": 0}])
    await engine.dispose()
    statements = [span for span in spans.get_finished_spans() if span.name.endswith(" animals")]
    assert [(span.name, span.status.status_code is StatusCode.ERROR) for span in statements] == [
        ("INSERT animals", False),
        ("UPDATE animals", False),
        ("DELETE animals", True),
    ]


@each(
    "sql, name",
    [
        ("SELECT animals.id FROM animals WHERE animals.id = $1", "SELECT animals"),
        ("SELECT concat('[', $1) FROM (SELECT * FROM \"users\" LIMIT 5) AS page", "SELECT users"),
        ("INSERT INTO animals (name) VALUES ($1) ON CONFLICT DO UPDATE SET name = $1", "INSERT animals"),
        ("\n  update exhibits SET name = $1", "UPDATE exhibits"),
        ("WITH gone AS (DELETE FROM animals RETURNING id) SELECT count(*) FROM gone", "DELETE animals"),
        ("WITH free AS (SELECT id FROM animals FOR UPDATE SKIP LOCKED) SELECT * FROM free", "SELECT animals"),
        ("BEGIN;", "BEGIN"),
        ("", "statement"),
    ],
)
def test_the_name_of_a_statement_is_its_operation_and_its_table(sql: str, name: str) -> None:
    assert summary(sql) == name
