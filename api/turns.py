"""Turns at what there is little of, such as connections and the making of hashes: many asking is no way to get more.

Whoever asks belongs to groups: an address, say, and an account at that address. Of what is free at a moment, a group
may take as long as it has less than is left for all others. So one that asks for everything gets half; of several that
do, each gets the same, and as much again stays free for who comes next. Those who wait do so in turns: one of each
address, and one of each account at an address. Where too many wait, the largest group loses the last of its own.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Hashable
from itertools import chain, count

Group = tuple[Hashable, ...]

Asking = tuple[tuple[Group, ...], ...]
"""On whose behalf a turn is asked for: in each way in which groups can be told apart, those that it is for, from the
largest to the smallest. The ways alternate in saying who is next.
"""

# What a group that consists of others may have: behind one address are many.
SHARE_OF_MANY = 3


class TooManyWait(Exception):
    """There is no room to wait in, or others have less of it."""


def way(*names: Hashable) -> tuple[Group, ...]:
    """The groups that these names lead to: the one of the first, within it the one of the second, and so on."""
    return tuple([names[:length] for length in range(1, len(names) + 1)])


class Turns:
    """`size` turns at a time, for which `most_waiting` may wait."""

    def __init__(self, size: int, most_waiting: int) -> None:
        self._free = size
        self._taken: dict[Group, int] = {}
        self._most_waiting = most_waiting
        self._waiting = 0
        self._queues: dict[Asking, deque[asyncio.Future[None]]] = {}
        # Of each group that waits: the number of its queues; and when it came or had a turn, as an ever larger number.
        self._queues_of: Counter[Group] = Counter()
        self._since: dict[Group, int] = {}
        self._clock = count()

    async def take(self, asking: Asking, seconds: float) -> None:
        """A turn, which has to be given back: at once or, within `seconds`, after those who are before it.

        TimeoutError where that takes longer, TooManyWait where there is no room to wait.
        """
        if self._may(asking):  # which none of those who wait may, or they would not
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
        """End a turn; the next begins."""
        self._count(asking, -1)
        while self._waiting and (following := self._next()) is not None:
            turn = self._queues[following][0]
            self._leave(following, turn)
            if not turn.done():  # else its task is cancelled, and does not know yet
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
        """Of those who may, the ones whose groups have waited longest, from the largest to the smallest."""
        if len(self._queues) == 1:
            (only,) = self._queues
            return only if self._may(only) else None
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
        """Of those who wait, the ones with the largest groups; `last` where others have no larger ones."""
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
