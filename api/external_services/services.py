"""The services outside of this stack, if they are configured."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from api.external_services.kitchen import Kitchen
from api.external_services.payments import Payments
from api.external_services.s3 import S3
from api.settings import Settings


@dataclass(frozen=True)
class Services:
    """Each is None where it is not configured; its file says what the api does then."""

    payments: Payments | None = None
    kitchen: Kitchen | None = None
    s3: S3 | None = None


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """The services of these settings, with connections that are closed when the block ends."""
    services = Services(
        payments=Payments(settings.payments_url) if settings.payments_url else None,
        kitchen=Kitchen(settings.kitchen_url) if settings.kitchen_url else None,
        s3=S3(settings) if settings.s3_url else None,
    )
    async with AsyncExitStack() as stack:
        for service in vars(services).values():
            if service:
                stack.push_async_callback(service.close)
        yield services
