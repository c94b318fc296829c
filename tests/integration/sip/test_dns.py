"""Names of registrars and far ends, looked up at a real DNS server (RFC 3263)."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from callcenter.telephony.sip.registration import Standing
from callcenter.telephony.sip.resolver import Resolver
from callcenter.telephony.sip.transport import Transports
from callcenter.telephony.sip.uri import Peer, parse_uri
from tests.dns_server import DnsServer
from tests.integration.sip.test_registration import call_the_account, registrar, standing, trunk
from tests.servers import free_port

pytestmark = pytest.mark.timeout(40)
DOMAIN = "pbx.example.com"


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    """A server without records."""
    server = await DnsServer().start()
    yield server
    server.stop()


def resolver(dns: DnsServer, clock=lambda: 0.0) -> Resolver:
    """One that asks it."""
    return Resolver([("127.0.0.1", dns.port)], clock, lambda: 0.0)


async def located(dns: DnsServer, uri: str) -> list[tuple[str, str, int]]:
    """Where a URI leads, in order."""
    asks = resolver(dns)
    peers = await asks.locate(await asks.hop(parse_uri(uri)))
    return [(peer.transport, peer.host, peer.port) for peer in peers]


async def test_naptr_and_srv(dns) -> None:
    """NAPTR names the transport, SRV ports and hosts in their order, A and AAAA the addresses."""
    dns.records = {
        (DOMAIN, "NAPTR"): [
            f'20 10 "s" "SIP+D2U" "" _sip._udp.{DOMAIN}.',
            f'10 10 "s" "SIP+D2T" "" _sip._tcp.{DOMAIN}.',
        ],
        (f"_sip._tcp.{DOMAIN}", "SRV"): [
            f"20 0 5080 b.{DOMAIN}.",
            f"10 0 5070 a.{DOMAIN}.",
        ],
        (f"_sip._udp.{DOMAIN}", "SRV"): [f"10 0 5090 a.{DOMAIN}."],
        (f"a.{DOMAIN}", "A"): ["192.0.2.1"],
        (f"a.{DOMAIN}", "AAAA"): ["2001:db8::1"],
        (f"b.{DOMAIN}", "A"): ["192.0.2.2"],
    }
    over_tcp = [
        ("tcp", "192.0.2.1", 5070),
        ("tcp", "2001:db8::1", 5070),
        ("tcp", "192.0.2.2", 5080),
    ]
    assert await located(dns, f"sip:{DOMAIN}") == over_tcp
    assert await located(dns, f"sip:{DOMAIN};transport=tcp") == over_tcp
    assert (await located(dns, f"sip:{DOMAIN};transport=udp"))[0] == ("udp", "192.0.2.1", 5090)


async def test_without_naptr_and_without_srv(dns) -> None:
    """SRV alone says the transport; without any record it is UDP and the usual port."""
    dns.records = {
        (f"_sip._tcp.{DOMAIN}", "SRV"): [f"10 0 5070 {DOMAIN}."],
        (DOMAIN, "A"): ["192.0.2.1"],
        ("plain.example.com", "A"): ["192.0.2.9"],
    }
    assert await located(dns, f"sip:{DOMAIN}") == [("tcp", "192.0.2.1", 5070)]
    assert await located(dns, f"sip:{DOMAIN}:5099") == [("udp", "192.0.2.1", 5099)]
    assert (f"_sip._udp.{DOMAIN}", "SRV") in dns.asked
    assert await located(dns, "sip:plain.example.com") == [("udp", "192.0.2.9", 5060)]
    assert await located(dns, "sips:plain.example.com") == [("tls", "192.0.2.9", 5061)]
    assert await located(dns, "sip:192.0.2.7") == [("udp", "192.0.2.7", 5060)]


async def test_names_that_dns_does_not_have(dns) -> None:
    """The system's own look-up knows localhost; what nobody knows has no address."""
    assert ("udp", "127.0.0.1", 5060) in await located(dns, "sip:localhost")
    assert await located(dns, "sip:nobody.invalid") == []


async def test_an_answer_counts_as_long_as_it_says(dns) -> None:
    """Asked once within its time to live, and again after it."""
    dns.records, dns.ttl_s = {(DOMAIN, "A"): ["192.0.2.1"]}, 1
    asks, peer = resolver(dns), Peer("udp", DOMAIN, 5099)
    for _ in range(3):
        await asks.locate(peer)
    assert dns.asked[DOMAIN, "A"] == 1
    await asyncio.sleep(1.1)
    dns.records[DOMAIN, "A"] = ["192.0.2.2"]
    assert [found.host for found in await asks.locate(peer)] == ["192.0.2.2"]


