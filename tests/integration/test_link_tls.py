"""The link over real TLS sockets: each end proves who it is, or there is no link."""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.errors import ConfigurationError, LinkLost
from callcenter.link.client import LinkClient
from callcenter.link.protocol import End, Ready
from callcenter.link.server import LinkServer, SessionLink
from callcenter.link.tls import LinkTls, client_tls, server_tls
from callcenter.link.token import SessionToken, sign
from callcenter.settings import GatewaySettings, WorkerSettings
from callcenter.worker.program import Worker
from engine.rehearsal import RehearsalEngine
from tests.certificates import Authority
from tests.integration.test_link import AUTH_TOKEN, SPEC, authorize

SECRET = "s" * 32


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The installation's CA."""
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Somebody else's."""
    return Authority(tmp_path_factory.mktemp("tls") / "strangers")


async def agree(link: SessionLink) -> None:
    """A worker that takes the session and ends it."""
    link.channel.send_control(Ready())
    link.channel.send_control(End(reason="done"))


@contextlib.asynccontextmanager
async def worker(
    authority: Authority | None, name: str = "127.0.0.1", client_ca: Path | None = None
) -> AsyncIterator[str]:
    """A link server with a certificate; gives its address."""
    server = LinkServer(authorize, agree)
    files = authority.issue(name) if authority else (None, None)
    port = await server.start("127.0.0.1", 0, server_tls(*files, client_ca))
    try:
        yield f"{'wss' if authority else 'ws'}://127.0.0.1:{port}"
    finally:
        await server.stop()


def checks(
    authority: Authority, own: tuple[Path, Path] | tuple[None, None] = (None, None), name: str = ""
) -> LinkTls | None:
    """How a gateway checks workers."""
    return client_tls(authority.file, *own, name)


async def says(url: str, tls: LinkTls | None) -> list[object]:
    """Opens a link and reads it to its end."""
    link = await LinkClient.open(url, AUTH_TOKEN, SPEC, tls=tls)
    heard = [message async for message in link.messages()]
    await link.close("done")
    return heard


async def test_a_worker_with_a_certificate_of_ours(ours: Authority) -> None:
    """By its address, and by a name that all workers share."""
    async with worker(ours) as url:
        assert await says(url, checks(ours)) == [End(reason="done")]
    async with worker(ours, "workers.callcenter.internal") as url:
        named = checks(ours, name="workers.callcenter.internal")
        assert await says(url, named) == [End(reason="done")]


async def test_other_workers_get_nothing(ours: Authority, strangers: Authority) -> None:
    """Another CA's, another name's, one without TLS, and ours without anybody who checks it."""
    async with worker(strangers) as url:
        with pytest.raises(LinkLost, match="certificate verify failed"):
            await says(url, checks(ours))
    async with worker(ours, "somebody.else.internal") as url:
        with pytest.raises(LinkLost, match=r"certificate"):
            await says(url, checks(ours))
    async with worker(None) as url:
        with pytest.raises(LinkLost, match="LINK_CA_FILE asks for TLS"):
            await says(url, checks(ours))
        with pytest.raises(LinkLost):
            await says(url.replace("ws:", "wss:"), checks(ours))
    async with worker(ours) as url:
        with pytest.raises(LinkLost):
            await says(url, None)
        with pytest.raises(LinkLost):
            await says(url.replace("wss:", "ws:"), None)


async def test_a_worker_that_asks_for_a_certificate(ours: Authority, strangers: Authority) -> None:
    """A gateway with one of ours comes in; one without, or with another CA's, does not."""
    async with worker(ours, client_ca=ours.file) as url:
        assert await says(url, checks(ours, ours.issue("gateway"))) == [End(reason="done")]
        for own in ((None, None), strangers.issue("gateway")):
            with pytest.raises(LinkLost):
                await says(url, checks(ours, own))


@pytest.mark.timeout(30)
async def test_the_worker_program_speaks_tls(ours: Authority, redis_url: str) -> None:
    """By its settings: its address in the books is wss://, and a gateway's settings open it."""
    certificate, key = ours.issue("127.0.0.1")
    settings = WorkerSettings.load(
        redis_url=redis_url, link_secret=SECRET, worker_id="tls", worker_pool="tls",
        worker_port=0, worker_http_port=0, worker_tls_certificate=certificate,
        worker_tls_key=key,
    )  # fmt: skip
    gateway = GatewaySettings.load(
        link_secret=SECRET, public_base_url="https://a.example", link_ca_file=ours.file
    )
    async with Worker(settings, RehearsalEngine(1)).running() as program:
        redis = connect(redis_url)
        (known,) = await Broker(redis, "tls").workers()
        await redis.aclose()
        assert known.url == program.url
        assert known.url.startswith("wss://127.0.0.1:")
        token = SessionToken(
            call_id=SPEC.call_id, worker_id="tls", epoch=program.epoch, fencing_token=1,
            prompt_hash=SPEC.prompt_hash, expires_at_s=time.time() + 30,
        )  # fmt: skip
        tls = client_tls(*gateway.link_tls)
        link = await LinkClient.open(known.url, sign(token, SECRET), SPEC, tls=tls)
        await link.close("seen")


def test_files_that_cannot_be_used(ours: Authority, strangers: Authority, tmp_path: Path) -> None:
    """The start stops, and the variables are named."""
    certificate, key = ours.issue("a")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no certificate")
    for files in ((rubbish, None, None), (ours.file, certificate, strangers.issue("b")[1])):
        with pytest.raises(ConfigurationError, match="LINK_CA_FILE"):
            client_tls(*files, "")
    for files in ((certificate, rubbish, None), (certificate, key, tmp_path / "gone.pem")):
        with pytest.raises(ConfigurationError, match="WORKER_TLS_CERTIFICATE"):
            server_tls(*files)


@pytest.mark.parametrize(
    "half",
    [
        {"worker_tls_certificate": "a"},
        {"worker_tls_client_ca": "a"},
        {"worker_tls_certificate": "a", "worker_tls_key": "b", "worker_url": "ws://a:1"},
    ],
)
def test_half_of_a_workers_tls_stops_the_start(half: dict[str, str]) -> None:
    """Rather than a port that is plain after all."""
    with pytest.raises(ConfigurationError, match="WORKER_"):
        WorkerSettings.load(link_secret=SECRET, **half)


@pytest.mark.parametrize("half", [{"link_key": "a"}, {"link_server_name": "a"}])
def test_half_of_a_gateways_tls_stops_the_start(half: dict[str, str]) -> None:
    """Rather than a link that is plain after all."""
    with pytest.raises(ConfigurationError, match="LINK_"):
        GatewaySettings.load(link_secret=SECRET, public_base_url="https://a.example", **half)
