"""Orders from the console, and what is answered."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from callcenter.gateway.live import LiveCalls
from callcenter.gateway.orders import carry_out, why_no_transfer
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

    handoff_number = "+15550199"

    def __init__(self) -> None:
        self.transfers: list[str] = []

    def stop(self) -> None: ...

    def hang_up(self) -> None: ...

    async def transfer(self, number: str) -> None:
        self.transfers.append(number)

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


async def test_a_call_is_transferred_to_allowed_numbers_only() -> None:
    """Whoever wrote the order: the gateway judges it, and the refusal names the setting."""
    numbers = ["+15550199", "+4930123456", "+19005550142", "0900", "sip:a@b", ""]
    board = Board(*(Command("CA1", "transfer", number, reply=number) for number in numbers))
    live, carried = LiveCalls(1), Carried()
    with live.carrying("CA1", carried):
        async with asyncio.timeout(5):
            await carry_out(board, live, ("+49",))
    assert carried.transfers == ["+15550199", "+4930123456"]  # the route's own, and an allowed one
    assert "TRANSFER_PREFIXES" in board.answers["+19005550142"]
    assert "+49" in board.answers["+19005550142"]
    for number in ("0900", "sip:a@b", ""):
        assert "+15550100" in board.answers[number]  # how a number is written


async def test_keys_that_are_none_are_not_pressed() -> None:
    """An order need not have come from the console."""
    board = Board(*(Command("CA1", "press", keys, reply=keys) for keys in ("", "1\r\n", "1" * 33)))
    live = LiveCalls(1)
    with live.carrying("CA1", Carried()):
        async with asyncio.timeout(5):
            await carry_out(board, live)
    assert set(board.answers.values()) == {"keys are 1 to 32 of 0-9, *, #, A-D"}


@pytest.mark.parametrize(
    ("number", "prefixes", "own", "allowed"),
    [
        ("+15550142", (), None, False),
        ("+15550142", (), "+15550142", True),
        ("+15550142", (), "+15550143", False),
        ("+15550142", ("+",), None, True),
        ("+15550142", ("+1555",), None, True),
        ("+14440142", ("+1555", "+49"), None, False),
        ("15550142", ("+",), None, False),
        ("200", (), "200", True),  # an extension, as the trunks file has it
        ("+1555\n0142", ("+",), None, False),
    ],
)
def test_which_numbers_are_allowed(number, prefixes, own, allowed) -> None:
    """Closed as long as nothing is set, but for the number that an admin has given the route."""
    assert (why_no_transfer(number, prefixes, own) == "") is allowed
