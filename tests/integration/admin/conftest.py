"""A whole admin app in this process: real database, real Valkey, HTTP without a socket.

Every test runs on SQLite; those that ask for `any_database` run on PostgreSQL too.
"""

import asyncio
import os
import pwd
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from callcenter.admin import program
from callcenter.admin.program import Parts
from callcenter.settings import AdminSettings
from personas import library
from tests.servers import free_port
from tests.signing import SIGNING_KEY

LINK_SECRET = "link-secret-of-the-tests-0123456789"
ADMIN_SECRET = "admin-secret-of-the-tests-0123456789"
POSTGRES_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
POSTGRES_USER = "nobody"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of each kind of database also pays for starting it."""
    for item in items:
        if "integration/admin" in str(item.path) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(60))


@dataclass
class Admin:
    """A running admin app.

    Attributes:
        http: acts with an admin's key.
        secret: of that key.
    """

    parts: Parts
    http: httpx.AsyncClient
    secret: str

    async def key(self, role: str, name: str = "") -> str:
        """Makes a key and returns its secret."""
        body = {"name": name or f"{role} {secrets.token_hex(3)}", "role": role}
        response = await self.http.post("/v1/api_keys", json=body)
        assert response.status_code == 201, response.text
        return str(response.json()["secret"])

    def acting(self, secret: str) -> httpx.AsyncClient:
        """A client with another key."""
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.AsyncClient(
            transport=self.http._transport, base_url="http://admin", headers=headers
        )


@dataclass
class Postgres:
    """A throw-away cluster.

    Attributes:
        certificate: what it shows to those who ask for TLS; for localhost, signed by itself.
    """

    port: int
    certificate: Path

    def new_database(self, template: str = "template1") -> str:
        """Copies a database and returns the new one's URL."""
        name = f"test_{secrets.token_hex(4)}"
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", POSTGRES_USER)
        _as_nobody("createdb", *where, "-T", template.rpartition("/")[2], name)
        return f"postgresql://{POSTGRES_USER}@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL of this test run; it refuses to run as root, so it runs as nobody."""
    if not POSTGRES_BINARIES:
        pytest.skip("PostgreSQL is not installed")
    folder = Path("/tmp") / f"callcenter-postgres-{secrets.token_hex(4)}"
    folder.mkdir()
    if os.getuid() == 0:
        shutil.chown(folder, POSTGRES_USER)
    port, data = free_port(), str(folder / "data")
    _as_nobody("initdb", "-D", data, "-U", POSTGRES_USER, "-A", "trust", "--no-sync", "-E", "UTF8")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    _as_nobody(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(key), "-out", str(certificate)),
    )
    options = (
        f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off "
        f"-c ssl=on -c ssl_cert_file={certificate} -c ssl_key_file={key}"
    )
    _as_nobody("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield Postgres(port, certificate)
    finally:
        _as_nobody("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _as_nobody(program: str, *arguments: str) -> None:
    user = pwd.getpwnam(POSTGRES_USER).pw_uid if os.getuid() == 0 else None
    own = POSTGRES_BINARIES[-1] / program
    command = [str(own) if own.exists() else program, *arguments]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(
        command, user=user, env=environment, cwd="/tmp", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture(scope="session", autouse=True)
def _personas_read_once() -> Iterator[None]:
    """Every start of the app reads them, which takes longer than most tests.

    Those that a test names are read each time: the patch lasts beyond this folder.
    """
    shipped, read = library.load(), program._library
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            program,
            "_library",
            lambda settings: read(settings) if settings.personas_dir else shipped,
        )
        yield


@dataclass(frozen=True)
class Filled:
    """A database as the first start leaves it, and an admin who stays.

    Attributes:
        secret: of a key that the first admin has made.
        first_secret: of the first admin, whose key ends when the other one is used.
    """

    url: str
    secret: str
    first_secret: str


def _filled(url: str, redis_url: str) -> Filled:
    """The first start takes seconds, so it is done once and copied for every test."""

    async def fill() -> Filled:
        async with serving(url, redis_url) as app:
            return Filled(url, await app.key("admin", "tests"), app.secret)

    return asyncio.run(fill())


@pytest.fixture(scope="session")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Filled:
    """To be copied."""
    return _filled(f"sqlite:///{tmp_path_factory.mktemp('filled')}/admin.db", redis_url)


@pytest.fixture(scope="session")
def filled_postgres(postgres: Postgres, redis_url: str) -> Filled:
    """To be copied."""
    return _filled(postgres.new_database(), redis_url)


def _copied(filled: Filled, into: Path) -> Filled:
    """By SQLite's own copy: what was written last may stand in the file beside it (WAL)."""
    source = sqlite3.connect(filled.url.removeprefix("sqlite:///"))
    target = sqlite3.connect(into)
    with closing(source), closing(target):
        source.backup(target)
    return replace(filled, url=f"sqlite:///{into}")


@pytest.fixture
def sqlite(filled_sqlite: Filled, tmp_path: Path) -> Filled:
    """A SQLite database of this test."""
    return _copied(filled_sqlite, tmp_path / "admin.db")


@pytest.fixture
def other_database(filled_sqlite: Filled, tmp_path: Path) -> Filled:
    """One beside the test's own."""
    return _copied(filled_sqlite, tmp_path / "other.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest) -> Filled:
    """A database of this test, of each kind."""
    if request.param == "sqlite":
        found: Filled = request.getfixturevalue("sqlite")
        return found
    filled: Filled = request.getfixturevalue("filled_postgres")
    postgres: Postgres = request.getfixturevalue("postgres")
    return replace(filled, url=postgres.new_database(filled.url))


@asynccontextmanager
async def serving(
    database_url: str, redis_url: str, known_secret: str = "", **more: object
) -> AsyncIterator[Admin]:
    """Starts an admin app; its background loops run too."""
    settings = AdminSettings.load(
        redis_url=redis_url,
        link_secret=LINK_SECRET,
        admin_secret=ADMIN_SECRET,
        config_signing_key=SIGNING_KEY,
        database_url=database_url,
        **{
            "admin_secure_cookies": False,
            "admin_pools": f"pool-{secrets.token_hex(4)}",
            **more,
        },
    )
    shown: list[str] = []
    # In a thread, since it computes for a moment; a program does it before its loop turns.
    parts = await asyncio.to_thread(program.build, settings)
    app = await asyncio.to_thread(program.create_app, parts, shown.append)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://admin")
        )
        secret = shown[0] if shown else known_secret
        http.headers["Authorization"] = f"Bearer {secret}"
        yield Admin(parts, http, secret)


@pytest.fixture
async def admin(sqlite: Filled, redis_url: str) -> AsyncIterator[Admin]:
    """An admin app on SQLite."""
    async with serving(sqlite.url, redis_url, sqlite.secret) as app:
        yield app


@pytest.fixture
async def either_admin(any_database: Filled, redis_url: str) -> AsyncIterator[Admin]:
    """An admin app on each kind of database."""
    async with serving(any_database.url, redis_url, any_database.secret) as app:
        yield app
