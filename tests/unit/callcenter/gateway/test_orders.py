"""Orders from the console, and what is answered."""

import asyncio
from collections.abc import AsyncIterator

from callcenter.gateway.live import LiveCalls
from callcenter.gateway.orders import carry_out
from callcenter.published.board import Command
from callcenter.telephony.leg import CallControlFailed


class Board:
    """Gives the orders that it was made with, and keeps the answers."""

    def __init__(self, *orders: Command) -> None:
        self._orders = orders
        self.answers: dict[str, str] = {}

    async def orders(self) -> AsyncIterator[Command]:
        for order in self._orders:
            yield order

    async def answer(self, order: Command, why_not: str) -> None:
        self.answers[order.reply] = why_not


class Carried:
    """A call over which 1 can be pressed, 2 is refused, and 3 finds a mistake of ours."""

    def stop(self) -> None: ...

    def hang_up(self) -> None: ...

    async def transfer(self, number: str) -> None: ...

    async def press(self, keys: str) -> None:
        if keys == "2":
            raise CallControlFailed("no keys can be pressed")
        if keys == "3":
            raise ValueError("a mistake")


async def test_nothing_that_failed_is_called_done() -> None:
    """Whatever the reason; the orders behind it are carried out."""
    board = Board(
        *(Command("CA1", "press", keys, reply=keys) for keys in "321"),
        Command("CA2", "press", "1", reply="another gateway's"),
    )
    live = LiveCalls(1)
    with live.carrying("CA1", Carried()):
        async with asyncio.timeout(5):
            await carry_out(board, live)
    assert board.answers == {
        "1": "",
        "2": "no keys can be pressed",
        "3": "the gateway failed; its log says why",
    }
