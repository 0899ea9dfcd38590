"""A real SMTP server for the api's mail."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

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


@contextmanager
def serving(port: int) -> Iterator[Mailbox]:
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # the server's own, in the process of the api
    mailbox = Mailbox(port)
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
