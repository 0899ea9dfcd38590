"""The collector of traces, by OTLP over HTTP. Imported only if there is one, because OpenTelemetry's SDK is.

ValueError when it is imported if OpenTelemetry's library can't use one of its own limits.
"""

import asyncio
import logging
import os
import re
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.util.re import parse_env_headers

from api.settings import Settings
from api.traces import Tracing

# What is left may take so long when a worker ends; it comes after its background work, within graceful_timeout.
FLUSH_SECONDS = 3
PARENT_BASED = "parentbased_"
# OpenTelemetry's names and defaults; times are in ms.
BATCHES = {
    "OTEL_BSP_SCHEDULE_DELAY": 5_000,
    "OTEL_BSP_EXPORT_TIMEOUT": 30_000,
    "OTEL_BSP_MAX_QUEUE_SIZE": 2_048,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": 512,
}

log = structlog.get_logger(__name__)


class Collector(SpanExporter):
    """OpenTelemetry's exporter, which says in one line that the collector has failed, and in one that it is back.

    The library says it for each attempt, of each batch. It is used by one thread, that of the batches, in which it may
    wait for as long as it likes: what then finds no room in the queue is dropped.
    """

    def __init__(self, url: str, headers: str) -> None:
        self._said = _Said()
        logging.getLogger(trace_exporter.__name__).filters = [self._said]
        self._exporter = trace_exporter.OTLPSpanExporter(url, headers=parse_env_headers(headers, liberal=True))
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._said.first = None
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning("traces are not exported", reason=self._said.first)
            self._lost += len(spans)
        elif self._lost:
            log.info("traces are exported again", spans_lost=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Said(logging.Filter):
    """Keeps the first line that a logger is given, and passes none."""

    first: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        self.first = self.first or record.getMessage()
        return False


def require_usable() -> None:
    """ValueError if the library can't use its own settings: each worker would say so with a traceback."""
    SpanLimits()  # which reads them
    found = {}
    for name, default in BATCHES.items():
        value = os.environ.get(name, str(default))
        if not re.fullmatch("[1-9][0-9]*", value):
            raise ValueError(f"{name}: write a whole number from 1 up, or leave it out")
        found[name] = int(value)
    at_once, most = found["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"], found["OTEL_BSP_MAX_QUEUE_SIZE"]
    if at_once > most:
        raise ValueError(f"OTEL_BSP_MAX_EXPORT_BATCH_SIZE: is {at_once}, more than OTEL_BSP_MAX_QUEUE_SIZE, {most}")


@asynccontextmanager
async def open_collector(settings: Settings) -> AsyncIterator[None]:
    """Spans are made, and sent to the collector of the settings, until the block ends.

    It has to be opened in the process that makes them: threads do not outlive a fork.
    """
    assert settings.traces_url is not None
    headers = settings.otel_exporter_otlp_headers
    collector = Collector(settings.traces_url, headers.get_secret_value() if headers else "")
    about = {"service.name": settings.otel_service_name, "service.version": settings.release}
    provider = TracerProvider(_sampler(settings), Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(collector))
    Tracing.tracer = provider.get_tracer("api")
    try:
        yield
    finally:
        Tracing.tracer = None
        await _shut_down(provider)


def _sampler(settings: Settings) -> Sampler:
    roots: dict[str, Any] = {
        "always_on": ALWAYS_ON,
        "always_off": ALWAYS_OFF,
        "traceidratio": TraceIdRatioBased(settings.otel_traces_sampler_arg),
    }
    root: Sampler = roots[settings.otel_traces_sampler.removeprefix(PARENT_BASED)]
    return ParentBased(root) if settings.otel_traces_sampler.startswith(PARENT_BASED) else root


async def _shut_down(provider: TracerProvider) -> None:
    """Send what is left. It takes as long as the library likes, so in a thread that nothing waits for."""
    thread = threading.Thread(target=provider.shutdown, daemon=True)
    thread.start()
    deadline = asyncio.get_running_loop().time() + FLUSH_SECONDS
    while thread.is_alive() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.02)
    if thread.is_alive():
        log.warning("the last traces are not exported: the collector takes too long")
