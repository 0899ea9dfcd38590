"""What the api measures of itself while it runs, for Prometheus: docs/observability.md lists it.

Each process counts for itself. Under gunicorn it does so in files, which api/server/metrics.py adds up and serves. No
label has a value that a client chooses: of what is in a request, only the route's template and a known method are told.

A series of what fails begins before anything does: Prometheus sees no increase in the first value of one.
"""

from asyncio import CancelledError
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal, Protocol, get_args

from prometheus_client import Counter, Gauge, Histogram

from api.traces import call

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
# From an animal by its id to a request that waits for services outside of this stack.
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Histogram(
    "http_request_duration_seconds",
    "Requests by their route's template, empty if no route has the path, and class of status",
    ["route", "method", "status"],
    buckets=SECONDS,
)
IN_FLIGHT = Gauge("http_requests_in_flight", "Requests that are being answered", multiprocess_mode="livesum")
CONNECTIONS = Gauge(
    "db_pool_connections", "Connections to Postgres, in use or idle", ["state"], multiprocess_mode="livesum"
)
WAITING = Gauge("db_pool_requests_waiting", "Requests that wait for a connection", multiprocess_mode="livesum")
LAG = Gauge("event_loop_lag_seconds", "How late the event loop was, last", multiprocess_mode="livemax")
READY = Gauge("ready", "1 if the database answers and its schema fits this release", multiprocess_mode="livemostrecent")
RELEASE = Gauge(
    "release_info", "1; the labels say what runs", ["release", "schema_revision"], multiprocess_mode="livemax"
)
REPLICA_LAG = Gauge(
    "db_replica_lag_seconds",
    "How far the replica is behind; infinite if it can't be told",
    multiprocess_mode="livemax",
)
BACKUP = Gauge(
    "backup_saved_timestamp_seconds",
    "Of which time the last backup is that was saved; 0 if there is none of this database",
    multiprocess_mode="livemostrecent",
)
REFUSALS = Counter("refusals", "Requests refused: no connection in time, too many waiting, a limit reached", ["cause"])
SERVICES = Histogram(
    "external_request_duration_seconds",
    "Calls of services outside, with all their attempts: done, refused by the service, failed, or abandoned",
    ["service", "outcome"],
    buckets=SECONDS,
)
SWEEPS = Counter("sweeps", "Rounds of the api's own work, by each process", ["sweep", "outcome"])

Cause = Literal["pool", "queue", "limit"]
OUTCOMES = ("done", "refused", "failed", "abandoned")

for _cause in get_args(Cause):
    REFUSALS.labels(_cause)


class Now:
    """What changes too often to be written each time: a plain number, written once a second."""

    in_flight = 0


# A method, or a version of HTTP, that nobody should send: no failure of the api, though they begin with 5.
NOT_IMPLEMENTED = {501, 505}
_requests: dict[tuple[str, str, int], Histogram] = {}


def begin_with(routes: Iterable[tuple[str, str]]) -> None:
    """Begin the series of what fails, at 0, for these templates of routes and methods."""
    for route, method in routes:
        REQUESTS.labels(route, method, "5xx")


def known_method(method: str) -> str:
    """The method, or `other` if HTTP has no such: a client may send any word."""
    return method if method in METHODS else "other"


def observe_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count a request that has been answered; `method` is one of known_method()'s."""
    key = (route, method, status)
    found = _requests.get(key)
    if found is None:
        REQUESTS.labels(route, method, "5xx")
        first = 4 if status in NOT_IMPLEMENTED else status // 100
        _requests[key] = found = REQUESTS.labels(route, method, f"{first}xx")
    found.observe(seconds)


def count_refusal(cause: Cause) -> None:
    """Count a request that is refused, so that others are served."""
    REFUSALS.labels(cause).inc()


@contextmanager
def calling(service: str) -> Iterator[None]:
    """Measure a call of a service outside, which is a span, too. An exception whose `is_refusal` is true is a refusal;
    a call that is given up, because the process or its request ends, has not failed.
    """
    for each in OUTCOMES:
        SERVICES.labels(service, each)
    started, outcome = perf_counter(), "done"
    try:
        with call(service):
            yield
    except CancelledError:  # the service has not failed
        outcome = "abandoned"
        raise
    except BaseException as error:
        outcome = "refused" if getattr(error, "is_refusal", False) else "failed"
        raise
    finally:
        SERVICES.labels(service, outcome).observe(perf_counter() - started)


class Pool(Protocol):
    """What is measured of a pool of connections."""

    @property
    def waiting(self) -> int: ...
    def checkedin(self) -> int: ...
    def checkedout(self) -> int: ...


def observe_now(pool: Pool, lag_seconds: float) -> None:
    """Write what is so at this moment."""
    IN_FLIGHT.set(Now.in_flight)
    LAG.set(lag_seconds)
    WAITING.set(pool.waiting)
    CONNECTIONS.labels("in use").set(pool.checkedout())
    CONNECTIONS.labels("idle").set(pool.checkedin())
