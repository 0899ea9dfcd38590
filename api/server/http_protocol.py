"""HTTP as uvicorn speaks it, with an end to its patience.

uvicorn cuts off who sends no next request within the keep-alive time. For a first request, for the rest of one that has
begun, and for somebody to take an answer it waits without end. A client who leaves it at that, or sends a byte a
second, would keep a connection, and what belongs to it, for as long as it likes.
"""

from asyncio import TimerHandle, Transport

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's; who keeps it waiting in any of these ways for longer than the keep-alive time is cut off."""

    is_in_request = False
    for_request: TimerHandle | None = None
    for_reader: TimerHandle | None = None
    under_way: RequestResponseCycle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a first request."""
        super().connection_made(transport)
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, and begin to wait for the rest of it."""
        super().data_received(data)
        if self.is_in_request and self.for_request is None:
            self._wait_for_request()

    def on_message_begin(self) -> None:
        """Note that a request is under way."""
        super().on_message_begin()
        self.is_in_request = True

    def on_message_complete(self) -> None:
        """Note that all of a request is there."""
        super().on_message_complete()
        self.is_in_request = False
        if self.for_request is not None:
            self.for_request.cancel()
            self.for_request = None

    def _wait_for_request(self) -> None:
        self.for_request = self.loop.call_later(self.timeout_keep_alive, self._give_up_request)

    def _give_up_request(self) -> None:
        if self.flow.read_paused:  # it is we who do not read: requests that came before it are not answered yet
            self._wait_for_request()
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Begin to wait for the client to take what was sent."""
        super().pause_writing()
        self.for_reader = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has taken most of it. Of the last answer, it has to take the rest, too."""
        super().resume_writing()
        if self.for_reader is not None and not self.transport.is_closing():
            self.for_reader.cancel()
            self.for_reader = None

    def on_response_complete(self) -> None:
        """Where that was the last answer, wait for the client to take what is left of it, however little."""
        super().on_response_complete()
        if self.transport.is_closing() and self.for_reader is None:
            self.for_reader = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """Cut off who sends no next request; what was sent and is not taken until now is dropped, too."""
        self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.under_way = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more, and let the request that is under way know that the client has gone.

        uvicorn tells the last one that has arrived. Where that waits for those before it, the answer of the one that is
        under way would be written to a connection that is closed, which is an error.
        """
        super().connection_lost(exc)
        if self.under_way is not None and not self.under_way.response_complete:
            self.under_way.disconnected = True
            self.under_way.message_event.set()
        for timer in (self.for_request, self.for_reader):
            if timer is not None:
                timer.cancel()
