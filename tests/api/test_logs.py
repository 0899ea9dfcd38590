"""The log of the api: the ids of requests, a line for each, and failures that repeat."""

import asyncio
import contextlib
import gc
import io
import json
import logging
import socket
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from uuid_utils import UUID

from api.crud.resources import RESOURCES
from api.http.request_log import MAX_PATH, PROBES
from api.log import REQUEST_ID, Formatter, RequestRecord, configure_log
from api.main import Api, create_app
from api.routers import health
from api.schemas.fields import RECORD_BODY
from api.server import repeats
from api.settings import Settings
from tests.conftest import Log, serve_requests
from tests.ports import find_free_port
from tests.python import HANGS

ReadLog = Callable[[], list[Log]]
SECRET = "a secret giraffe"  # a traceback also has lines of the source


class Wrong(Exception):
    """An error that nothing handles."""


def away() -> Settings:
    return Settings(database_url=f"postgresql://zoo_api@127.0.0.1:{find_free_port()}/zoo")


@pytest.fixture(scope="module")
def broken_app() -> Api:
    """An api whose database is down, and whose routes below /broken fail, each at a place of its own."""
    app, router = create_app(away()), APIRouter(tags=["test"])

    @router.get("/broken/here")
    async def fail_here() -> None:
        raise Wrong

    @router.get("/broken/there")
    async def fail_there() -> None:
        raise Wrong

    @router.get("/broken/answer", response_model=RESOURCES["animals"].read)
    async def answer_in_another_form() -> Any:
        return {"name": "Secret Person"}

    @router.get("/slow")
    async def wait_for_the_client_to_leave(request: Request) -> None:
        request.app.state.reached.set()
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)

    app.include_router(router)
    return app


@pytest.fixture(scope="module")
async def broken(broken_app: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with serve_requests(broken_app) as app, app.client("admin") as client:
        yield client


def of_requests(lines: list[Log]) -> list[Log]:
    return [line for line in lines if line["event"] == "request"]


class TestRequestId:
    @pytest.mark.parametrize("request_id", ["7b1d3c9e-90c5-4cf2-9a1c-3e0f2f6d1c11", "01ARZ.ndek_TSV", "a", "x" * 128])
    async def test_one_that_is_well_formed_is_kept(
        self, client: httpx.AsyncClient, log: ReadLog, request_id: str
    ) -> None:
        answer = await client.get("/animals", headers={"X-Request-ID": request_id})
        assert answer.headers.get_list("X-Request-ID") == [request_id]
        assert [line["request_id"] for line in log()] == [request_id]

    async def test_any_other_is_replaced(self, client: httpx.AsyncClient, log: ReadLog) -> None:
        for number, request_id in enumerate(("", "x" * 129, "a b", 'a"b', "a\tb", "a;b", "a\\b", "\u00e9", "<a>")):
            answer = await client.get("/docs", headers=[(b"X-Request-ID", request_id.encode())])
            (made,) = answer.headers.get_list("X-Request-ID")
            assert UUID(made).version == 7, request_id
            assert [line["request_id"] for line in log()[number:]] == [made], request_id

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (("GET", "/animals"), 503),
            (("GET", "/health/db"), 503),
            (("GET", "/"), 307),
            (("GET", "/docs/assets/swagger-ui.css"), 200),
            (("GET", "/docs/assets/none"), 404),
            (("GET", "/unicorns"), 404),
            (("PUT", "/animals"), 405),
            (("GET", "/animals?unknown=1"), 422),
            (("GET", "/broken/here"), 500),
        ],
    )
    async def test_every_answer_has_the_one_in_the_log(
        self, broken: httpx.AsyncClient, log: ReadLog, request_: tuple[str, str], status: int
    ) -> None:
        answer = await broken.request(*request_)
        assert answer.status_code == status
        (request_id,) = answer.headers.get_list("X-Request-ID")
        assert {line["request_id"] for line in log()} == {request_id}

    async def test_a_body_that_is_refused_has_one_too(self, client: httpx.AsyncClient) -> None:
        large = await client.post("/animals", content=b" " * (RECORD_BODY + 1))
        other = await client.post("/animals", content=b"<xml/>", headers={"Content-Type": "text/xml"})
        assert [(answer.status_code, "X-Request-ID" in answer.headers) for answer in (large, other)] == [
            (413, True),
            (415, True),
        ]

    async def test_requests_at_the_same_time_have_their_own(self, broken: httpx.AsyncClient, log: ReadLog) -> None:
        ids = [f"request-{number}" for number in range(10)]
        answers = await asyncio.gather(*(broken.get("/animals", headers={"X-Request-ID": one}) for one in ids))
        assert [answer.headers["X-Request-ID"] for answer in answers] == ids
        assert Counter(line["request_id"] for line in of_requests(log())) == Counter(ids)


