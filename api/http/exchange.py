"""What each request and its answer get: an id, a line in the log, and the headers that all answers have."""

import logging
from collections.abc import Mapping
from time import perf_counter

import structlog
from opentelemetry.trace import Span, Tracer
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.client import CLIENT
from api.http.answers import Answer
from api.http.clients import client_of
from api.http.cors import PREFLIGHT, Cors
from api.http.error_handlers import internal_error
from api.http.path_prefix import HEADER as PREFIX
from api.http.path_prefix import PathPrefix
from api.http.proxies import TrustedProxies
from api.http.request_log import CLIENT_CLOSED_REQUEST, HEADER, PROBES, TRACE_HEADER, id_of, is_gone, write_line
from api.log import REQUEST_ID
from api.metrics import Now, known_method, observe_request
from api.settings import ENVIRONMENT, PUBLIC_URL, Settings
from api.traces import Tracing, begin_request, begin_untraced, end_request, trace_id

log = structlog.get_logger(__name__)
requests = logging.getLogger("api.requests")


class Exchange:
    """Pure ASGI middleware, the outermost: wherever the answer comes from, the request has an id and one line in the
    log, and the answer is completed. A HEAD is a GET whose body is not sent.

    The id is the one in X-Request-ID, if the client sends one; it is in the answer, and in every line that is logged
    meanwhile. An unhandled error is logged and answered here, and not raised again.

    This could be several middlewares, but each would search the headers of the request and of the answer, and hold the
    answer back.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.proxies = TrustedProxies(settings.forwarded_allow_ips)
        self.prefix = PathPrefix(settings.root_path, self.proxies)
        self.cors = Cors(settings.cors_origins) if settings.cors_origins else None
        self.gzip = settings.gzip
        self.environment = settings.environment
        self.public_url = settings.public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        asked = dict(scope["headers"])
        path = self.prefix.find(scope, asked.get(PREFIX))
        request_id = id_of(asked.get(HEADER))
        Now.in_flight += 1
        REQUEST_ID.set(request_id)  # never reset, because the server gives each request a context of its own
        inner = scope if scope["method"] != "HEAD" else {**scope, "method": "GET"}
        CLIENT.set(client_of(inner, asked))
        ENVIRONMENT.set(self.environment)
        PUBLIC_URL.set(self.public_url)
        span = None if Tracing.tracer is None else self._begin_span(Tracing.tracer, scope, path)
        always = self._always(request_id, asked)
        failure = None
        answer = Answer(inner, asked, always, send, may_be_gzip=self.gzip, is_head=inner is not scope)
        try:
            if self.cors is not None and self.cors.is_preflight(scope["method"], asked):
                await Response(status_code=204, headers=PREFLIGHT)(scope, receive, answer.send)
            else:
                await self.app(inner, receive, answer.send)
        except ClientDisconnect:
            answer.status = CLIENT_CLOSED_REQUEST
        except Exception as error:
            failure = type(error).__name__
            log.error("unexpected error", exc_info=error)  # noqa: TRY400 - the error has the traceback
            answer.status = 500
            if not answer.is_begun:
                await internal_error()(scope, receive, answer.send)
        finally:
            if is_gone(send):
                answer.status = CLIENT_CLOSED_REQUEST
            seconds = perf_counter() - started
            Now.in_flight -= 1
            route, method = getattr(inner.get("route"), "path", ""), known_method(scope["method"])
            observe_request(route, method, answer.status, seconds)
            if span is not None:
                end_request(span, method=method, route=route, status=answer.status, failure=failure)
            if requests.isEnabledFor(logging.INFO):
                write_line(scope["method"], path, answer.status, seconds, answer.size)

    def _begin_span(self, tracer: Tracer, scope: Scope, path: str) -> Span | None:
        if path in PROBES:
            begin_untraced()
            return None
        return begin_request(tracer, scope["headers"] if self.proxies.have_sent(scope) else ())

    def _always(self, request_id: str, asked: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        """The headers that the answer gets in any case."""
        always = [(HEADER, request_id.encode())]
        if (found := trace_id()) is not None:
            always.append((TRACE_HEADER, found.encode()))
        if self.cors is not None:
            always += self.cors.headers(asked)
        return always
