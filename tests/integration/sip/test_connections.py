"""TCP and TLS connections on real sockets: who may have one, how many, and for how long."""

import asyncio
import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from callcenter.telephony.sip.connection import TURN_S
from callcenter.telephony.sip.stream_limits import StreamLimits
from callcenter.telephony.sip.transport import Transports
from callcenter.telephony.sip.uri import Peer
from tests.integration.sip.test_baresip import certificate
from tests.unit.callcenter.telephony.sip.conftest import request

TRUNK, STRANGER = ("127.0.0.1", "127.0.0.2"), "127.0.0.9"
LIMITS = StreamLimits(connections=8, per_host=5, message_s=10.0, idle_s=600.0)
OPTIONS = request("OPTIONS")

pytestmark = pytest.mark.timeout(30)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Door:
    """Transports that let two hosts in, and what came over them.

    Attributes:
        needed: far ends whose connections are used.
        unreachable: far ends that could not be connected to.
    """

    def __init__(self, limits: StreamLimits = LIMITS) -> None:
        self.got: asyncio.Queue[tuple[bytes, Peer]] = asyncio.Queue()
        self.needed: set[Peer] = set()
        self.writers: list[asyncio.StreamWriter] = []
        self.unreachable: list[Peer] = []
        self.transports = Transports(
            lambda data, peer: self.got.put_nowait((data, peer)),
            lambda host: host in TRUNK,
            unreachable=self.unreachable.append,
            limits=limits,
            needed=lambda peer: peer in self.needed,
        )

    async def connect(
        self, port: int, host: str = TRUNK[0], tls: ssl.SSLContext | None = None
    ) -> Streams:
        """A connection from a host of this machine."""
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=(host, 0), ssl=tls, server_hostname=name
        )
        self.writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        """Closes both sides."""
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(OSError):  # it was cut off
                await writer.wait_closed()
        await self.transports.close()

    @property
    def now(self) -> float:
        """The loop's clock."""
        return asyncio.get_running_loop().time()


@pytest.fixture
async def make_door() -> AsyncIterator[Callable[..., Door]]:
    """Doors that are closed at the end."""
    doors: list[Door] = []

    def make(*args: object) -> Door:
        doors.append(Door(*args))
        return doors[-1]

    yield make
    for door in doors:
        await door.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Waits until the far end has closed it."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(5):
            return await reader.read() == b""
    return True


async def talks(door: Door, writer: asyncio.StreamWriter) -> Peer:
    """Sends a message and waits until it is there; where it came from."""
    writer.write(OPTIONS)
    async with asyncio.timeout(5):
        data, peer = await door.got.get()
    assert data == OPTIONS
    return peer


def server_tls(folder: Path) -> ssl.SSLContext:
    """A server's certificate."""
    certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def client_tls() -> ssl.SSLContext:
    """A client that takes any certificate: it is not what is tested."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def test_messages_in_pieces_of_one_byte(make_door) -> None:
    """They are whole when they are there, and a keep-alive is answered."""
    door = make_door()
    port = await door.transports.listen_stream("127.0.0.1", 0)
    reader, writer = await door.connect(port)
    for _ in range(2):
        for byte in OPTIONS:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            assert (await door.got.get())[0] == OPTIONS
    writer.write(b"\r\n\r\n")
    async with asyncio.timeout(5):
        assert await reader.readexactly(2) == b"\r\n"


async def test_silent_connections_of_one_host_do_not_lock_out_another(make_door) -> None:
    """One host has its share and no more; when they are ended in time, it may connect again."""
    door = make_door()
    port = await door.transports.listen_stream("127.0.0.1", 0)
    silent = [await door.connect(port) for _ in range(LIMITS.per_host)]
    over, _ = await door.connect(port)
    assert await ended(over)
    _, other = await door.connect(port, TRUNK[1])
    assert (await talks(door, other)).host == TRUNK[1]
    door.transports.sweep(door.now + LIMITS.message_s + 1)
    for reader, _ in silent:
        assert await ended(reader)
    _, again = await door.connect(port)
    assert (await talks(door, again)).host == TRUNK[0]
    assert (await talks(door, other)).host == TRUNK[1]  # it has spoken: it stays


async def test_a_message_that_never_ends(make_door) -> None:
    """Its time counts from its first byte on, and bytes that drip in do not stop it."""
    door = make_door()
    port = await door.transports.listen_stream("127.0.0.1", 0)
    reader, writer = await door.connect(port)
    await talks(door, writer)
    door.transports.sweep(door.now + LIMITS.message_s + 1)  # between messages it may be silent
    await talks(door, writer)
    writer.write(OPTIONS[:40])
    closed = asyncio.create_task(ended(reader))
    while not closed.done():  # the bytes are on their way
        door.transports.sweep(door.now + LIMITS.message_s + 1)
        await asyncio.sleep(0.01)
    assert closed.result()


async def test_an_idle_connection_stays_while_it_is_needed(make_door) -> None:
    """A call's goes on for as long as the call does."""
    door = make_door()
    port = await door.transports.listen_stream("127.0.0.1", 0)
    reader, writer = await door.connect(port)
    door.needed.add(await talks(door, writer))
    door.transports.sweep(door.now + LIMITS.idle_s + 1)
    await talks(door, writer)
    door.needed.clear()
    door.transports.sweep(door.now + LIMITS.idle_s + 1)
    assert await ended(reader)