class TestLineOfARequest:
    async def test_has_the_request_and_its_answer_but_nothing_about_the_client(
        self, client: httpx.AsyncClient, log: ReadLog
    ) -> None:
        answer = await client.get("/animals?name=Ngozi", headers={"User-Agent": "Ngozi's"})
        (line,) = log()
        assert line.pop("timestamp").endswith("Z")
        assert line.pop("duration_ms") > 0
        assert line == {
            "event": "request",
            "level": "info",
            "request_id": answer.headers["X-Request-ID"],
            "method": "GET",
            "path": "/animals",
            "status": 200,
            "bytes": len(answer.content),
        }

    async def test_has_a_path_of_limited_length_without_addresses_and_control_characters(
        self, client: httpx.AsyncClient, log: ReadLog
    ) -> None:
        logged = {
            "/people/ngozi@zoo.example": "/people/(address)",
            "/people/ngozi%40zoo.example/x": "/people/(address)/x",
            "/a%0Ab%22": '/a\\nb"',
            "/%1B[2J%22": '/\\x1b[2J"',
            "/" + "x" * 1000: "/" + "x" * (MAX_PATH - 1),
            "/" + "x" * 60_000 + "/@": "/" + "x" * (MAX_PATH - 1),
        }
        for sent in logged:
            await client.get(sent)
        assert [line["path"] for line in log()] == list(logged.values())

    async def test_is_a_warning_if_the_fault_is_the_servers(self, broken: httpx.AsyncClient, log: ReadLog) -> None:
        for path in ("/animals", "/unicorns", "/broken/here"):
            await broken.get(path)
        assert [(line["status"], line["level"]) for line in of_requests(log())] == [
            (503, "warning"),
            (404, "info"),
            (500, "warning"),
        ]

    async def test_is_left_out_for_successful_probes(
        self, client: httpx.AsyncClient, broken: httpx.AsyncClient, log: ReadLog
    ) -> None:
        assert {route.path for route in health.router.routes if hasattr(route, "path")} == PROBES
        for path in PROBES:
            await client.get(path)
        assert log() == []
        await broken.get("/health/ready")
        assert [(line["path"], line["status"]) for line in of_requests(log())] == [("/health/ready", 503)]

    @pytest.mark.usefixtures("log")
    def test_is_the_same_by_the_shortcut_as_by_structlog(self) -> None:
        REQUEST_ID.set("one")
        record = RequestRecord("GET", '/"\u00e9', 500, 0.12345, 7)
        (handler,) = logging.root.handlers
        assert isinstance(handler.formatter, Formatter)
        as_any = logging.makeLogRecord(record.__dict__)
        short, long = (json.loads(handler.format(one)) for one in (record, as_any))
        assert short.pop("timestamp")[:16] == long.pop("timestamp")[:16]
        assert short == long


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """The port on which uvicorn serves `app`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
        task = asyncio.create_task(server.serve([listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await task


async def test_an_answer_without_its_documented_form_is_logged_without_its_content(
    broken: httpx.AsyncClient, log: ReadLog
) -> None:
    answer = await broken.get("/broken/answer")
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal server error"})
    why, request = log()
    assert {"type": "missing", "loc": ["response", "id"]} in why["wrong"]
    assert (why["level"], request["status"]) == ("error", 500)
    assert "Secret" not in str(log())


class TestClientThatDisconnects:
    async def test_before_its_answer_is_logged_as_such(self, broken_app: FastAPI, log: ReadLog) -> None:
        broken_app.state.reached = reached = asyncio.Event()
        async with served(broken_app) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: zoo.test\r\n\r\n")
            await reached.wait()
            writer.close()
        assert [(line["path"], line["status"], line["level"]) for line in of_requests(log())] == [
            ("/slow", 499, "info")
        ]
        assert {line["level"] for line in log()} == {"info"}

    @pytest.mark.parametrize("path", ["/animals", "/auth/jwt/login"])
    async def test_in_the_middle_of_its_body_is_logged_as_such(
        self, broken_app: FastAPI, log: ReadLog, path: str
    ) -> None:
        """A body that FastAPI reads, and a form, which the route has read before."""
        async with served(broken_app) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"POST {path} HTTP/1.1\r\nHost: zoo.test\r\nContent-Type: application/json\r\n"
                'Content-Length: 100\r\n\r\n{"email"'.encode()
            )
            await writer.drain()
            writer.close()
            while not of_requests(log()):
                await asyncio.sleep(0.01)
        assert [line["status"] for line in of_requests(log())] == [499]
        assert {line["level"] for line in log()} == {"info"}

    async def test_after_its_answer_does_not_change_its_line(self, broken_app: FastAPI, log: ReadLog) -> None:
        async with served(broken_app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /unicorns HTTP/1.1\r\nHost: zoo.test\r\nConnection: close\r\n\r\n")
            assert b"x-request-id" in await reader.read()
            writer.close()
        assert [line["status"] for line in of_requests(log())] == [404]


async def until_all_is_said(log: ReadLog, event: str, times: int) -> list[Log]:
    """The lines about `event`, once they count `times` together."""
    async with asyncio.timeout(HANGS):
        while True:
            found = [line for line in log() if line["event"] == event]
            if sum(line.get("repeated", 1) for line in found) >= times:
                return found
            await asyncio.sleep(0.01)


class TestRepeatedFailures:
    REQUESTS = 20

    async def test_an_outage_is_logged_once_and_then_with_a_count(
        self, broken: httpx.AsyncClient, log: ReadLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(repeats, "SECONDS", 0.5)
        for _ in range(self.REQUESTS):
            await broken.get("/animals")
        said = await until_all_is_said(log, "can't serve", self.REQUESTS)
        assert "database can't be reached" in said[0]["reason"]
        assert [("repeated" in line, "request_id" in line) for line in said] == (
            [(False, True)] + [(True, False)] * (len(said) - 1)
        )
        assert sum(line.get("repeated", 1) for line in said) == self.REQUESTS
        assert len(of_requests(log())) == self.REQUESTS
        assert {line["event"] for line in log()} == {"request", "can't serve"}

    async def test_an_error_has_its_traceback_once_for_each_place(
        self, broken: httpx.AsyncClient, log: ReadLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(repeats, "SECONDS", 3600)  # even if the machine is slow
        for _ in range(self.REQUESTS):
            for path in ("/broken/here", "/broken/there"):
                answer = await broken.get(path)
                assert (answer.status_code, answer.json()) == (500, {"detail": "Internal server error"})
        here, there = (line for line in log() if line["event"] == "unexpected error")
        assert "in fail_here" in here["exception"]
        assert "in fail_there" in there["exception"]
        assert here["request_id"] == of_requests(log())[0]["request_id"]
        assert len(log()) == 2 * self.REQUESTS + 2

    async def test_an_error_that_continues_is_named_in_one_line(
        self, broken: httpx.AsyncClient, log: ReadLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(repeats, "SECONDS", 0.5)
        for _ in range(10):
            await broken.get("/broken/here")
        _, *more = await until_all_is_said(log, "unexpected error", 10)
        for line in more:
            assert line["error"] == "Wrong: "
            assert __file__ in line["at"]
            assert "exception" not in line

    async def test_after_a_while_without_one_the_next_has_its_traceback_again(
        self, broken: httpx.AsyncClient, log: ReadLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(repeats, "SECONDS", 0)
        for _ in range(2):
            await broken.get("/broken/here")
            await asyncio.sleep(0.01)
        assert ["exception" in line for line in log() if line["event"] == "unexpected error"] == [True, True]

    async def test_lines_of_libraries_are_counted_too(self, log: ReadLog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(repeats, "SECONDS", 3600)

        async def fail() -> None:
            raise Wrong

        for number in range(self.REQUESTS):
            logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
            logging.getLogger("other").error("connection %d was lost", number)
            task = asyncio.create_task(fail())
            await asyncio.wait([task])
            del task
        gc.collect()
        events = Counter(line["event"].partition("\n")[0] for line in log())
        assert events == {
            "Invalid HTTP request received.": 1,
            "connection 0 was lost": 1,
            "Task exception was never retrieved": 1,
        }

    async def test_lines_with_different_data_count_separately(self, log: ReadLog) -> None:
        for number in range(5):
            structlog.get_logger().error("animal fed twice", animal=number)
        assert [line["animal"] for line in log()] == list(range(5))

    async def test_different_ones_are_limited_too(self, log: ReadLog) -> None:
        for number in range(150):
            structlog.get_logger().error("animal fed twice", animal=number)
        assert len(log()) == repeats.MAX_KINDS + 1


def test_a_warning_of_python_is_a_line(log: ReadLog) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert [line["level"] for line in log()] == ["warning"]
    assert "DeprecationWarning: old" in log()[0]["event"]


@pytest.mark.usefixtures("log")
def test_no_traceback_has_the_values_of_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for people nor for machines: passwords are among them."""

    def fail(password: str) -> None:
        raise Wrong(len(password))

    for form in ("text", "json"):
        written = io.StringIO()
        with contextlib.redirect_stderr(written):
            monkeypatch.setattr(logging.root, "handlers", [])
            configure_log(form)
            try:
                fail(SECRET)
            except Wrong:
                structlog.get_logger("api").exception("unexpected error")
        assert "in fail" in written.getvalue()
        assert SECRET not in written.getvalue()
