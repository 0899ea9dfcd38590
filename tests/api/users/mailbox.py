"""A real SMTP server for the api's mail."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


class Mailbox:
    """What was delivered, and what it answers (250 accepts a mail)."""

    def __init__(self) -> None:
        self.url = ""  # once it listens
        self.messages: list[EmailMessage] = []
        self.answers: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - aiosmtpd's
        if self.answers:
            return self.answers.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 OK"

    def token(self) -> str:
        """The token in the newest mail."""
        found = re.search(r"^(eyJ\S+)", self.messages[-1].get_content(), re.MULTILINE)
        assert found
        return found[1]


@asynccontextmanager
async def serving() -> AsyncIterator[Mailbox]:
    """A mailbox on a port of its own, until the block ends.

    It runs in the test's event loop, which outlives it: aiosmtpd's controller ends a loop and a thread of its own, at
    times with a connection that nobody closes any more.
    """
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # the server's own, in the process of the api
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()
    # Any password is right, on a connection that is not encrypted, too: nothing but the api keeps one from being sent.
    make = partial(
        SMTP, mailbox, hostname="127.0.0.1", loop=loop, auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=True),
    )  # fmt: skip
    server = await loop.create_server(make, "127.0.0.1")
    mailbox.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield mailbox
    finally:
        server.close()
