"""HTTP servers against clients that take their time, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from callcenter.serving import guard
from callcenter.serving.guard import HttpLimits

HOST = "127.0.0.1"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
QUICK = HttpLimits(headers_s=0.3, body_s=0.3, min_bytes_per_s=1_000_000, write_s=0.5)
LARGE = 8_000_000


def app() -> FastAPI:
    """Three pages."""
    made = FastAPI()

    @made.get("/healthz")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @made.post("/read")
    async def read(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    @made.get("/large")
    async def large() -> PlainTextResponse:
        return PlainTextResponse("x" * LARGE)

    return made


@asynccontextmanager
async def serving(limits: HttpLimits) -> AsyncIterator[int]:
    """Gives the port."""
    server = uvicorn.Server(guard.config(app(), HOST, 0, limits, lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[method-assign]
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def until_closed(port: int, *pieces: bytes, every_s: float = 0.0) -> bytes:
    """Sends pieces slowly and reads until the server closes."""
    reader, writer = await asyncio.open_connection(HOST, port)

    async def send() -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)

    sending = asyncio.create_task(send())
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


async def served(port: int) -> bool:
    """Whether somebody else gets an answer."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(GET)
    try:
        return (await reader.readline()).startswith(b"HTTP/1.1 200")
    except ConnectionResetError:
        return False
    finally:
        writer.close()


HALF_OPEN = {
    "silent": (b"",),
    "half of the headers": (b"GET /healthz HTTP/1.1\r\nHost:",),
    "headers byte by byte": tuple(bytes([each]) for each in GET[:-1]),
    "blank lines for ever": (b"\r\n",) * 100,
    "a body that does not come": (
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123",
    ),
    "a body byte by byte": (
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n",
        *(b"1",) * 100,
    ),
    "headers after an answer": (GET, b"GET /healthz HTTP/1.1\r\n"),
    "blank lines after an answer": (GET, *(b"\r\n",) * 100),
    "a body that nobody reads": (
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n",
        *(b"1",) * 100,
    ),
}


@pytest.mark.parametrize("pieces", HALF_OPEN.values(), ids=HALF_OPEN)
async def test_half_open_requests_are_closed(
    pieces: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """However they drip; others are served meanwhile and afterwards, and the log stays empty."""
    async with serving(QUICK) as port, asyncio.timeout(5):
        slow = asyncio.create_task(until_closed(port, *pieces, every_s=0.05))
        await asyncio.sleep(0.1)
        assert await served(port)
        await slow
        assert await served(port)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    """Half an answer in, and when only the last of it waits."""
    async with serving(QUICK) as port, asyncio.timeout(5):
        for path in (b"large", b"large?last"):
            reader, writer = await asyncio.open_connection(HOST, port, limit=2**20)
            writer.transport.pause_reading()
            writer.write(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            await asyncio.sleep(0.8)
            assert await served(port)
            writer.transport.resume_reading()
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(LARGE + 100)
            writer.close()


async def test_a_slow_but_steady_upload_is_read() -> None:
    """It takes longer than `body_s`, and brings enough."""
    limits = HttpLimits(body_s=0.2, min_bytes_per_s=10_000)
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 50000\r\n\r\n"
    async with serving(limits) as port, asyncio.timeout(5):
        answer = await until_closed(port, head, *(b"x" * 5_000,) * 10, every_s=0.05)
    assert answer.endswith(b"50000")


async def test_large_headers_are_refused() -> None:
    """Before they fill the memory."""
    async with serving(HttpLimits(headers_bytes=2_000)) as port, asyncio.timeout(5):
        head = b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 1_000
        assert not await until_closed(port, head)
        assert await served(port)


async def test_one_host_has_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further ones are closed; those that are there, and other hosts, are served."""
    limits = HttpLimits(connections_per_host=3)
    async with serving(limits) as port, asyncio.timeout(5):
        kept = [await asyncio.open_connection(HOST, port) for _ in range(3)]
        assert not await served(port)
        reader, writer = await asyncio.open_connection(HOST, port, local_addr=("127.0.0.2", 0))
        writer.write(GET)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        kept[0][1].write(GET)
        assert (await kept[0][0].readline()).startswith(b"HTTP/1.1 200")
        for _, other in kept:
            other.close()
        while not await served(port):  # noqa: ASYNC110 - until the server has seen the end
            await asyncio.sleep(0.02)


async def test_all_hosts_together_have_so_many() -> None:
    """The bound of the whole server."""
    async with serving(HttpLimits(connections=2)) as port, asyncio.timeout(5):
        kept = [
            await asyncio.open_connection(HOST, port, local_addr=(f"127.0.0.{last}", 0))
            for last in (2, 3)
        ]
        assert not await served(port)
        for _, writer in kept:
            writer.close()
        while not await served(port):  # noqa: ASYNC110 - until the server has seen the end
            await asyncio.sleep(0.02)
