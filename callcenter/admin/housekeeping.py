"""What the admin app does by itself, again and again: calls end their time, refusals are put down.

Calls that are older than is allowed are erased in small transactions, so that writes of others get
their turn between. Whatever is away is tried again at the next look; nothing ends the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from callcenter.admin.erasing import Eraser
from callcenter.admin.security import refusals
from callcenter.admin.security.refusals import Refusals
from callcenter.admin.store import erasure, tables
from callcenter.admin.store.database import Database
from callcenter.admin.store.work import SYSTEM, Work
from callcenter.errors import BrokerUnavailable

LOOK_EVERY_S = 30.0
TIDY_EVERY = timedelta(minutes=10)
PAUSE_S = 0.05  # between two batches
MAX_BATCHES = 500  # of one look: 100,000 calls

log = structlog.get_logger(__name__)


class Housekeeper:
    """Erases what is old and puts down what was refused.

    Args:
        kept: how long a call is kept after it began; None for ever.
        key_file: where the first admin's key was written; it goes when no temporary key is good.
    """

    def __init__(
        self,
        database: Database,
        eraser: Eraser,
        refused: Refusals,
        kept: timedelta | None,
        key_file: Path | None = None,
    ) -> None:
        self._database = database
        self._eraser = eraser
        self._refused = refused
        self._kept = kept
        self._key_file = key_file

    async def run(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Looks for ever; cancel it at the end of the process, then call `put_refusals_down`."""
        tidy_at = clock()
        while True:
            now = clock()
            try:
                await self.put_refusals_down(now)
                if now >= tidy_at:
                    await self.tidy(now)
                    tidy_at = now + TIDY_EVERY
            except (SQLAlchemyError, BrokerUnavailable, OSError) as error:  # one of them is away
                log.warning("housekeeping_put_off", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    async def put_refusals_down(self, now: datetime) -> None:
        """Writes an audit entry for every kind, address and actor since the last time."""
        tallies = self._refused.take()
        if not tallies:
            return
        try:
            async with self._database.writing() as db:
                for tally in tallies:
                    await refusals.store(Work(db, SYSTEM, now), tally)
        except (SQLAlchemyError, OSError):  # the database is away
            self._refused.put_back(tallies)
            raise

    async def tidy(self, now: datetime) -> int:
        """Erases what is older than is allowed; returns how many calls."""
        erased = 0
        before = None if self._kept is None else now - self._kept
        if before is not None:
            erased = await self._erase_calls(before, now)
            await self._eraser.trim(round(before.timestamp() * 1_000))
        async with self._database.writing() as db:
            await erasure.tidy(db, now, before)
            if erased:
                after = {"calls": erased, "begun_before": before and before.isoformat()}
                await Work(db, SYSTEM, now).audit("erase", "call", "", after=after)
        await self._drop_key_file(now)
        if erased:
            log.info("calls_erased", calls=erased)
        return erased

    async def _erase_calls(self, before: datetime, now: datetime) -> int:
        erased = 0
        for _ in range(MAX_BATCHES):
            async with self._database.reading() as db:
                if not await erasure.old_calls(db, before):
                    break
            async with self._database.writing() as db:
                calls = await erasure.old_calls(db, before)
                await self._eraser.erase(db, calls)
            erased += len(calls)
            await asyncio.sleep(PAUSE_S)
        return erased

    async def _drop_key_file(self, now: datetime) -> None:
        if self._key_file is None or not self._key_file.exists():
            return
        keys = tables.api_keys.c
        good = keys.temporary & keys.revoked_at.is_(None) & (keys.expires_at > now)
        async with self._database.reading() as db:
            if not await db.scalar(select(func.count()).where(good)):
                self._key_file.unlink(missing_ok=True)
