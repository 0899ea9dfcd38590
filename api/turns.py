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
        self._most_waiting = most_waiting
        self._taken: Counter[Group] = Counter()
        self._waiting: Counter[Group] = Counter()
        self._number_waiting = 0
        self._queues: dict[Asking, deque[asyncio.Future[None]]] = {}
        # When a group of those who wait came, or had a turn: an ever larger number. The smallest is next.
        self._since: dict[Group, int] = {}
        self._clock = count()

    async def take(self, asking: Asking, seconds: float | None = None) -> None:
        """A turn, which has to be given back: at once or, within `seconds`, after those who are before it.

        TimeoutError where that takes longer, TooManyWait where there is no room to wait.
        """
        if self._may(asking):  # which none of those who wait may, or they would not
            self._count(asking, 1)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue(asking, turn)
        async with asyncio.timeout(seconds):
            try:
                await turn
            except asyncio.CancelledError:
                if turn in (queue := self._queues.get(asking, ())):
                    self._leave(asking, queue.index(turn))
                elif not turn.cancelled() and turn.exception() is None:
                    self.give_back(asking)
                raise

    def give_back(self, asking: Asking) -> None:
        """End a turn; the next begins."""
        self._count(asking, -1)
        while self._queues and (following := self._next()) is not None:
            self._begin(following)

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
                taken[group] = now = taken.get(group, 0) + number
                if not now:
                    del taken[group]

    def _next(self) -> Asking | None:
        """Of those who may, the ones whose groups have waited longest, from the largest to the smallest."""
        if len(self._queues) == 1:
            (only,) = self._queues
            return only if self._may(only) else None
        turn = next(self._clock)

        def waits_since(asking: Asking) -> list[int]:
            return [self._since[group] for group in asking[turn % len(asking)]] if asking else []

        return min(filter(self._may, self._queues), key=waits_since, default=None)

    def _begin(self, asking: Asking) -> None:
        turn = self._leave(asking, 0)
        for group in chain(*asking):
            if group in self._since:
                self._since[group] = next(self._clock)
        if not turn.done():  # else its task is cancelled, and does not know yet
            self._count(asking, 1)
            turn.set_result(None)

    def _enqueue(self, asking: Asking, turn: asyncio.Future[None]) -> None:
        self._queues.setdefault(asking, deque()).append(turn)
        self._number_waiting += 1
        for group in chain(*asking):
            if group not in self._since:
                self._since[group] = next(self._clock)
            self._waiting[group] += 1
        if self._number_waiting > self._most_waiting:

            def how_many(one: Asking) -> tuple[list[int], bool]:
                return [self._waiting[group] for group in chain(*one)], one == asking

            largest = max(self._queues, key=how_many)
            last = self._leave(largest, -1)
            if not last.done():
                last.set_exception(TooManyWait)

    def _leave(self, asking: Asking, place: int) -> asyncio.Future[None]:
        """Who waits at that place of its queue, and waits no more."""
        queue = self._queues[asking]
        turn = queue[place]
        del queue[place]
        if not queue:
            del self._queues[asking]
        self._number_waiting -= 1
        for group in chain(*asking):
            self._waiting[group] -= 1
            if not self._waiting[group]:
                del self._waiting[group], self._since[group]
        return turn
