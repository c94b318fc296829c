"""A long answer ends when whoever asked may no longer have it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from callcenter.admin.security.watch import while_allowed


class Source:
    """Gives some items, then nothing for ever."""

    def __init__(self, *items: str, ends: bool = False) -> None:
        self.items, self.ends, self.closed = items, ends, False

    async def __call__(self) -> AsyncIterator[str]:
        try:
            for item in self.items:
                yield item
            if not self.ends:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def yes() -> bool:
    """May."""
    return True


async def test_what_is_allowed_comes_whole() -> None:
    """In order, to the end."""
    source = Source("a", "b", ends=True)
    assert [item async for item in while_allowed(source(), yes, 0.01)] == ["a", "b"]
    assert source.closed


async def test_silence_ends_too() -> None:
    """Without an item to be stopped at; the source is closed."""
    source, looks = Source("a"), [True, True, False]

    async def allowed() -> bool:
        return looks.pop(0)

    assert [item async for item in while_allowed(source(), allowed, 0.001)] == ["a"]
    assert source.closed
    assert looks == []


async def test_nothing_comes_after_the_refusal() -> None:
    """An item that was ready at the moment of the look is not given."""
    source = Source(*"abcdef", ends=True)

    async def no() -> bool:
        return False

    found = [item async for item in while_allowed(source(), no, 0.0)]
    assert found == []
    assert source.closed


async def test_a_watcher_who_leaves() -> None:
    """Closes the source."""
    source = Source("a", "b")
    watching = while_allowed(source(), yes, 10.0)
    assert await anext(watching) == "a"
    assert await anext(watching) == "b"
    waiting = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert source.closed


async def test_a_time_out_of_the_source_ends_it() -> None:
    """It holds over all its items: they come from one task."""

    async def source() -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(0.02):
                yield "a"
                yield "b"
                await asyncio.Event().wait()
        except TimeoutError:
            yield "late"

    assert [item async for item in while_allowed(source(), yes, 10.0)] == ["a", "b", "late"]


async def test_an_error_of_the_source_is_the_watcher_s() -> None:
    """After the items that came before it."""

    async def source() -> AsyncIterator[str]:
        yield "a"
        raise ValueError("broken")

    watching = while_allowed(source(), yes, 10.0)
    assert await anext(watching) == "a"
    with pytest.raises(ValueError, match="broken"):
        await anext(watching)


async def test_a_cancellation_is_not_lost_while_the_source_ends() -> None:
    """A source that takes its time to close does not swallow the second one, as at a forced end."""
    closing = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            closing.set()
            await asyncio.sleep(0.05)

    async def watch() -> str:
        async for item in while_allowed(source(), yes, 10.0):
            return item
        return "ended"

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    watching.cancel()
    await closing.wait()
    watching.cancel()
    (outcome,) = await asyncio.gather(watching, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError)
    await asyncio.sleep(0.1)  # the source's own end
