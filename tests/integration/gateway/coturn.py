"""A coturn with the options that the compose file and the chart give it, and a client of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import yaml
from aioice import stun

from callcenter.telephony.webrtc.turn import credential
from tests.deploy.tools import ROOT
from tests.servers import free_port

TURNSERVER = shutil.which("turnserver")
SECRET = "turn-secret-of-the-tests"
UDP, TCP = 17, 6
# What is this machine's own: addresses, ports, files and the secret.
OWN = (
    *("--external-ip", "--listening-port", "--min-port", "--max-port", "--static-auth-secret"),
    *("--pidfile", "--userdb", "--log-file", "--realm"),
)


def compose_options() -> list[str]:
    """What deploy/compose/gpu.yaml gives coturn, without this machine's own."""
    path = ROOT / "deploy" / "compose" / "gpu.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return without_own(document["services"]["turn"]["command"])


def without_own(options: list[str]) -> list[str]:
    """The options that do not depend on the machine."""
    return [option for option in options if not option.startswith(OWN)]


@contextlib.asynccontextmanager
async def running(
    host: str, folder: Path, options: list[str], *more: str
) -> AsyncIterator[tuple[str, int]]:
    """A coturn on one address; gives address and port.

    Args:
        host: where it listens and relays.
        folder: for its files.
        options: as a compose file or the chart has them.
        more: further options.
    """
    address = host, free_port(host=host if "." in host else "127.0.0.1")
    process = await asyncio.create_subprocess_exec(
        str(TURNSERVER),
        *options,
        *(f"--pidfile={folder}/pid", f"--userdb={folder}/turndb", "--realm=callcenter"),
        *(f"--listening-ip={host}", f"--listening-port={address[1]}", f"--relay-ip={host}"),
        *(f"--static-auth-secret={SECRET}", "--log-file=stdout", *more),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _until_it_listens(address)
        yield address
    finally:
        process.kill()
        await process.wait()


async def _until_it_listens(address: tuple[str, int]) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(*address)
            writer.close()
            return
        await asyncio.sleep(0.05)


class Visitor:
    """Whoever has a credential from the web page, over TCP to the server.

    Args:
        reader, writer: the connection.
        session: names the credential; its relays share a quota.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: str = "visit"
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._user = f"{int(time.time()) + 60}:{session}"
        self._key = b""
        self._login: dict[str, object] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, address: tuple[str, int], session: str) -> AsyncIterator[Visitor]:
        """A visitor until the end of the block."""
        reader, writer = await asyncio.open_connection(*address)
        try:
            yield cls(reader, writer, session)
        finally:
            writer.close()

    async def allocate(self, protocol: int = UDP) -> int:
        """Asks for a relay; gives 0, or the number of the error."""
        wanted = {"REQUESTED-TRANSPORT": protocol << 24}
        _, attributes = await self._ask(stun.Method.ALLOCATE, wanted)
        realm, nonce = attributes["REALM"], attributes["NONCE"]
        password = credential(self._user, SECRET)
        self._key = hashlib.md5(f"{self._user}:{realm}:{password}".encode()).digest()  # noqa: S324
        self._login = {"USERNAME": self._user, "REALM": realm, "NONCE": nonce}
        return (await self._ask(stun.Method.ALLOCATE, wanted))[0]

    async def permitted(self, peer: str) -> int:
        """Asks to be relayed to a peer; gives 0, or the number of the error."""
        address = {"XOR-PEER-ADDRESS": (peer, 6379)}
        return (await self._ask(stun.Method.CREATE_PERMISSION, address))[0]

    async def bound(self, peer: str, channel: int) -> int:
        """Asks for a channel to a peer; gives 0, or the number of the error."""
        attributes = {"CHANNEL-NUMBER": channel, "XOR-PEER-ADDRESS": (peer, 6379)}
        return (await self._ask(stun.Method.CHANNEL_BIND, attributes))[0]

    async def _ask(
        self, method: stun.Method, attributes: dict[str, object]
    ) -> tuple[int, dict[str, object]]:
        request = stun.Message(
            message_method=method,
            message_class=stun.Class.REQUEST,
            attributes={**attributes, **self._login},
        )
        if self._key:
            request.add_message_integrity(self._key)
        self._writer.write(bytes(request))
        head = await self._reader.readexactly(20)
        size = struct.unpack("!H", head[2:4])[0]
        answer = stun.parse_message(head + await self._reader.readexactly(size))
        error = answer.attributes.get("ERROR-CODE", (0, ""))[0]
        return error, dict(answer.attributes)
