"""The application."""

import copy
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, request_response
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from api import __version__
from api.background import Background
from api.crud.cleaning import keep_clean
from api.crud.observing import keep_asking, keep_observing
from api.crud.orders.metrics import keep_counting_orders
from api.crud.orders.payments import keep_settling_orders
from api.crud.photos.work import keep_tending_photos
from api.crud.resource import fields_of
from api.crud.resources import RESOURCES
from api.database.driver import Database, PooledConnection
from api.database.engine import create_engine, create_sessionmaker
from api.database.probes import Probes
from api.database.replica import open_replica
from api.database.workers import seen
from api.external_services.mail import Mail
from api.external_services.services import open_services
from api.http.authentication import cookie_name, declare_sign_in
from api.http.document import INFO, complete, tags
from api.http.error_handlers import add_handlers
from api.http.exchange import Exchange
from api.http.users_exceptions import add_users_handler
from api.metrics import begin_with
from api.routers import auth, docs, health, orders, orders_docs, photos, users
from api.routers.records import records_router
from api.settings import Settings, load_settings
from api.state import NAME, State, state_of
from api.tasks import begin, end

# In the order in which the document has them.
ROUTERS = [
    photos,
    orders,
    users,
    auth,
    health,
    docs,
    orders_docs,
]
# How long background work may take after the last answer; it has to fit into gunicorn's graceful_timeout.
BACKGROUND_SECONDS = 10


class Api(FastAPI):
    """FastAPI with Exchange as the outermost middleware, in place of the one that answers 500."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self.settings = settings

    def openapi(self) -> dict[str, Any]:
        is_known = self.openapi_schema is not None
        document = super().openapi()
        if not is_known:
            complete(document)
            declare_sign_in(document, cookie_name(self.settings))
        return document

    def build_middleware_stack(self) -> ASGIApp:
        outermost = super().build_middleware_stack()
        assert isinstance(outermost, ServerErrorMiddleware)  # Exchange replaces it
        return Exchange(outermost.app, self.settings)


def create_app(settings: Settings | None = None) -> Api:
    """The api with these settings, by default those of the environment. ValueError if they can't be used."""
    settings = settings or load_settings()
    settings.require_usable()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, State]]:
        routes = (route for route in app.routes if isinstance(route, APIRoute))
        begin_with((route.path, method) for route in routes for method in route.methods or ())
        engine = create_engine(settings)
        # Probes have a connection of their own: a replica whose requests wait for one is still healthy.
        probing = create_engine(settings, pool_size=1)
        async with (
            _traces(settings),
            open_services(settings) as services,
            seen(probing, settings.release),
            open_replica(settings, probing) as replica,
        ):
            state = State(
                settings=settings,
                database=Database(partial(PooledConnection, engine)),
                sessionmaker=create_sessionmaker(engine),
                probes=Probes(create_sessionmaker(probing)),
                services=services,
                mail=Mail(settings),
                background=Background(),
                replica=replica,
            )
            tasks = [
                begin(keep_counting_orders(create_sessionmaker(probing).begin)),
                begin(keep_settling_orders(state.sessionmaker.begin, services)),
                begin(keep_tending_photos(state.sessionmaker.begin, services.s3, state.photos_are_due)),
                begin(keep_observing(engine)),
                begin(keep_asking(state.probes, settings.release)),
                begin(keep_clean(state.database, settings)),
            ]
            yield {NAME: state}
            await end(*tasks)
            await end(*state.probes.at_work)  # nobody asks any more
            await state.background.finish(BACKGROUND_SECONDS)
        await engine.dispose()
        await probing.dispose()

    groups = [(records_router(resource), resource.about) for resource in RESOURCES.values()]
    groups += [(module.router, str(module.__doc__).partition(": ")[2]) for module in ROUTERS]
    about = tags(groups)
    about.sort(key=lambda tag: tag["name"] != "auth")  # one signs in first
    app = Api(
        settings,
        title="Zoo",
        openapi_url=None,  # see api/routers/docs.py, too
        summary="A zoo: what lives in it, and what happens there.",
        description="Every answer has an `X-Request-ID`: that of the request, or a new one.",
        version=__version__,
        openapi_tags=about,
        **INFO,
        servers=[{"url": "/"}],
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A redirect would send the client, and the request's body, to whatever host the request names.
        redirect_slashes=False,
        # api/traces.py has the traces; FastAPI would look for its own at each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    add_handlers(app, lambda request: state_of(request).database, fields_of(RESOURCES.values()))
    add_users_handler(app)
    _refuse_twice([route for router, _ in groups for route in router.routes])
    # In the order in which they are tried. Not by include_router(), because FastAPI would then match each route twice.
    for router, _ in groups:
        app.router.routes.extend(_route_of(app, route) for route in router.routes)
    docs.mount_assets(app)
    return app


def _refuse_twice(routes: Iterable[BaseRoute]) -> None:
    """TypeError if one of them would hide another, because a table is called like a part of the api."""
    seen: set[tuple[str, str]] = set()
    for route in routes:
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            key = method, re.sub(r"\{[^}]*\}", "{}", route.path)
            if key in seen:
                raise TypeError(f"There are two routes {method} {route.path}: give the table another name")
            seen.add(key)


def _traces(settings: Settings) -> AbstractAsyncContextManager[None]:
    """What makes traces and sends them, until the block ends; nothing, and nothing imported, if nobody takes them."""
    if settings.traces_url is None:
        return nullcontext()
    from api.external_services.collector import open_collector  # noqa: PLC0415

    return open_collector(settings)


def _route_of(app: FastAPI, route: BaseRoute) -> BaseRoute:
    """A router's route as one of the app's, with the app's `dependency_overrides`, as include_router() makes it."""
    own = copy.copy(route)
    if isinstance(own, APIRoute):
        own.dependency_overrides_provider = app
        own.app = request_response(own.get_route_handler())
    return own
