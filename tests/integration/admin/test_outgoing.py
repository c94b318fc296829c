"""Requests to addresses that others chose: looked up once, and little of the answer read."""

import asyncio
import gzip
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from callcenter.admin import outgoing
from callcenter.admin.outgoing import NotSent, Sender

OK = b"HTTP/1.1 204 X\r\n\r\n"


class Receiver:
    """Answers every connection with the same bytes, some at a time.

    Attributes:
        heads: what was asked.
    """

    def __init__(self, *pieces: bytes, every_s: float = 0.0) -> None:
        self.heads: list[str] = []
        self._pieces = pieces
        self._every_s = every_s

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self._every_s)
        except (ConnectionError, asyncio.IncompleteReadError):  # it has heard enough
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(receiver: Receiver, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Gives the port."""
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def sending(allow_private: bool = True, verify: ssl.SSLContext | None = None):
    """A sender."""
    http = outgoing.client()
    if verify is not None:
        http = httpx.AsyncClient(verify=verify, trust_env=False)
    sender = Sender(http, allow_private)
    yield sender
    sender.close()
    await http.aclose()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and what they stand for, one answer after the other; the last one stays."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host, *more, **named):
        if host not in known:
            return real(host, *more, **named)
        text = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        kinds = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(kinds[":" in each], socket.SOCK_STREAM, 6, "", (each, 0)) for each in text.split()]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


async def test_the_name_goes_along(names: dict[str, list[str]]) -> None:
    """In `Host`, with its port; nothing packed is asked for, and no connection is kept."""
    names["hook.example"] = ["127.0.0.1"]
    receiver = Receiver(OK)
    async with listening(receiver) as port, sending() as sender:
        assert await sender.post(f"http://hook.example:{port}/a?b=c", b"x", {"id": "7"}) == 204
    head = receiver.heads[0].lower()
    assert head.startswith("post /a?b=c http/1.1")
    for line in (f"host: hook.example:{port}", "accept-encoding: identity", "id: 7"):
        assert f"\r\n{line}\r\n" in head
    assert "\r\nconnection: close\r\n" in head


async def test_a_second_look_up_changes_nothing(names: dict[str, list[str]]) -> None:
    """A name that is public when it is checked and private when one connects (rebinding)."""
    receiver = Receiver(OK)
    async with listening(receiver) as port, sending(allow_private=False) as sender:
        names["rebind.example"] = ["192.0.2.1 93.184.215.14", "127.0.0.1"]
        with pytest.raises(NotSent, match="private network"):
            await sender.post(f"http://rebind.example:{port}/", b"", {})
        names["rebind.example"] = ["127.0.0.1"]
        with pytest.raises(NotSent, match="private network"):
            await sender.post(f"http://rebind.example:{port}/", b"", {})
    assert not receiver.heads


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0"],
)
async def test_inner_addresses_however_they_are_written(host: str) -> None:
    """A number in another form is looked up like a name."""
    receiver = Receiver(OK)
    async with listening(receiver) as port, sending(allow_private=False) as sender:
        with pytest.raises(NotSent):
            await sender.post(f"http://{host}:{port}/", b"", {})
    assert not receiver.heads


async def test_the_next_address_is_tried(names: dict[str, list[str]]) -> None:
    """Nobody is at the first one."""
    names["two.example"] = ["::1 127.0.0.1"]
    async with listening(Receiver(OK)) as port, sending() as sender:
        assert await sender.post(f"http://two.example:{port}/", b"", {}) == 204


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of hook.example, signed by itself, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "2", "-subj", "/CN=hook.example"),
        *("-addext", "subjectAltName=DNS:hook.example"),
        *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
    ]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


async def test_tls_is_by_the_name(names: dict[str, list[str]], certificate: Path) -> None:
    """SNI names the host and the certificate must be its, though a number is connected to."""
    names["hook.example"] = names["other.example"] = ["127.0.0.1"]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    asked: list[str] = []
    server.sni_callback = lambda _, name, __: asked.append(name)
    client = ssl.create_default_context(cafile=str(certificate))
    async with listening(Receiver(OK), server) as port, sending(verify=client) as sender:
        assert await sender.post(f"https://hook.example:{port}/", b"", {}) == 204
        with pytest.raises(NotSent, match="certificate"):
            await sender.post(f"https://other.example:{port}/", b"", {})
        with pytest.raises(NotSent, match="certificate"):
            await sender.post(f"https://127.0.0.1:{port}/", b"", {})
    assert asked[:2] == ["hook.example", "other.example"]


async def test_redirects_are_not_followed() -> None:
    """The status is that of the redirect."""
    inner = Receiver(OK)
    async with listening(inner) as inside:
        location = f"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:{inside}/\r\n\r\n".encode()
        async with listening(Receiver(location)) as port, sending() as sender:
            assert await sender.post(f"http://127.0.0.1:{port}/", b"", {}) == 307
    assert not inner.heads


async def test_no_cookie_is_kept() -> None:
    """A receiver could fill the memory with them, or be told another's."""
    receiver = Receiver(b"HTTP/1.1 204 X\r\nSet-Cookie: a=b; Path=/\r\n\r\n")
    async with listening(receiver) as port, sending() as sender:
        for _ in range(2):
            await sender.post(f"http://127.0.0.1:{port}/", b"", {})
    assert "cookie" not in receiver.heads[1].lower()


async def test_little_of_an_answer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed or not, without end or byte by byte: the status is enough."""
    monkeypatch.setattr(outgoing, "ANSWER_S", 0.2)
    packed = gzip.compress(bytes(20_000_000))
    head = b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    endless = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    for receiver in (
        Receiver(head + packed),
        Receiver(endless, *(chunk,) * 1_000),
        Receiver(endless, *(b"1\r\nx\r\n",) * 1_000, every_s=0.05),
    ):
        async with listening(receiver) as port, sending() as sender, asyncio.timeout(2):
            assert await sender.post(f"http://127.0.0.1:{port}/", b"", {}) == 200


@pytest.mark.parametrize(
    "receiver",
    [
        Receiver(b"", every_s=30.0),
        Receiver(*(bytes([each]) for each in OK * 20), every_s=0.1),
        Receiver(b"HTTP/1.1 200 X\r\n", *(b"X: y\r\n",) * 100, every_s=0.1),
    ],
    ids=["silent", "status byte by byte", "headers without end"],
)
async def test_the_whole_takes_a_bounded_time(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though something comes all the time."""
    monkeypatch.setattr(outgoing, "TOTAL_S", 0.4)
    async with listening(receiver) as port, sending() as sender:
        began = time.monotonic()
        with pytest.raises(NotSent, match="no answer within"):
            await sender.post(f"http://127.0.0.1:{port}/", b"", {})
        assert time.monotonic() - began < 3


async def test_a_silent_name_server_keeps_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the name is asked for; other names are looked up meanwhile."""
    monkeypatch.setattr(outgoing, "TOTAL_S", 0.3)
    asked, real = [], socket.getaddrinfo

    def look_up(host, *more, **named):
        asked.append(host)
        if host == "silent.example":
            time.sleep(1.0)
        return real("127.0.0.1" if host.endswith(".example") else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with listening(Receiver(OK)) as port, sending() as sender:
        slow = [sender.post("http://silent.example/", b"", {}) for _ in range(50)]
        quick = sender.post(f"http://quick.example:{port}/", b"", {})
        *failed, status = await asyncio.gather(*slow, quick, return_exceptions=True)
    assert status == 204
    assert all(isinstance(error, NotSent) for error in failed)
    assert asked.count("silent.example") == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/", f"http://{'a' * 64}.example/", "http://no.invalid/", "x"]
)
async def test_what_cannot_be_called_says_why(url: str) -> None:
    """Also what was stored before such URLs were refused."""
    async with sending() as sender:
        with pytest.raises(NotSent):
            await sender.post(url, b"", {})


async def test_proxies_of_the_environment_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """One would look names up by itself."""
    proxy, receiver = Receiver(OK), Receiver(OK)
    async with listening(proxy) as proxied, listening(receiver) as port:
        monkeypatch.setitem(os.environ, "HTTP_PROXY", f"http://127.0.0.1:{proxied}")
        async with sending() as sender:
            await sender.post(f"http://127.0.0.1:{port}/", b"", {})
    assert (len(proxy.heads), len(receiver.heads)) == (0, 1)
