"""The payments service and the kitchen, if they are configured."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from api.external_services.kitchen import Kitchen
from api.external_services.payments import Payments
from api.settings import Settings


@dataclass(frozen=True)
class Services:
    """Without a payments service, orders are paid at the till; without a kitchen, only keepers see them."""

    payments: Payments | None = None
    kitchen: Kitchen | None = None


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """The services of these settings, with connections that are closed when the block ends."""
    async with AsyncExitStack() as stack:
        payments = Payments(settings.payments_url) if settings.payments_url else None
        kitchen = Kitchen(settings.kitchen_url) if settings.kitchen_url else None
        for service in (payments, kitchen):
            if service:
                stack.push_async_callback(service.close)
        yield Services(payments, kitchen)