async def test_an_address_that_failed_is_the_last_for_a_minute(dns) -> None:
    """Then it is tried in its turn again."""
    dns.records = {(DOMAIN, "A"): ["192.0.2.1", "192.0.2.2"]}
    now = [0.0]
    asks, peer = resolver(dns, lambda: now[0]), Peer("udp", DOMAIN, 5060)
    first, second = await asks.locate(peer)
    asks.avoid(first)
    assert await asks.locate(peer) == [second, first]
    now[0] = 61.0
    assert await asks.locate(peer) == [first, second]


async def test_a_dns_server_that_is_silent_holds_nobody_up(dns) -> None:
    """The message waits, and others go out at once, in their order."""
    dns.records, dns.mute = {(DOMAIN, "A"): ["127.0.0.1"]}, {"slow.example.com"}
    far_end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far_end.bind(("127.0.0.1", 0))
    far_end.setblocking(False)
    port = far_end.getsockname()[1]
    transports = Transports(lambda *_: None, lambda host: True, resolver=resolver(dns))
    transports.listen_udp("127.0.0.1", 0)
    try:
        transports.send(Peer("udp", "slow.example.com", port), b"never")
        for number in range(5):
            transports.send(Peer("udp", DOMAIN, port), b"%d" % number)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(2):
            got = [await loop.sock_recv(far_end, 100) for _ in range(5)]
        assert got == [b"0", b"1", b"2", b"3", b"4"]
    finally:
        await transports.close()
        far_end.close()


async def test_a_silent_address_gives_way_to_the_next(dns) -> None:
    """Over UDP nobody refuses: the second address is used once a request was left unanswered."""
    far_ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for far_end in far_ends:
        far_end.bind(("127.0.0.1", 0))
        far_end.setblocking(False)
    first, second = (far_end.getsockname()[1] for far_end in far_ends)
    dns.records = {
        (f"_sip._udp.{DOMAIN}", "SRV"): [f"1 0 {first} a.{DOMAIN}.", f"2 0 {second} a.{DOMAIN}."],
        (f"a.{DOMAIN}", "A"): ["127.0.0.1"],
        (f"a.{DOMAIN}", "AAAA"): ["::1"],  # for which there is no socket
    }
    transports = Transports(lambda *_: None, lambda host: True, resolver=resolver(dns))
    transports.listen_udp("127.0.0.1", 0)
    peer, loop = parse_uri(f"sip:{DOMAIN}").peer(), asyncio.get_running_loop()
    try:
        async with asyncio.timeout(3):
            transports.send(peer, b"one")
            assert await loop.sock_recv(far_ends[0], 100) == b"one"
            transports.silent(peer)
            transports.send(peer, b"two")
            assert await loop.sock_recv(far_ends[1], 100) == b"two"
    finally:
        await transports.close()
        for far_end in far_ends:
            far_end.close()


async def test_the_next_address_takes_the_connection(dns) -> None:
    """Nobody listens at the first one."""
    accepted = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(
        lambda reader, writer: accepted.set_result((reader, writer)), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    dns.records = {
        (f"_sip._tcp.{DOMAIN}", "SRV"): [
            f"1 0 {free_port()} a.{DOMAIN}.",
            f"2 0 {port} a.{DOMAIN}.",
        ],
        (f"a.{DOMAIN}", "A"): ["127.0.0.1"],
    }
    transports = Transports(lambda *_: None, lambda host: True, resolver=resolver(dns))
    try:
        transports.send(parse_uri(f"sip:{DOMAIN};transport=tcp").peer(), b"OPTIONS")
        async with asyncio.timeout(3):
            reader, writer = await accepted
            assert await reader.readexactly(7) == b"OPTIONS"
        writer.close()
    finally:
        await transports.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("role", ["registrar", "proxy"])
async def test_a_registrar_by_its_domain(dns, make_stand, tmp_path, role) -> None:
    """NAPTR and SRV lead to Kamailio over TCP, as registrar or as proxy; the call comes in."""
    (tmp_path / "password").write_text("registrar-password\n")
    async with registrar(tmp_path, "SHA-256") as port:
        dns.records = {
            (DOMAIN, "NAPTR"): [f'10 10 "s" "SIP+D2T" "" _sip._tcp.{DOMAIN}.'],
            (f"_sip._tcp.{DOMAIN}", "SRV"): [f"10 0 {port} sip.{DOMAIN}."],
            (f"sip.{DOMAIN}", "A"): ["127.0.0.1"],
        }
        uri = DOMAIN if role == "registrar" else "accounts.invalid"
        lines = trunk(port, "password").replace(f"sip:127.0.0.1:{port};transport=udp", f"sip:{uri}")
        if role == "proxy":
            lines += f"\noutbound_proxy: sip:{DOMAIN}"
        stand = await make_stand(trunk=lines, sip_dns_servers=f"127.0.0.1:{dns.port}")
        await standing(stand, Standing.REGISTERED)
        await call_the_account(port)
        assert len(stand.worker.specs) == 1
        await stand.until_free()
