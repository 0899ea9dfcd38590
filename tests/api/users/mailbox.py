"""A real SMTP server for the api's mail."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Mailbox:
    """What was delivered, and what it answers (250 accepts a mail)."""

    def __init__(self, port: int) -> None:
        self.url = f"smtp://127.0.0.1:{port}"
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


class Connection(SMTP):
    """aiosmtpd's own, with an event for its end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.has_ended = threading.Event()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.has_ended.set()


class Server(Controller):
    """aiosmtpd's own, which knows its connections."""

    def __init__(self, mailbox: Mailbox, port: int) -> None:
        super().__init__(mailbox, hostname="127.0.0.1", port=port)
        self.connections: list[Connection] = []

    def factory(self) -> Connection:
        self.connections.append(Connection(self.handler, **self.SMTP_kwargs))
        return self.connections[-1]


@contextmanager
def serving(port: int) -> Iterator[Mailbox]:
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # the server's own, in the process of the api
    mailbox = Mailbox(port)
    server = Server(mailbox, port)
    server.start()
    try:
        yield mailbox
    finally:
        for connection in server.connections:  # the server leaves one open that it has only just accepted
            connection.has_ended.wait(timeout=1)
        server.stop()
