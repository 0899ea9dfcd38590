"""Closes a connection so that the last answer arrives."""

import asyncio
from asyncio import TimerHandle, Transport
from collections.abc import Callable

MAX_BYTES = 64 * 2**20
SECONDS = 10


class LingeringTransport:
    """A connection's transport, for sending answers: `close()` goes on reading while the client sends.

    Closing a connection with unread data resets it, and a client that is still sending would lose the answer
    (RFC 9112, section 9.6). After MAX_BYTES or SECONDS it is closed in any case.
    """

    def __init__(self, transport: Transport, is_all_read: Callable[[], bool]) -> None:
        self._transport = transport
        self._bytes_left = MAX_BYTES
        self._timer: TimerHandle | None = None
        self._is_all_read = is_all_read
        self.write = transport.write

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._timer is not None or self._transport.is_closing()

    def close(self) -> None:
        """Send what was written, and close the connection: at once, or when the client has sent the rest."""
        if self._is_all_read() or self._transport.is_closing():
            self._transport.close()
        elif self._timer is None:
            self._transport.write_eof()
            self._timer = asyncio.get_running_loop().call_later(SECONDS, self._transport.abort)

    def discard(self, data: bytes) -> None:
        """Drop what arrives after the last answer."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            self._transport.abort()

    def connection_lost(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
