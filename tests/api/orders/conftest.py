"""The services outside that orders are paid with and made by."""

from collections.abc import AsyncIterator

import pytest

from tests.api.orders.outside import Outside, serving


@pytest.fixture
async def payments() -> AsyncIterator[Outside]:
    async with serving() as outside:
        yield outside


@pytest.fixture
async def kitchen() -> AsyncIterator[Outside]:
    async with serving() as outside:
        yield outside
