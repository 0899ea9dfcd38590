"""A payments service and a kitchen for the stack, run in its api's image: python3 orders_outside.py PORT.

They respect idempotency keys. GET / lists what was requested.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

ASKED: list[tuple[str, str | None]] = []
ANSWERS: dict[tuple[str, str | None], dict[str, str]] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        asked = self.path, self.headers["Idempotency-Key"]
        ASKED.append(asked)
        new = {"id": str(uuid4()), "payment_id": str(uuid4()), "status": "paid"}
        self._answer(200 if self.path.endswith("/cancel") else 201, ANSWERS.setdefault(asked, new))

    def do_GET(self) -> None:
        self._answer(200, ASKED)

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
