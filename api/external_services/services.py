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
    """Without payments, orders are paid at the till; without a kitchen, keepers see them; without S3, no photos."""

    payments: Payments | None = None
    kitchen: Kitchen | None = None
    s3: S3 | None = None


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """The services of these settings, with connections that are closed when the block ends."""
    async with AsyncExitStack() as stack:
        payments = Payments(settings.payments_url) if settings.payments_url else None
        kitchen = Kitchen(settings.kitchen_url) if settings.kitchen_url else None
        s3 = S3(settings) if settings.s3_url else None
        for service in (payments, kitchen, s3):
            if service:
                stack.push_async_callback(service.close)
        yield Services(payments, kitchen, s3)
