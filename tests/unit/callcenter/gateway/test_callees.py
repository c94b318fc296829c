"""Whom browsers may call, by the snapshot that is published."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callcenter.gateway.callees import PublishedCallees
from callcenter.gateway.published import PublishedRoutes
from callcenter.published.snapshot import PublishedPersona, PublishedVoice, Snapshot, Trial
from personas import library

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRIAL = "trial-0123456789abcdef"


class OneSnapshot:
    """A board on which one snapshot hangs."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    async def revision(self) -> int:
        """The snapshot's."""
        return self._snapshot.revision

    async def snapshot(self) -> Snapshot:
        """It."""
        return self._snapshot


def content(name: str) -> dict[str, Any]:
    """A shipped persona's content."""
    return library.load()[name].model_dump(mode="json", exclude_none=True)


async def routes(blocked: str = "") -> PublishedRoutes:
    """Bank and hotel are published, a draft of the bank is on trial."""
    bank, hotel = (
        PublishedPersona(name=name, version=3, content=content(name)) for name in ("bank", "hotel")
    )
    draft = PublishedPersona(name="bank", version=0, content={**content("bank"), "title": "Draft"})
    voices = {bank.content["voice"], hotel.content["voice"]}
    snapshot = Snapshot(
        revision=1,
        current={"bank": 3, "hotel": 3},
        personas=[bank, hotel],
        voices=[PublishedVoice(name=name, sha256="ab", blocked=blocked) for name in voices],
        trials=[Trial(called=TRIAL, persona=draft, expires_at=NOW + timedelta(minutes=1))],
    )
    found = PublishedRoutes(OneSnapshot(snapshot), lambda: NOW)  # type: ignore[arg-type]
    await found.refresh()
    return found


async def test_all_that_is_published() -> None:
    """Without names, every published persona can be called, with its pinned version."""
    callees = PublishedCallees(await routes(), ())
    assert list(callees) == ["bank", "hotel"]
    assert len(callees) == 2
    assert callees["hotel"].version == "3"
    assert callees["hotel"].voice_sha256 == "ab"
    assert callees.get("nobody") is None


async def test_only_some() -> None:
    """Names narrow it down; one that is not published is not listed."""
    callees = PublishedCallees(await routes(), ("hotel", "nobody"))
    assert list(callees) == ["hotel"]
    assert "bank" not in callees


async def test_trials_are_secrets() -> None:
    """A trial answers to its name, whatever the names are, and is not listed."""
    callees = PublishedCallees(await routes(), ("hotel",))
    assert callees[TRIAL].persona.title == "Draft"
    assert TRIAL not in list(callees)
    assert callees.get("trial-other") is None


@pytest.mark.parametrize("name", ["bank", TRIAL])
async def test_blocked_voice(name: str) -> None:
    """Without consent nobody answers, in a trial neither."""
    callees = PublishedCallees(await routes(blocked="revoked"), ())
    assert callees.get(name) is None
    assert list(callees) == []
