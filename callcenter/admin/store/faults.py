"""What a database's error means: whose fault it is, and what may be said of it.

The text of such an error may quote what was to be stored: a number, a name, words of a call. So
logs and answers get its kind and code, and its text only where it is about the connection.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

# Classes of SQLSTATE (PostgreSQL, appendix A).
_DATA_CLASSES = ("22", "23", "54")  # data exception, integrity constraint, program limit
_AWAY_CLASSES = ("08", "40", "53", "55", "57", "58")  # connection, rollback, resources, operator
MAX_CHARS = 200


def blames_the_data(error: BaseException) -> bool:
    """Whether the same data will be refused again, however well the database is."""
    if not isinstance(error, SQLAlchemyError):
        return True  # a driver's or our own code could not handle it, before any database saw it
    if not isinstance(error, DBAPIError):
        return isinstance(error, StatementError)  # a value that has no form in the database
    if error.connection_invalidated or isinstance(error, OperationalError):
        return False
    if state := _sqlstate(error):
        return state.startswith(_DATA_CLASSES)
    unsent = isinstance(_cause(error), ValueError)  # asyncpg could not encode it
    return unsent or isinstance(error, DataError | IntegrityError)


def unavailable(error: SQLAlchemyError) -> bool:
    """Whether the database is away or busy, so that trying again helps."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeout)
    if error.connection_invalidated or isinstance(error, OperationalError):
        return True
    return _sqlstate(error).startswith(_AWAY_CLASSES)


def described(error: BaseException) -> str:
    """An error in words that hold nothing of what was to be stored."""
    kind = type(error).__name__
    if isinstance(error, PoolTimeout):
        return f"{kind}: all connections to the database are in use"
    if not isinstance(error, DBAPIError):
        return f"{kind}: {error}"[:MAX_CHARS] if isinstance(error, OSError) else kind
    code = _sqlstate(error) or getattr(error.orig, "sqlite_errorname", "")
    driver = type(_cause(error) or error.orig).__name__
    found = f"{kind} ({driver}{', ' + code if code else ''})"
    if isinstance(error, OperationalError):
        first, *_ = str(error.orig).splitlines() or [""]
        return f"{found}: {first}"[:MAX_CHARS]
    return found


def _cause(error: DBAPIError) -> BaseException | None:
    """The driver's own error, where SQLAlchemy has put one of its own before it (asyncpg)."""
    return error.orig.__cause__ if error.orig is not None else None


def _sqlstate(error: DBAPIError) -> str:
    found: Any = getattr(error.orig, "sqlstate", None)
    return str(found) if found else ""
