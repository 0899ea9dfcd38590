"""A bound on request bodies: on their size, and on what is parsed of them.

FastAPI's own `max_body_size` answers in plain text where Content-Length gives the size away; every error here is JSON.
"""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 2**20
MULTIPART = HTTPException(415, "Send no multipart body: JSON, or a form as application/x-www-form-urlencoded")
TOO_LARGE = HTTPException(413, "The body is over 1 MiB: send less at a time")


class BodyLimit:
    """Pure ASGI middleware: a route that reads a body over MAX_BODY_BYTES, announced or not, gets 413 in its stead.

    And 415 for a multipart body, which no route takes: Starlette would decode its parts with whatever codec the client
    names, and there are some that take minutes for a megabyte.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            headers = Headers(scope=scope)
            announced = headers.get("content-length", "")
            if headers.get("content-type", "").strip().lower().startswith("multipart/"):
                raise MULTIPART
            if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
                raise TOO_LARGE
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise TOO_LARGE
            return message

        await self.app(scope, limited_receive, send)
