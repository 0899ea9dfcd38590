"""Tasks that run until they are ended."""

import asyncio

AGAIN_SECONDS = 1.0


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel the tasks, and wait until they have ended.

    They are cancelled again if they go on: one that opens a connection at that very moment may lose it, and would be
    waited for without end.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
