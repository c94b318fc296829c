"""TLS to PostgreSQL: verified unless the URL says otherwise, and never given up silently."""

import ssl

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from callcenter.admin.store.database import Database, postgres_tls
from callcenter.errors import ConfigurationError
from tests.integration.admin.conftest import Postgres


@pytest.fixture
def plain(postgres: Postgres) -> str:
    """An empty database's URL, which says nothing of TLS."""
    return postgres.new_database()


async def encrypted(url: str) -> bool:
    """Whether the connection that a URL makes is."""
    database = Database(url)
    try:
        async with database._connection() as connection:
            query = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            return bool(await connection.scalar(query))
    finally:
        await database.close()


async def test_the_modes(postgres: Postgres, plain: str) -> None:
    """Each does what libpq's does; on this machine plain is the usual one."""
    named = plain.replace("127.0.0.1", "localhost")
    root = f"sslrootcert={postgres.certificate}"
    assert not await encrypted(plain)
    assert not await encrypted(f"{plain}?sslmode=disable")
    assert await encrypted(f"{plain}?sslmode=require")
    assert await encrypted(f"{plain}?sslmode=verify-ca&{root}")
    assert await encrypted(f"{named}?sslmode=verify-full&{root}")


@pytest.mark.parametrize(
    "query", ["sslmode=verify-full&{root}", "sslmode=verify-ca", "sslmode=verify-full"]
)
async def test_a_certificate_of_somebody_else(postgres: Postgres, plain: str, query: str) -> None:
    """Another name, or nobody known who signed it: an error that says what to do."""
    root = f"sslrootcert={postgres.certificate}"
    url = f"{plain}?{query.format(root=root)}"
    with pytest.raises(ConfigurationError, match=r"certificate.*sslrootcert=FILE"):
        await Database(url).upgrade()


@pytest.mark.parametrize(
    ("url", "verified"),
    [
        ("postgresql://u@db.example/x", True),
        ("postgresql://u@10.0.0.7/x", True),
        ("postgresql://u@db.example/x?sslmode=require", False),
        ("postgresql://u@db.example/x?sslmode=disable", None),
        ("postgresql://u@127.0.0.1/x", None),
        ("postgresql://u@[::1]/x", None),
        ("postgresql://u@localhost/x", None),
        ("postgresql:///x?host=/var/run/postgresql", None),
    ],
)
def test_what_counts_without_a_word(url: str, verified: bool | None) -> None:
    """Verified, name and all, unless the server is on this machine; None is plain text."""
    rest, tls = postgres_tls(make_url(url))
    assert "sslmode" not in rest.query
    if verified is None:
        assert tls is False
    else:
        assert isinstance(tls, ssl.SSLContext)
        assert tls.check_hostname is verified
        assert (tls.verify_mode is ssl.CERT_REQUIRED) is verified


@pytest.mark.parametrize(
    "query", ["sslmode=prefer", "sslmode=allow", "sslmode=x", "ssl=true", "sslrootcert=/no/file"]
)
def test_modes_that_can_be_switched_off_are_refused(query: str) -> None:
    """When the program starts."""
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        Database(f"postgresql://u@db.example/x?{query}")
