"""A database of an older release is brought to this one's shape, and keeps what is in it."""

from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from callcenter.admin.store import tables
from callcenter.admin.store.database import MIGRATIONS, Database
from tests.integration.admin.conftest import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Any) -> Database:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path}/old.db")
    postgres: Postgres = request.getfixturevalue("postgres")
    return Database(postgres.new_database())


def move(connection: Connection, to: str) -> None:
    """Up or down to a revision."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    here = MigrationContext.configure(connection).get_current_revision()
    (command.downgrade if (here or "") > to else command.upgrade)(config, to)


async def test_from_before_people(empty: Database) -> None:
    """Keys and the audit log stay, sessions end; the audit log is still append-only; and back."""
    engine = empty._engine
    async with engine.connect() as connection:
        await connection.run_sync(move, "0002")
        await connection.execute(
            text(
                "INSERT INTO api_keys (id, name, role, prefix, secret_hash, revision, created_at,"
                " created_by) VALUES ('key_1', 'old', 'admin', 'abcdefgh', 'x', 1, 1, 'system')"
            )
        )
        await connection.execute(
            text("INSERT INTO sessions (id_hash, key_id, created_at, expires_at)"
                 " VALUES ('h', 'key_1', 1, 9999999999999)")
        )  # fmt: skip
        await connection.execute(
            text(
                "INSERT INTO audit (id, at, actor, role, address, action, object_kind, object_name)"
                " VALUES ('aud_1', 1, 'old', 'admin', '', 'create', 'persona', 'bank')"
            )
        )
        await connection.commit()
    await empty.upgrade()
    async with empty.reading() as db:
        key = (await db.execute(tables.api_keys.select())).one()
        assert (key.name, key.temporary) == ("old", False)
        event = (await db.execute(tables.audit.select())).one()
        assert (event.actor, event.actor_id, event.actor_kind) == ("old", "", "")
        assert (await db.execute(tables.sessions.select())).all() == []
    with pytest.raises(DBAPIError, match="append-only"):
        async with empty.writing() as db:
            await db.execute(text("DELETE FROM audit"))
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), tables.metadata)
        )
        assert differences == []
        await connection.run_sync(move, "0002")
        await connection.commit()
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        assert "people" not in names
    await empty.close()
