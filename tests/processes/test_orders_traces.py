"""Traces of gunicorn's workers, as a collector gets them: one start of the api, whose end sends what is left."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from local.postgres import Server
from tests.api.orders.outside import Call, serving
from tests.api.users import mailbox
from tests.bearer import bearer
from tests.collector import Collector, collecting
from tests.conftest import Log, clone, drop, superuser
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.python import HANGS
from tests.users import email_of

PROXYS = "4bf92f3577b34da6a3ce929d0e0e4736"  # traces of others
PAYING = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
STRANGERS = "0af7651916cd43dd8448eb211c80319c"
TWICE = "cccccccccccccccccccccccccccccccc"
PARENT = "00f067aa0ba902b7"
SECRETS = ["correct-horse-battery", "Zebedee", "987654321", email_of("visitor"), "127.0.0.", "whispered"]


@dataclass
class Story:
    """What was asked of the api, and what came of it."""

    collector: Collector
    answers: dict[str, httpx.Response]
    calls: dict[str, list[Call]]
    lines: list[Log]

    def trace(self, name: str) -> str:
        """The trace of an answer."""
        return str(self.answers[name].headers["X-Trace-ID"])

    def spans(self, name: str) -> list[Span]:
        """All spans of an answer's trace."""
        return [span for span in self.collector.spans() if span.trace_id.hex() == self.trace(name)]

    def request(self, name: str) -> Span:
        (found,) = (span for span in self.spans(name) if span.kind == Span.SPAN_KIND_SERVER)
        return found


def attributes(span: Span) -> dict[str, str | int]:
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}


def continuing(trace: str) -> dict[str, str]:
    return {
        "traceparent": f"00-{trace}-{PARENT}-01",
        "tracestate": "vendor=whispered",
        "baggage": "said=whispered",
    }


@pytest.fixture(scope="module")
async def story(
    server: Server, maintenance: asyncpg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Story]:
    database, log = await clone(maintenance), tmp_path_factory.mktemp("traces") / "log"
    with collecting() as collector:
        async with serving() as payments, serving() as kitchen, mailbox.serving() as mails:
            settings = server.environment(database) | {
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "OTEL_BSP_SCHEDULE_DELAY": "3600000",  # ms: the end of the process comes first
                "PAYMENTS_URL": payments.url,
                "KITCHEN_URL": kitchen.url,
                "SMTP_URL": mails.url,
                "SMTP_PASSWORD": "",
            }
            port = find_free_port()
            with ExitStack() as running:
                running.enter_context(gunicorn(settings, port, log))
                answers = await ask(server, database, f"http://127.0.0.1:{port}")
                await asyncio.to_thread(running.close)  # it may still be sending mail to this event loop
            calls = {"payments": payments.calls, "kitchen": kitchen.calls}
        collector.wait_for({answer.headers["X-Trace-ID"] for name, answer in answers.items() if name != "probe"})
        yield Story(collector, answers, calls, read(log))
    await drop(maintenance, database)


async def ask(server: Server, database: str, address: str) -> dict[str, httpx.Response]:
    near = httpx.AsyncHTTPTransport(local_address="127.0.0.1")  # trusted, by default
    far = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with (
        httpx.AsyncClient(base_url=address, transport=near, timeout=HANGS) as proxy,
        httpx.AsyncClient(base_url=address, transport=far, timeout=HANGS) as stranger,
    ):
        visitor = bearer("visitor")
        found = {
            "animal": await proxy.get("/animals/987654321", headers=continuing(PROXYS)),
            "stranger": await stranger.get("/animals?name=Zebedee", headers=continuing(STRANGERS)),
            "ill-formed": await proxy.get("/animals", headers={"traceparent": "00-giraffe"}),
            "twice": await proxy.get("/animals", headers=[("traceparent", f"00-{TWICE}-{PARENT}-01")] * 2),
            "ill-formed state": await proxy.get("/animals", headers=continuing("b" * 32) | {"tracestate": "Whispered"}),
            "nowhere": await proxy.get("/987654321/elephants"),
            "probe": await after_another(address, "/health"),
            "sign-in": await proxy.post(
                "/auth/jwt/login", data={"username": email_of("visitor"), "password": "correct-horse-battery"}
            ),
            "reset": await proxy.post("/auth/forgot-password", json={"email": email_of("visitor")}),
            "order": await proxy.post(
                "/orders",
                json={"order": [{"product": "Zebedee", "size": "small"}]},
                headers=visitor,
            ),
        }
        found["pay"] = await proxy.post(
            f"{found['order'].headers['Location']}/pay", headers=visitor | continuing(PAYING)
        )
        for number in range(20):  # each on a connection of its own, which either worker accepts
            async with httpx.AsyncClient(base_url=address, timeout=HANGS) as client:
                found[f"either {number}"] = await client.get("/animals?limit=1")
        admin = await superuser(server, database)
        await admin.execute("REVOKE SELECT ON animals FROM zoo_api")
        await admin.close()
        found["broken"] = await proxy.get("/animals?name=Zebedee")
    return found


