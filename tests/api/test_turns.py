"""Turns: nobody gets more of a scarce thing than is left for others."""

import asyncio
import weakref
from collections import Counter

import pytest

from api.turns import Asking, TooManyWait, Turns, way

SIZE, MOST, PATIENCE = 8, 40, 60.0


class Order:
    """Requests that wait while another one has the only turn, and the order in which they get it."""

    def __init__(self, most_waiting: int = MOST) -> None:
        self.turns = Turns(1, most_waiting)
        self.first = asyncio.create_task(self.turns.take((), PATIENCE))
        self.had: list[str] = []
        self.refused: Counter[str] = Counter()
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, name: str, *ways: tuple[object, ...], times: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._ask(name, tuple(way(*one) for one in ways))) for _ in range(times)]

    async def _ask(self, name: str, asking: Asking) -> None:
        try:
            await self.turns.take(asking, PATIENCE)
        except TooManyWait:
            self.refused[name] += 1
        else:
            self.had.append(name)
            await asyncio.sleep(0)
            self.turns.give_back(asking)

    async def end(self) -> list[str]:
        await asyncio.sleep(0)
        self.turns.give_back(())
        await asyncio.gather(*self.tasks)
        assert is_as_new(self.turns, 1)
        return self.had


def is_as_new(turns: Turns, size: int) -> bool:
    return vars(turns) | {"_clock": None} == vars(Turns(size, turns._most_waiting)) | {"_clock": None}  # noqa: SLF001


async def take_all(turns: Turns, asking: Asking) -> int:
    """Take as many turns at once as `asking` may have; their number."""
    taken = 0
    while turns._may(asking):  # noqa: SLF001 - otherwise it would wait
        await turns.take(asking, PATIENCE)
        taken += 1
    return taken


@pytest.mark.parametrize(("size", "share"), [(1, 1), (2, 1), (3, 2), (8, 4), (20, 10)])
async def test_a_group_that_asks_for_all_gets_half(size: int, share: int) -> None:
    assert await take_all(Turns(size, MOST), (way("192.0.2.1", "a"),)) == share


async def test_what_is_of_no_group_has_all_turns_and_no_more() -> None:
    turns = Turns(SIZE, MOST)
    for _ in range(SIZE):
        await turns.take((), 0)
    with pytest.raises(TimeoutError):
        await turns.take((), 0)


async def test_of_several_groups_that_ask_for_all_each_gets_some_and_some_are_left() -> None:
    turns = Turns(SIZE, MOST)
    assert [await take_all(turns, (way(address),)) for address in "abc"] == [4, 2, 1]
    assert await take_all(turns, (way("newcomer"),)) == 1


async def test_many_at_one_address_leave_some_to_others_and_none_of_them_takes_it_all() -> None:
    turns = Turns(SIZE, MOST)
    assert [await take_all(turns, (way("192.0.2.1", account),)) for account in "abc"] == [4, 2, 0]
    assert await take_all(turns, (way("192.0.2.2", "d"),)) == 1


async def test_turns_that_are_given_back_are_shared_again() -> None:
    turns = Turns(SIZE, MOST)
    greedy, other = (way("a"),), (way("b"),)
    tasks = [asyncio.create_task(turns.take(greedy, PATIENCE)) for _ in range(SIZE)]
    await asyncio.sleep(0)
    assert sum(task.done() for task in tasks) == SIZE / 2
    await turns.take(other, PATIENCE)
    for _ in range(SIZE):
        turns.give_back(greedy)
        await asyncio.sleep(0)
    assert all(task.done() for task in tasks)
    turns.give_back(other)
    assert is_as_new(turns, SIZE)


async def test_addresses_take_turns_and_so_do_accounts_at_an_address() -> None:
    order = Order()
    order.come("crowd 1", ("192.0.2.1", 1), times=4)
    order.come("crowd 2", ("192.0.2.1", 2), times=4)
    order.come("neighbour", ("192.0.2.1", 3))
    order.come("stranger", ("192.0.2.2", 4), times=2)
    assert (await order.end()) == [
        *("crowd 1", "stranger", "crowd 2", "stranger", "neighbour"),
        *("crowd 1", "crowd 2", "crowd 1", "crowd 2", "crowd 1", "crowd 2"),
    ]


async def test_of_eighty_that_wait_for_eight_accounts_a_ninth_waits_for_about_eight() -> None:
    for addresses in (1, 8, 80):  # at one address, at one for each account, and at another for each try
        order = Order(most_waiting=80)
        for number in range(80):
            address, account = f"192.0.2.{number % addresses}", number % 8
            order.come("crowd", (address, account), (account,))
        order.come("ninth", ("192.0.2.0", 9), (9,))
        assert (await order.end()).index("ninth") <= 18, addresses


async def test_of_eighty_accounts_at_one_address_a_stranger_waits_for_none() -> None:
    order = Order(most_waiting=80)
    for account in range(80):
        order.come("crowd", ("192.0.2.1", account), (account,))
    order.come("stranger", ("192.0.2.2", "own"), ("own",))
    assert (await order.end()).index("stranger") <= 3


async def test_if_too_many_wait_the_largest_group_loses_one_and_a_newcomer_gets_in() -> None:
    order = Order(most_waiting=10)
    order.come("crowd", ("192.0.2.1", 1), times=15)
    order.come("neighbour", ("192.0.2.1", 2))
    order.come("strangers", ("192.0.2.2", 3), times=3)
    await order.end()
    assert order.refused == {"crowd": 5 + 1 + 3}


async def test_if_each_waits_once_the_last_one_is_refused() -> None:
    order = Order(most_waiting=10)
    for number in range(11):
        order.come(str(number), (number,))
    assert (await order.end()) == [str(number) for number in range(10)]
    assert order.refused == {"10": 1}


@pytest.mark.parametrize("moment", ["waiting", "as its turn begins", "as it is refused", "as another is one too many"])
async def test_a_cancelled_request_leaves_nothing_behind(moment: str) -> None:
    turns, asking = Turns(1, 1), (way("a", 1),)
    await turns.take(asking, PATIENCE)
    waiting = asyncio.create_task(turns.take(asking, PATIENCE))
    await asyncio.sleep(0)
    other = asyncio.create_task(turns.take((way("b"),), PATIENCE))  # of a smaller group
    if moment == "as its turn begins":
        turns.give_back(asking)
    elif moment == "as it is refused":
        await asyncio.sleep(0)
    elif moment == "waiting":
        other.cancel()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    if moment == "waiting":
        assert turns.waiting == 0
    else:
        assert other.done() == (moment == "as its turn begins")
    if moment != "as its turn begins":
        turns.give_back(asking)
    if moment != "waiting":
        await other
        turns.give_back((way("b"),))
    assert is_as_new(turns, 1)


async def test_what_has_had_its_turn_is_not_kept_for_the_rest_of_its_patience() -> None:
    class Name:
        pass

    turns, name = Turns(1, 1), Name()
    await turns.take((), PATIENCE)
    waiting = asyncio.create_task(turns.take((way(name),), PATIENCE))
    await asyncio.sleep(0)
    turns.give_back(())
    await waiting
    turns.give_back((way(name),))
    kept = weakref.ref(name)
    del name, waiting
    assert kept() is None


async def test_a_request_that_waits_too_long_times_out_and_leaves_nothing_behind() -> None:
    turns, asking = Turns(1, 1), (way("a"),)
    await turns.take(asking, PATIENCE)
    with pytest.raises(TimeoutError):
        await turns.take(asking, 0.01)
    turns.give_back(asking)
    assert is_as_new(turns, 1)
