"""What an app has while it runs: created by its lifespan, and available to each request."""

import asyncio
from dataclasses import dataclass, field

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from api.background import Background
from api.database.driver import Database
from api.database.probes import Probes
from api.database.replica import Replica
from api.external_services.mail import Mail
from api.external_services.services import Services
from api.settings import Settings

NAME = "zoo"  # in the state that the server hands to each request


@dataclass(frozen=True)
class State:
    """The app's settings, and its access to the database and to outside services.

    `probes` have a connection of their own, so that they never wait behind requests. There is a `replica` only with
    DATABASE_READ_URL.
    The `background` is work that goes on when its request has been answered.
    `photos_are_due` wakes what works on photos.
    """

    settings: Settings
    database: Database
    sessionmaker: async_sessionmaker[AsyncSession]
    probes: Probes
    services: Services
    mail: Mail
    background: Background
    replica: Replica | None = None
    photos_are_due: asyncio.Event = field(default_factory=asyncio.Event)


def state_of(request: Request) -> State:
    """The state of the app that serves this request."""
    state: State = request.scope["state"][NAME]
    return state
