"""The api from the start to its first answer, in one process; prints the seconds of each step as JSON.

A script of its own, which imports nothing before it measures: see cold_start.py.
"""

# ruff: noqa: PLC0415 - imports are what is measured

import time


def main() -> None:
    """Measure once."""
    last = time.perf_counter()
    steps: dict[str, float] = {}

    def done(step: str) -> None:
        nonlocal last
        now = time.perf_counter()
        steps[step], last = now - last, now

    from api.main import create_app

    done("importing the api and its libraries")
    app = create_app()
    done("making the app")

    import asyncio
    import json

    import httpx
    from starlette.types import Receive, Scope, Send

    async def answer() -> None:
        async with app.router.lifespan_context(app) as state:
            done("its lifespan's start")

            async def as_served(scope: Scope, receive: Receive, send: Send) -> None:
                await app({**scope, "state": state}, receive, send)

            async with httpx.AsyncClient(transport=httpx.ASGITransport(as_served), base_url="http://zoo") as client:
                done("(the client's start, not the api's)")
                (await client.get("/animals/1")).raise_for_status()
                done("the first answer, which opens a connection")
                (await client.get("/animals/1")).raise_for_status()
                done("the second")

    asyncio.run(answer())
    print(json.dumps(steps))


if __name__ == "__main__":
    main()