async def test_who_says_nothing_at_tls(make_door, tmp_path) -> None:
    """A stranger is cut off before TLS; a host of the trunk that shakes no hand, in time."""
    door = make_door(StreamLimits(connections=8, per_host=2, message_s=0.5, idle_s=600.0))
    port = await door.transports.listen_stream("127.0.0.1", 0, server_tls(tmp_path))
    stranger, _ = await door.connect(port, STRANGER)
    assert await ended(stranger)
    silent = [await door.connect(port) for _ in range(2)]
    over, _ = await door.connect(port)
    assert await ended(over)  # those without TLS count as well
    _, other = await door.connect(port, TRUNK[1], client_tls())
    assert (await talks(door, other)).transport == "tls"
    for reader, _ in silent:
        assert await ended(reader)
    _, again = await door.connect(port, TRUNK[0], client_tls())
    assert (await talks(door, again)).host == TRUNK[0]


async def test_our_own_connections_have_a_bound_too(make_door) -> None:
    """Whoever wants one more is told at once that its hop is not reached."""
    door = make_door(StreamLimits(connections=2, per_host=2))
    port = await door.transports.listen_stream("127.0.0.1", 0)
    for _ in range(2):
        _, writer = await door.connect(port)
        await talks(door, writer)
    hop = Peer("tcp", "127.0.0.1", port)
    door.transports.send(hop, OPTIONS)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert door.unreachable == [hop]


async def test_many_messages_at_once_leave_the_loop_to_others(make_door) -> None:
    """Those of one host take turns with those of another, and with everything else."""
    door = make_door()
    port = await door.transports.listen_stream("127.0.0.1", 0)
    _, first = await door.connect(port)
    _, second = await door.connect(port, TRUNK[1])
    first.write(OPTIONS * 3_000)
    await asyncio.sleep(0)
    second.write(OPTIONS)
    hosts = []
    async with asyncio.timeout(10):
        while len(hosts) < 3_001:
            hosts.append((await door.got.get())[1].host)
    assert hosts.index(TRUNK[1]) < 2_999  # not behind all of the other's
    assert hosts.count(TRUNK[0]) == 3_000


async def test_a_flood_of_datagrams_leaves_the_loop_to_others() -> None:
    """Those that cost much are read one a turn: in between the audio of calls is due."""
    order: list[str] = []

    def costly(data: bytes, peer: Peer) -> None:
        order.append("message")
        time.sleep(2 * TURN_S)

    transports = Transports(costly, lambda host: True)
    port = transports.listen_udp("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(20):
            sender.sendto(OPTIONS, ("127.0.0.1", port))
    async with asyncio.timeout(10):
        while order.count("message") < 20:
            order.append("turn")
            await asyncio.sleep(0)
    assert all("turn" in pair for pair in itertools.pairwise(order))
    await transports.close()


async def test_nothing_is_opened_to_where_an_invite_leads(make_stand, make_caller) -> None:
    """A host and port in Record-Route: no connection comes there, the INVITE is refused."""
    stand = await make_stand()
    came: list[object] = []
    elsewhere = await asyncio.start_server(lambda *streams: came.append(streams), STRANGER, 0)
    port = elsewhere.sockets[0].getsockname()[1]
    caller = make_caller(stand.udp)
    route = f"Record-Route: <sip:{STRANGER}:{port};transport=tcp;lr>\r\n"
    caller.send(caller.request("INVITE", caller.sdp(), extra=route))
    assert (await caller.response()).startswith("SIP/2.0 403")
    contact = make_caller(stand.udp)
    invite = contact.request("INVITE", contact.sdp())
    named = f"<sip:x@{STRANGER}:{port};transport=tcp>"
    own = f"<sip:caller@127.0.0.1:{contact.sip.getsockname()[1]}>"
    contact.send(invite.replace(own, named))
    contact.take(await contact.response(200))
    contact.send(contact.request("ACK", cseq=contact.cseq))
    for call in list(stand.gateway._endpoint._trunk_of):
        call.hang_up("hangup", 0.0)
        stand.gateway._agent.settle(call)
    bye = await contact.incoming("BYE")  # here, and not where Contact says
    contact.answer(bye)
    assert came == []
    elsewhere.close()
    await elsewhere.wait_closed()
