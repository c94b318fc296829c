"""A long answer ends when whoever asked may no longer have it."""

import asyncio
from collections.abc import AsyncIterator

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
