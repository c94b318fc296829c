"""The first admin's key, the key for whoever is locked out, and who may read the files."""

import asyncio
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from callcenter.admin import first_start, program
from callcenter.admin.store.database import Database
from callcenter.settings import AdminSettings
from tests.integration.admin.conftest import (
    ADMIN_SECRET,
    LINK_SECRET,
    Admin,
    Filled,
    serving,
)


async def test_the_first_key_ends(sqlite: Filled, redis_url: str) -> None:
    """In a day, or when another admin's key is used: making one is not enough."""
    async with serving(sqlite.url, redis_url, sqlite.secret) as admin:
        first = admin.acting(sqlite.first_secret)
        (key,) = [
            key
            for key in (await first.get("/v1/api_keys")).json()["items"]
            if key["name"] == first_start.FIRST_ADMIN
        ]
        left = datetime.fromisoformat(key["expires_at"]) - datetime.now(UTC)
        assert 23 < left.total_seconds() / 3_600 <= 24
        operator = admin.acting(await Admin(admin.parts, first, "").key("operator"))
        assert (await operator.get("/v1/calls")).status_code == 200
        assert (await first.get("/v1/calls")).status_code == 200
        assert (await admin.http.get("/v1/calls")).status_code == 200  # the other admin's key
        assert (await first.get("/v1/calls")).status_code == 401
        events = (await admin.http.get("/v1/audit?kind=api_key")).json()["items"]
        assert events[0]["after"] == {"why": "another admin got in"}
        assert (events[0]["actor_kind"], events[0]["object_name"]) == ("system", "first admin")


async def test_the_last_lasting_key_stays(sqlite: Filled, redis_url: str) -> None:
    """A temporary one beside it does not count: tomorrow nobody would get in."""
    async with serving(sqlite.url, redis_url, sqlite.secret) as admin:
        first = admin.acting(sqlite.first_secret)
        answer = await first.delete("/v1/api_keys/tests")
        assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
        assert (await first.delete("/v1/api_keys/first admin")).status_code == 204


def test_the_command_for_whoever_is_locked_out(sqlite: Filled, redis_url: str) -> None:
    """Prints a key that opens, ends in a day, and whose making is in the audit log."""
    environment = {
        **os.environ,
        "LINK_SECRET": LINK_SECRET,
        "ADMIN_SECRET": ADMIN_SECRET,
        "DATABASE_URL": sqlite.url,
    }
    command = [sys.executable, "-m", "callcenter", "admin-key"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    async def used() -> None:
        async with serving(sqlite.url, redis_url, done.stdout.strip()) as admin:
            keys = (await admin.http.get("/v1/api_keys")).json()["items"]
            assert keys[-1]["name"].startswith("admin key ")
            assert keys[-1]["temporary"]
            made = (await admin.http.get("/v1/audit?kind=api_key")).json()["items"][0]
            assert (made["action"], made["actor_kind"]) == ("create", "system")

    asyncio.run(used())
    taken = subprocess.run(
        [*command, "--name", "tests"], env=environment, capture_output=True, text=True
    )
    assert taken.returncode == 2
    assert "there is a key named 'tests' already" in taken.stderr


def test_the_first_key_is_written_for_its_owner_only(tmp_path: Path) -> None:
    """A file that was there, with whatever mode, is replaced."""
    file = tmp_path / "key"
    file.write_text("old")
    file.chmod(0o644)
    program.write_key(file, "pcc_secret")
    assert file.read_text() == "pcc_secret\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_the_file_goes_with_the_key(sqlite: Filled, redis_url: str, tmp_path: Path) -> None:
    """As soon as no temporary key is good any more."""
    file = tmp_path / "key"
    more = {"first_admin_key_file": file}
    async with serving(sqlite.url, redis_url, sqlite.secret, **more) as admin:
        program.write_key(file, sqlite.first_secret)
        await admin.parts.housekeeper.tidy(datetime.now(UTC))
        assert file.exists()
        await admin.http.get("/v1/calls")
        await admin.parts.housekeeper.tidy(datetime.now(UTC))
        assert not file.exists()


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True])
async def test_a_sqlite_file_is_its_owner_s(tmp_path: Path, there: bool) -> None:
    """Made so, or brought to it; with the files that SQLite keeps beside it."""
    old = os.umask(0o022)
    try:
        file = tmp_path / "calls.db"
        if there:
            file.touch(0o644)
        database = Database(f"sqlite:///{file}")
        await database.upgrade()
        async with database.writing() as db:
            await db.execute(text("UPDATE state SET revision = 1"))
            modes = _modes(tmp_path)
        await database.close()
    finally:
        os.umask(old)
    assert {"calls.db", "calls.db-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_settings_that_let_nobody_in() -> None:
    """Are refused at the start, in words."""
    for wrong, words in (
        ({"admin_key_login": False}, "needs OIDC_ISSUER"),
        ({"oidc_issuer": "https://login.example.com"}, "OIDC_CLIENT_ID and ADMIN_PUBLIC_URL"),
        ({"oidc_issuer": "http://login.example.com"}, "must be https"),
        ({"admin_public_url": "http://admin.example.com"}, "must be https"),
    ):
        with pytest.raises(program.ConfigurationError, match=words):
            AdminSettings.load(link_secret=LINK_SECRET, admin_secret=ADMIN_SECRET, **wrong)
