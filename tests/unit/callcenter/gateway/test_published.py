"""Taking a new configuration over while calls are up."""

import asyncio
from typing import Any

import pytest

from callcenter.gateway import published
from callcenter.gateway.published import PublishedRoutes
from callcenter.published.snapshot import PublishedPersona, Snapshot
from personas import library

CONTENT = library.load()["bank"].model_dump(mode="json", exclude_none=True)


class Board:
    """Has one snapshot at a time."""

    def __init__(self) -> None:
        self.now = Snapshot(revision=0)

    async def revision(self) -> int:
        return self.now.revision

    async def snapshot(self) -> Snapshot:
        return self.now


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The contents that were rendered."""
    found: list[dict[str, Any]] = []
    real = published.read_persona
    monkeypatch.setattr(
        published, "read_persona", lambda content: found.append(content) or real(content)
    )
    return found


def snapshot(revision: int, **contents: dict[str, Any]) -> Snapshot:
    """With one version of each persona."""
    personas = [
        PublishedPersona(name=name, version=1, content=each) for name, each in contents.items()
    ]
    return Snapshot(revision=revision, current=dict.fromkeys(contents, 1), personas=personas)


async def test_only_what_is_new_is_rendered(read: list[dict[str, Any]]) -> None:
    """A persona that was deleted and made anew has the version, and not the content."""
    board = Board()
    routes = PublishedRoutes(board)
    board.now = snapshot(1, a=CONTENT, b=CONTENT)
    await routes.refresh()
    other = {**CONTENT, "role_text": CONTENT["role_text"] + " You sell shoes."}
    board.now = snapshot(2, a=CONTENT, b=other, c=CONTENT)
    await routes.refresh()
    assert read == [CONTENT, CONTENT, other, CONTENT]
    found = routes._render("b", 1, other, {})
    assert found is not None
    assert "shoes" in found.role_text
    assert len(read) == 4


async def test_calls_go_on_between_two_personas() -> None:
    """And are answered as before until all are rendered."""
    board, turns, seen = Board(), 0, set()
    routes = PublishedRoutes(board)

    async def call() -> None:
        nonlocal turns
        while routes.revision != 1:
            turns += 1
            seen.add(routes.revision)
            await asyncio.sleep(0)

    board.now = snapshot(1, **{f"p{number}": CONTENT for number in range(10)})
    await asyncio.gather(call(), routes.refresh())
    assert turns >= 10
    assert seen == {-1}


async def test_callers_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of variables may come from callers; what was rendered with them is bounded."""
    monkeypatch.setattr(published, "MAX_RENDERED", 5)
    board = Board()
    routes = PublishedRoutes(board)
    board.now = snapshot(1, a=CONTENT)
    await routes.refresh()
    for number in range(20):
        assert routes._render("a", 1, CONTENT, {"customer_name": str(number)}) is not None
    assert len(routes._rendered) <= 5