async def after_another(address: str, path: str) -> httpx.Response:
    """The answer, without its body, to the second of two requests that are sent at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(address).port)
    writer.write(b"GET /animals?limit=1 HTTP/1.1\r\nHost: zoo\r\n\r\n")
    writer.write(f"GET {path} HTTP/1.1\r\nHost: zoo\r\nConnection: close\r\n\r\n".encode())
    head = (await reader.read()).rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")[0]
    writer.close()
    status, *headers = head.decode().split("\r\n")
    return httpx.Response(int(status[:3]), headers=dict(line.split(": ", 1) for line in headers))


def read(log: Path) -> list[Log]:
    return [json.loads(line) for line in log.read_text().splitlines()]


async def test_the_span_of_a_request_has_the_template_of_its_route_as_a_name(story: Story) -> None:
    names = {name: story.request(name).name for name in ("animal", "stranger", "nowhere", "pay")}
    assert names == {
        "animal": "GET /animals/{animal_id}",
        "stranger": "GET /animals",
        "nowhere": "GET",
        "pay": "POST /orders/{order_id}/pay",
    }
    assert attributes(story.request("animal")) == {
        "http.request.method": "GET",
        "http.route": "/animals/{animal_id}",
        "http.response.status_code": 404,
    }
    assert "X-Trace-ID" not in story.answers["probe"].headers


async def test_only_a_trusted_proxy_says_which_trace_a_request_belongs_to(story: Story) -> None:
    assert (story.trace("animal"), story.request("animal").parent_span_id.hex()) == (PROXYS, PARENT)
    assert (story.trace("stranger") != STRANGERS, story.request("stranger").parent_span_id) == (True, b"")
    assert story.request("ill-formed").parent_span_id == b""
    assert (story.trace("twice") != TWICE, story.request("twice").parent_span_id) == (True, b"")
    assert STRANGERS not in {span.trace_id.hex() for span in story.collector.spans()}


async def test_statements_are_spans_with_their_operation_and_table_as_a_name(story: Story) -> None:
    below = [span.name for span in story.spans("stranger") if span.kind == Span.SPAN_KIND_CLIENT]
    assert below == ["SELECT animals"]
    request = story.request("stranger")
    (statement,) = (span for span in story.spans("stranger") if span.parent_span_id == request.span_id)
    assert request.start_time_unix_nano <= statement.start_time_unix_nano < statement.end_time_unix_nano
    assert attributes(statement) == {"db.system.name": "postgresql", "db.query.summary": "SELECT animals"}
    names = {span.name for span in story.spans("order")}
    assert {"BEGIN", "INSERT orders", "INSERT order_items", "COMMIT"} <= names


async def test_a_call_of_a_service_outside_is_a_span_and_tells_the_service_of_it(story: Story) -> None:
    for service in ("payments", "kitchen"):
        (span,) = (span for span in story.spans("pay") if span.name == service)
        assert span.parent_span_id == story.request("pay").span_id
        (call,) = story.calls[service]
        assert call.headers["traceparent"] == f"00-{story.trace('pay')}-{span.span_id.hex()}-01"
        assert not {"baggage", "tracestate"} & call.headers.keys()
    assert "mail" in {span.name for span in story.spans("reset")}


async def test_no_span_has_a_value_of_a_request_or_of_the_database(story: Story) -> None:
    sent = b"".join(story.collector.bodies)
    assert sent
    assert [secret for secret in SECRETS if secret.encode() in sent] == []
    assert [line for line in story.lines if "hispered" in str(line)] == []


async def test_a_request_that_fails_and_its_statement_are_marked(story: Story) -> None:
    assert story.answers["broken"].status_code == 500
    for span in story.spans("broken"):
        assert span.status.code == Status.STATUS_CODE_ERROR
        assert attributes(span)["error.type"] == "InsufficientPrivilegeError"
        assert not span.events  # in which an exception would be quoted
        assert not span.status.message
    assert story.request("animal").status.code == Status.STATUS_CODE_UNSET


async def test_each_line_about_a_request_has_the_id_of_its_trace(story: Story) -> None:
    traces = {line["request_id"]: line.get("trace_id") for line in story.lines if line["event"] == "request"}
    for name, answer in story.answers.items():
        if name != "probe":
            assert traces[answer.headers["X-Request-ID"]] == story.trace(name)
    (error,) = (line for line in story.lines if line["event"] == "unexpected error")
    assert error["trace_id"] == story.trace("broken")
