"""Carries out what people at the console order of live calls.

An order reaches every gateway; the one that carries the call obeys and answers. Whoever can write
to Redis can give one, so what it asks for is judged here and not only where it was typed. It knows
neither carriers nor who gave the order: the admin app writes that down.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from functools import partial

import structlog

from callcenter.background import end_all
from callcenter.errors import BrokerUnavailable
from callcenter.gateway.live import Carried, LiveCalls
from callcenter.published.board import Board, Command
from callcenter.telephony.leg import CallControlFailed

ANSWER_WITHIN_S = 2.0  # less than the admin app waits
MAX_AT_ONCE = 200

_E164 = re.compile(r"\+[1-9][0-9]{5,14}")
_KEYS = re.compile(r"[0-9*#A-D]{1,32}")

log = structlog.get_logger(__name__)


async def carry_out(board: Board, live: LiveCalls, transfer_prefixes: Sequence[str] = ()) -> None:
    """Obeys for ever; cancel it at the end of the process.

    Each order has a task of its own, so that one which fails or waits keeps no other from being
    obeyed.

    Args:
        board: where orders are heard and answered.
        live: the calls that are carried here.
        transfer_prefixes: beginnings of the numbers that calls may be transferred to.
    """
    obeying: set[asyncio.Task[None]] = set()
    try:
        async for order in board.orders():
            carried = live.find(order.call_id)
            if carried is None:
                continue
            if len(obeying) >= MAX_AT_ONCE:  # nobody gives so many by hand
                log.warning("order_refused", call_id=order.call_id, why="too many at once")
                continue
            task = asyncio.create_task(_obey(board, carried, order, transfer_prefixes))
            obeying.add(task)
            task.add_done_callback(partial(_obeyed, obeying, order.call_id))
        while obeying:
            await asyncio.wait(obeying)
    finally:
        await end_all(obeying)


def _obeyed(obeying: set[asyncio.Task[None]], call_id: str, task: asyncio.Task[None]) -> None:
    obeying.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("order_failed", call_id=call_id, exc_info=error)


def why_no_transfer(number: str, prefixes: Sequence[str], own: str | None) -> str:
    """Why a call may not be transferred to a number; "" if it may.

    Args:
        number: as it was ordered.
        prefixes: beginnings of the numbers that are allowed.
        own: the number that the call's route or persona hands over to, which an admin has set.
    """
    if own is not None and number == own:
        return ""
    if not _E164.fullmatch(number):
        return "a transfer needs a number with its country, such as +15550100"
    if any(number.startswith(prefix) for prefix in prefixes):
        return ""
    allowed = ", ".join(prefixes) or "none"
    return (
        f"TRANSFER_PREFIXES of the gateway does not allow this number (allowed: {allowed}); "
        "an operator may use its prefixes and the number that the call's route hands over to"
    )


async def _obey(
    board: Board, carried: Carried, order: Command, transfer_prefixes: Sequence[str]
) -> None:
    match order.action:
        case "hangup":
            carried.hang_up()
            why_not = ""
        case "transfer":
            why_not = why_no_transfer(order.number, transfer_prefixes, carried.handoff_number)
            why_not = why_not or await _asked(carried.transfer(order.number))
        case "press":
            why_not = "keys are 1 to 32 of 0-9, *, #, A-D"
            if _KEYS.fullmatch(order.number):
                why_not = await _asked(carried.press(order.number))
        case _:
            why_not = f"this gateway does not know the order {order.action[:20]!r}"
    log.info("order_carried_out", call_id=order.call_id, action=order.action[:20], why_not=why_not)
    try:
        await board.answer(order, why_not)
    except BrokerUnavailable as error:  # whoever waits is told that nobody answered
        log.warning("order_not_answered", call_id=order.call_id, detail=str(error))


async def _asked(work: Awaitable[None]) -> str:
    """Why it failed, or "": done, or so long under way that nothing has refused it."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=ANSWER_WITHIN_S)
    if not done:
        task.add_done_callback(lambda late: late.cancelled() or late.exception())
        return ""
    error = task.exception()
    if error is None:
        return ""
    if not isinstance(error, CallControlFailed):  # a mistake of ours, and no reason to obey no more
        log.error("order_failed", exc_info=error)
        return "the gateway failed; its log says why"
    return str(error)
