"""Spans: what a request spends its time on, for a collector of traces. docs/observability.md says what is in them.

They are off unless api/external_services/collector.py is opened; each place that would make one then looks at a
variable, and goes on. In a span are names and numbers, but no value that a client has sent, or that is stored: neither
a path, a parameter of a statement, an address, nor the message of an exception, which may quote any of them.

Not by FastAPI's own telemetry: docs/decisions/spans-without-instrumentation.md.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# Without `baggage` and `tracestate`, whose values would go on to other services, whatever they are.
_PROPAGATOR = TraceContextTextMapPropagator()
_PARENT = "traceparent"
_PARENT_HEADER = _PARENT.encode()
LEAST_ERROR = 500

_SPAN: ContextVar[Span | None] = ContextVar("span", default=None)


class Tracing:
    """Whether there are spans."""

    tracer: Tracer | None = None


def trace_id() -> str | None:
    """The current trace's id, in 32 hexadecimal digits, also if its spans are not sampled; None without a trace."""
    span = _SPAN.get()
    return None if span is None else f"{span.get_span_context().trace_id:032x}"


def begin_request(tracer: Tracer, headers: Iterable[tuple[bytes, bytes]]) -> Span:
    """Begin the span of a request.

    It goes on with the trace that these headers name, if they name one: they are a proxy's that may do so, or none.
    """
    around, parents = Context(), [value for name, value in headers if name == _PARENT_HEADER]
    if len(parents) == 1:
        around = _PROPAGATOR.extract({_PARENT: parents[0].decode("latin-1")}, around)
    span = tracer.start_span("request", around, SpanKind.SERVER)
    _SPAN.set(span)  # never reset, because each request of a connection sets it
    return span


def begin_untraced() -> None:
    """Begin a request that has no span. Its context may be a copy of that of a request before it."""
    _SPAN.set(None)


def end_request(span: Span, *, method: str, route: str, status: int, failure: str | None) -> None:
    """End it. `failure` is the name of the exception that was not handled, if any."""
    if span.is_recording():
        span.update_name(f"{method} {route}" if route else method)
        about: dict[str, str | int] = {"http.request.method": method, "http.response.status_code": status}
        if route:
            about["http.route"] = route
        span.set_attributes(about)
        if status >= LEAST_ERROR:
            span.set_attribute("error.type", failure or str(status))
            span.set_status(StatusCode.ERROR)
    span.end()


@contextmanager
def call(service: str) -> Iterator[None]:
    """The span of a call of a service outside, with all its attempts; of a trace of its own, if there is none."""
    if Tracing.tracer is None:
        yield
        return
    span = Tracing.tracer.start_span(service, _around(), SpanKind.CLIENT, {"service.peer.name": service})
    outer = _SPAN.set(span)
    try:
        yield
    except BaseException as error:
        _fail(span, error)
        raise
    finally:
        _SPAN.reset(outer)
        span.end()


def add_statement(summary: str, began: int, ended: int, error: BaseException | None) -> None:
    """Add the span of a statement that has been run, if it belongs to a trace. Times are in ns since the epoch."""
    outer = _SPAN.get()
    if Tracing.tracer is None or outer is None or not outer.get_span_context().trace_flags.sampled:
        return
    attributes = {"db.system.name": "postgresql", "db.query.summary": summary}
    span = Tracing.tracer.start_span(summary, _around(), SpanKind.CLIENT, attributes, start_time=began)
    if error is not None:
        _fail(span, error)
    span.end(ended)


def passed_on() -> dict[str, str]:
    """The headers that tell another service of the current trace."""
    headers: dict[str, str] = {}
    if _SPAN.get() is not None:
        _PROPAGATOR.inject(headers, _around())
    return headers


def _around() -> Context:
    span = _SPAN.get()
    return Context() if span is None else set_span_in_context(span, Context())


def _fail(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR)
