"""Sends one request to an address that somebody else has chosen, and reads little of the answer.

    name --looked up once--> addresses --all public?--> connect to one of them, by its number

The number is connected to, with the name in `Host` and in TLS (SNI and certificate): a name server
cannot give one answer to the check and another to the connection. Redirects are not followed, the
answer's body is not unpacked and hardly read, and the whole takes a bounded time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpx
import structlog

from callcenter.admin.addresses import check_url, is_public
from callcenter.errors import CallcenterError

TOTAL_S = 10.0  # for one request: look-up, connection, answer
ANSWER_S = 1.0  # for the body of an answer, of which nothing is used
ANSWER_BYTES = 4_096
MAX_ADDRESSES = 4  # of one name, that are tried one after the other
LOOKUP_THREADS = 32

log = structlog.get_logger(__name__)

Address = IPv4Address | IPv6Address


class NotSent(CallcenterError):
    """The request got no answer; says why."""


def _in_words(error: httpx.HTTPError) -> str:
    """Why there was no answer; the library's own words are in the log."""
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return "no connection: nobody answers at this address, or its certificate is not valid"
        case httpx.TimeoutException():
            return f"no answer within {TOTAL_S:g} s"
        case httpx.UnsupportedProtocol():
            return "the address is no web address"
    return "the connection broke before an answer came"


def client() -> httpx.AsyncClient:
    """An HTTP client without proxies, cookies and connections that are kept."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    found = httpx.AsyncClient(follow_redirects=False, trust_env=False, limits=limits)
    found.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return found


class Lookups:
    """Looks names up, in threads of its own, since the system's resolver blocks.

    A name whose server is silent keeps one thread for as long as the resolver waits, however often
    it is asked for meanwhile.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")
        self._running: dict[str, asyncio.Future[list[Address]]] = {}

    async def addresses(self, host: str) -> list[Address]:
        """All addresses of a name, or of a number itself.

        Raises:
            NotSent: there are none.
        """
        running = self._running.get(host)
        if running is None:
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._threads, _looked_up, host)
            self._running[host] = running
            running.add_done_callback(lambda _: self._running.pop(host, None))
        try:
            return await asyncio.shield(running)
        except (OSError, UnicodeError) as error:  # no such name; one that cannot be written
            log.info("host_not_found", detail=str(error))
            raise NotSent(f"{host}: there is no such host; check the address") from None

    def close(self) -> None:
        """Lets the threads go; those that wait for a name server end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _looked_up(host: str) -> list[Address]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    texts = [str(address[0]) for family, *_, address in found if family in _FAMILIES]
    return [ip_address(text) for text in dict.fromkeys(texts)]


_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class Sender:
    """Sends requests to public addresses.

    Args:
        http: what sends them.
        allow_private: whether addresses that are not public are good, too.
    """

    def __init__(self, http: httpx.AsyncClient, allow_private: bool) -> None:
        self._http = http
        self._allow_private = allow_private
        self._lookups = Lookups()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Sends a request and returns the answer's status.

        Raises:
            NotSent: there was no answer in time, or the address may not be called.
        """
        try:
            async with asyncio.timeout(TOTAL_S):
                return await self._post(httpx.URL(check_url(url)), body, headers)
        except TimeoutError:  # a silent name server, a slow receiver
            raise NotSent(f"no answer within {TOTAL_S:.0f} s") from None
        except ValueError as error:  # stored before such URLs were refused
            raise NotSent(f"the URL cannot be used: {error}") from None
        except httpx.HTTPError as error:  # refused, cut off, no HTTP, no good certificate
            log.info("webhook_not_reached", detail=f"{type(error).__name__}: {error}")
            raise NotSent(_in_words(error)) from None

    def close(self) -> None:
        """Lets its threads go."""
        self._lookups.close()

    async def _post(self, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> int:
        host = url.raw_host.decode("ascii").strip("[]")
        addresses = await self._lookups.addresses(host)
        if not self._allow_private and not all(is_public(each) for each in addresses):
            raise NotSent(
                f"{host} is an address of a private network; WEBHOOKS_PRIVATE allows those"
            )
        failure: httpx.HTTPError | None = None
        for address in addresses[:MAX_ADDRESSES]:
            try:
                return await self._post_to(address, url, host, body, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # the next may be there
                failure = error
        raise failure or NotSent(f"{host} has no address")

    async def _post_to(
        self, address: Address, url: httpx.URL, host: str, body: bytes, headers: Mapping[str, str]
    ) -> int:
        async with self._http.stream(
            "POST",
            url.copy_with(host=str(address)),
            content=body,
            headers={
                **headers,
                "Host": url.netloc.decode("ascii"),
                "Accept-Encoding": "identity",
                "Connection": "close",  # the next may be another name at the same address
            },
            follow_redirects=False,
            timeout=TOTAL_S,
            extensions={"sni_hostname": host},
        ) as response:
            with suppress(TimeoutError, httpx.HTTPError):  # the status is there: that is enough
                async with asyncio.timeout(ANSWER_S):
                    await _read_some(response)
            return response.status_code


async def _read_some(response: httpx.Response) -> None:
    """Reads an answer that is short to its end, so that its sender sees no broken connection."""
    got = 0
    async for piece in response.aiter_raw():
        got += len(piece)
        if got >= ANSWER_BYTES:
            return
