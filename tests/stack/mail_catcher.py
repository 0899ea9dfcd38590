#!/usr/bin/env python3
"""In Mailpit's place, whose image only a registry has: a real SMTP server, with Mailpit's commands and paths.

`/mailpit` serves, `/mailpit readyz` checks that it does. GET /view/latest.txt is the newest mail's text.
"""

import sys
from socket import create_connection

if sys.argv[1:] == ["readyz"]:  # before the imports, which take time
    create_connection(("127.0.0.1", 8025), timeout=2).close()
    sys.exit()

from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

MAILS: list[str] = []


class Catcher:
    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - aiosmtpd's
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        MAILS.append(f"To: {message['To']}\n\n{message.get_content()}")
        return "250 OK"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = MAILS[-1] if MAILS and self.path == "/view/latest.txt" else None
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write((found or "").encode())


Controller(Catcher(), hostname="0.0.0.0", port=1025).start()
ThreadingHTTPServer(("", 8025), Handler).serve_forever()
