"""Opens the database: SQLite in a file, or PostgreSQL; the same code above it.

SQLite has one writer at a time, so a writing transaction takes its lock at the beginning and
waits for its turn instead of failing in the middle.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from callcenter.admin.store import tables
from callcenter.errors import ConfigurationError

MIGRATIONS = Path(__file__).parent / "migrations"
SQLITE_BUSY_S = 10.0
OWNER_ONLY = 0o600
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


class Database:
    """One database.

    Attributes:
        kind: "sqlite" or "postgresql".
    """

    def __init__(self, url: str) -> None:
        """Connects to nothing yet.

        Raises:
            ConfigurationError: the URL is not usable.
        """
        self._engine = _engine(url)
        self.kind = self._engine.dialect.name

    async def upgrade(self) -> None:
        """Brings the tables to this release's shape; harmless when they are."""
        try:
            _keep_private(self._engine.url)
            async with self._engine.connect() as connection:
                await connection.run_sync(_upgrade)
                await connection.commit()
        except (OSError, OperationalError) as error:  # nobody listens, no such folder, bad login
            raise ConfigurationError(f"DATABASE_URL cannot be used: {error}") from None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only looks."""
        async with self._engine.connect() as connection:
            await connection.execution_options(only_reads=True)
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that changes something; one at a time, in all processes together."""
        async with self._engine.begin() as connection:
            await connection.execute(select(tables.state.c.revision).with_for_update())
            yield connection

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()


def _keep_private(url: URL) -> None:
    """Only the owner reads a SQLite file: it holds numbers and words of callers.

    SQLite gives the files beside it (-wal, -shm) the same mode.
    """
    name = url.database or ""
    if url.get_backend_name() != "sqlite" or name in ("", ":memory:") or name.startswith("file:"):
        return
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    except FileExistsError:  # not opened: closing it would end locks of SQLite in this process
        mode = stat.S_IMODE(Path(name).stat().st_mode)
        if mode & ~OWNER_ONLY:
            Path(name).chmod(mode & OWNER_ONLY)


def _engine(url: str) -> AsyncEngine:
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.get_backend_name()]
    except (ArgumentError, KeyError):
        raise ConfigurationError(
            "DATABASE_URL must look like sqlite:///callcenter.db or postgresql://user@host/name"
        ) from None
    parsed = parsed.set(drivername=driver)
    if driver.startswith("postgresql"):
        return create_async_engine(parsed, pool_pre_ping=True)
    engine = create_async_engine(parsed, connect_args={"timeout": SQLITE_BUSY_S})
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("only_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
