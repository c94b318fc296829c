"""Opens the database: SQLite in a file, or PostgreSQL; the same code above it.

SQLite has one writer at a time, so a writing transaction takes its lock at the beginning and
waits for its turn instead of failing in the middle.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from callcenter.admin.store import tables
from callcenter.errors import ConfigurationError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 10.0  # for the writer's turn
POOL_WAIT_S = 3.0  # for a connection while all are in use; then whoever asked is told so
CONNECT_S = 5.0
SSL_MODES = ("disable", "require", "verify-ca", "verify-full")
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
            async with self._connection() as connection:
                await connection.run_sync(_upgrade)
                await connection.commit()
        except OperationalError as error:  # nobody listens, no such folder, bad login
            why = f"{error.orig}{_hint(str(error.orig))}"
            raise ConfigurationError(f"DATABASE_URL cannot be used: {why}") from None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only looks."""
        async with self._connection() as connection:
            await connection.execution_options(only_reads=True)
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that changes something; one at a time, in all processes together."""
        async with self._connection() as connection, connection.begin():
            if self.kind == "postgresql":  # SQLite has its own time for that
                await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_S:g}s'")
            await connection.execute(select(tables.state.c.revision).with_for_update())
            yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """One of the pool; whatever keeps it from being had is an OperationalError."""
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._engine.connect())
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                # Nobody listens, a login is refused, it starts or has no room: SQLAlchemy leaves
                # these as they are where there was no connection yet.
                raise OperationalError("connect", None, error, hide_parameters=True) from None
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
    # Statements' values are calls' numbers and words: errors must not show them.
    common: dict[str, Any] = {"hide_parameters": True, "pool_timeout": POOL_WAIT_S}
    if driver.startswith("postgresql"):
        parsed, tls = postgres_tls(parsed)
        given = {"ssl": tls, "timeout": CONNECT_S}
        return create_async_engine(parsed, pool_pre_ping=True, connect_args=given, **common)
    if parsed.database in (None, "", ":memory:"):  # one connection, for which nobody waits
        del common["pool_timeout"]
    engine = create_async_engine(parsed, connect_args={"timeout": BUSY_S}, **common)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def postgres_tls(url: URL) -> tuple[URL, ssl.SSLContext | bool]:
    """How to speak TLS with PostgreSQL, by `sslmode` and `sslrootcert` of the URL (as in libpq).

    Without `sslmode` it is verify-full, and disable for a server on this machine. The modes "allow"
    and "prefer" are refused: whoever sits between switches TLS off with them.

    Returns:
        The URL without what was read from it; a context, or False for plain text.

    Raises:
        ConfigurationError: another mode, or a file that holds no certificates.
    """
    query = dict(url.query)
    mode = str(query.pop("sslmode", "disable" if _on_this_machine(url) else "verify-full"))
    authority = query.pop("sslrootcert", None)
    if mode not in SSL_MODES or "ssl" in query:
        raise ConfigurationError(
            f"DATABASE_URL: give sslmode={', '.join(SSL_MODES)}, and no ssl=; without one it is "
            "verify-full, and disable for a server on this machine"
        )
    url = url.set(query=query)
    if mode == "disable":
        return url, False
    try:
        context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"DATABASE_URL: sslrootcert={authority}: {error}") from None
    context.check_hostname = mode == "verify-full"
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return url, context


def _on_this_machine(url: URL) -> bool:
    host = url.host or str(url.query.get("host", ""))
    if host in ("", "localhost") or host.startswith("/"):  # a socket in the file system
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _hint(error: str) -> str:
    """What to do where TLS is the reason: the usual case after the first deployment."""
    if "SSL" in error or "certificate" in error:
        return (
            " (TLS is verified; sslrootcert=FILE names another authority, sslmode=disable is plain)"
        )
    return ""


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
