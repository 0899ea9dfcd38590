"""Turns at scarce things, such as connections: asking often does not get a client more.

A request belongs to groups, for example an address, and a client at that address. A group gets another turn only
while it has fewer than are free. So a group that asks for everything gets half; if several do, each gets the same, and
as many stay free for others. Waiting requests are served in rotation: one of each address, and one of each client at
an address. If too many wait, the last request of the largest group is refused.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Hashable
from itertools import chain, count

Group = tuple[Hashable, ...]

Asking = tuple[tuple[Group, ...], ...]
"""The groups of a request for a turn: for each way of grouping, from the largest to the smallest. The ways alternate in
deciding which request is next.
"""

# A group of groups may have more, because there are many clients behind one address.
SHARE_OF_MANY = 3


class TooManyWait(Exception):
    """The queue is full, and no other group has more in it."""


def way(*names: Hashable) -> tuple[Group, ...]:
    """The groups of these names: the one of the first, within it the one of the second, and so on."""
    return tuple([names[:length] for length in range(1, len(names) + 1)])


class Turns:
    """`size` turns at a time; up to `most_waiting` requests may wait for one."""

    def __init__(self, size: int, most_waiting: int) -> None:
        self._free = size
        self._taken: dict[Group, int] = {}
        self._most_waiting = most_waiting
        self._waiting = 0
        self._queues: dict[Asking, deque[asyncio.Future[None]]] = {}
        # For each group that waits: the number of its queues, and when it came or last had a turn, as a growing number.
        self._queues_of: Counter[Group] = Counter()
        self._since: dict[Group, int] = {}
        self._clock = count()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._waiting

    async def take(self, asking: Asking, seconds: float) -> None:
        """Wait for a turn, for at most `seconds`; it has to be given back.

        TimeoutError if that takes longer, TooManyWait if too many wait.
        """
        if self._may(asking):  # no waiting request may, or it would not wait
            self._count(asking, 1)
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._enqueue(asking, turn)
        end = loop.call_later(seconds, self._refuse, asking, turn, TimeoutError)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(asking, turn)
            elif turn.exception() is None:
                self.give_back(asking)
            raise
        finally:
            end.cancel()

    def give_back(self, asking: Asking) -> None:
        """End a turn; the next one begins."""
        self._count(asking, -1)
        while self._waiting and (following := self._next()) is not None:
            turn = self._queues[following][0]
            self._leave(following, turn)
            if not turn.done():  # otherwise its task was cancelled, but has not run since
                self._count(following, 1)
                turn.set_result(None)

    def _may(self, asking: Asking) -> bool:
        free, taken = self._free, self._taken
        if not free:
            return False
        for *larger, smallest in asking:
            if taken.get(smallest, 0) >= free:
                return False
            for group in larger:
                if taken.get(group, 0) >= SHARE_OF_MANY * free:
                    return False
        return True

    def _count(self, asking: Asking, number: int) -> None:
        self._free -= number
        taken = self._taken
        for groups in asking:
            for group in groups:
                now = taken.get(group, 0) + number
                if now:
                    taken[group] = now
                else:
                    del taken[group]

    def _next(self) -> Asking | None:
        """Of those that may have a turn, the one whose groups have waited longest, compared from the largest on."""
        turn = next(self._clock)

        def waits_since(asking: Asking) -> list[int]:
            return [self._since[group] for group in asking[turn % len(asking)]] if asking else []

        following = min(filter(self._may, self._queues), key=waits_since, default=None)
        for group in chain(*following or ()):
            self._since[group] = next(self._clock)
        return following

    def _enqueue(self, asking: Asking, turn: asyncio.Future[None]) -> None:
        if asking not in self._queues:
            self._queues[asking] = deque()
            for group in chain(*asking):
                self._queues_of[group] += 1
                self._since.setdefault(group, next(self._clock))
        self._queues[asking].append(turn)
        self._waiting += 1
        if self._waiting > self._most_waiting:
            largest = self._largest(asking)
            self._refuse(largest, self._queues[largest][-1], TooManyWait)

    def _largest(self, last: Asking) -> Asking:
        """Of those that wait, the one with the largest groups; `last` if no other's are larger."""
        number: Counter[Group] = Counter()
        for asking, queue in self._queues.items():
            for group in chain(*asking):
                number[group] += len(queue)
        return max(self._queues, key=lambda asking: ([number[group] for group in chain(*asking)], asking == last))

    def _refuse(self, asking: Asking, turn: asyncio.Future[None], error: type[Exception]) -> None:
        if not turn.done():
            self._leave(asking, turn)
            turn.set_exception(error)

    def _leave(self, asking: Asking, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(asking)
        if queue is None or turn not in queue:
            return
        queue.remove(turn)
        self._waiting -= 1
        if not queue:
            del self._queues[asking]
            for group in chain(*asking):
                self._queues_of[group] -= 1
                if not self._queues_of[group]:
                    del self._queues_of[group], self._since[group]
