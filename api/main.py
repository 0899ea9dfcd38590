"""The application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import __version__
from api.body_limit import BodyLimit
from api.database import create_engine, create_sessionmaker
from api.errors import add_handlers
from api.openapi import COMMON, operation_id
from api.routers import animals, docs, exhibits, health, staff
from api.settings import Settings, load_settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The api on these settings; by default those of the environment. ValueError where they can't be used."""
    settings = settings or load_settings()
    settings.api_database()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_engine(settings)
        app.state.sessionmaker = create_sessionmaker(engine)
        yield
        await engine.dispose()

    app = FastAPI(
        title="Zoo",
        summary="Exhibits, animals and staff of a zoo.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # see api/routers/docs.py
        redoc_url=None,
        generate_unique_id_function=operation_id,
        responses=COMMON,
    )
    app.add_middleware(BodyLimit)
    add_handlers(app)
    for router in (exhibits.router, animals.router, staff.router, health.router, docs.router):
        app.include_router(router)
    docs.mount_assets(app)
    return app
