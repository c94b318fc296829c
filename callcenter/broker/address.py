"""Where Redis is: the addresses that have more than one host, read from REDIS_URL.

    redis://[user:password@]host[:6379][/db]                             one server, or a proxy
    redis+sentinel://[user:password@]host[:26379],host,.../service[/db]  the service's primary
    redis+cluster://[user:password@]host[:6379],host,...                 a Redis Cluster

`rediss` in place of `redis` is TLS on every connection. Name and password are the servers';
Sentinels with a password of their own get it by `?sentinel_password=` and `?sentinel_username=`.
With TLS, `?ssl_ca_certs=` names a PEM file. Special characters are percent-encoded.

It knows how to read an address and opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from callcenter.errors import ConfigurationError

SENTINEL_PORT = 26_379
REDIS_PORT = 6_379

Host = tuple[str, int]
Options = Mapping[str, str | bool | int]


@dataclass(frozen=True, slots=True)
class SingleServer:
    """One server; redis-py reads its URL itself."""

    url: str


@dataclass(frozen=True, slots=True)
class Sentinels:
    """A service that Sentinels watch over.

    Attributes:
        hosts: of the Sentinels.
        service: its name there.
        options: of connections to the servers.
        sentinel_options: of connections to the Sentinels.
    """

    hosts: tuple[Host, ...]
    service: str
    options: Options = field(repr=False)
    sentinel_options: Options = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClusterNodes:
    """Some nodes of a cluster; they know the others.

    Attributes:
        hosts: one that answers is enough.
        options: of connections.
    """

    hosts: tuple[Host, ...]
    options: Options = field(repr=False)


def parse(url: str) -> SingleServer | Sentinels | ClusterNodes:
    """Reads a REDIS_URL.

    Raises:
        ConfigurationError: it cannot be read; the message never shows it, for it holds a password.
    """
    scheme, _, rest = url.partition("://")
    transport, plus, kind = scheme.partition("+")
    if not plus:
        return SingleServer(url)
    if transport not in ("redis", "rediss") or kind not in ("sentinel", "cluster"):
        raise ConfigurationError(
            f"REDIS_URL: {scheme}:// is unknown; use redis://, redis+sentinel:// or "
            "redis+cluster://, with rediss for TLS"
        )
    parts = _parts(scheme, rest)
    return _sentinels(parts) if kind == "sentinel" else _cluster(parts)


def _parts(scheme: str, rest: str) -> SplitResult:
    """Like `urlsplit`, which takes no IPv6 address behind another host."""
    netloc = re.split("[/?#]", rest, maxsplit=1)[0]
    tail = urlsplit(rest[len(netloc) :])
    return SplitResult(scheme, netloc, tail.path, tail.query, tail.fragment)


def _sentinels(parts: SplitResult) -> Sentinels:
    service, _, db = parts.path.strip("/").partition("/")
    if not service or (db and not db.isdecimal()):
        raise ConfigurationError(
            "REDIS_URL: redis+sentinel://host,host/SERVICE[/DB] names the service that the "
            "Sentinels watch"
        )
    query = _query(parts, {"sentinel_username", "sentinel_password", "ssl_ca_certs"})
    tls = _tls(parts, query)
    own = {
        name: query[f"sentinel_{name}"]
        for name in ("username", "password")
        if f"sentinel_{name}" in query
    }
    return Sentinels(
        _hosts(parts, SENTINEL_PORT),
        unquote(service),
        {**_login(parts), **tls, "db": int(db or 0)},
        {**own, **tls},
    )


def _cluster(parts: SplitResult) -> ClusterNodes:
    if parts.path.strip("/") not in ("", "0"):
        raise ConfigurationError("REDIS_URL: a Redis Cluster has no other database than 0")
    query = _query(parts, {"ssl_ca_certs"})
    return ClusterNodes(_hosts(parts, REDIS_PORT), {**_login(parts), **_tls(parts, query)})


def _hosts(parts: SplitResult, default_port: int) -> tuple[Host, ...]:
    found = []
    for text in parts.netloc.rpartition("@")[2].split(","):
        one = urlsplit(f"//{text}")
        try:
            host, port = one.hostname, one.port
        except ValueError:  # no number, or too large
            host, port = None, None
        if not host:
            raise ConfigurationError(f"REDIS_URL: {text!r} is no host or host:port")
        found.append((host, port or default_port))
    return tuple(found)


def _login(parts: SplitResult) -> dict[str, str]:
    username, _, password = parts.netloc.rpartition("@")[0].partition(":")
    login = {"username": unquote(username), "password": unquote(password)}
    return {name: value for name, value in login.items() if value}


def _tls(parts: SplitResult, query: Mapping[str, str]) -> dict[str, str | bool]:
    if not parts.scheme.startswith("rediss"):
        return {}
    certificates = query.get("ssl_ca_certs")
    return {"ssl": True} | ({"ssl_ca_certs": certificates} if certificates else {})


def _query(parts: SplitResult, known: set[str]) -> dict[str, str]:
    query = dict(parse_qsl(parts.query))
    if unknown := sorted(query.keys() - known):
        raise ConfigurationError(
            f"REDIS_URL: {', '.join(unknown)} is unknown here; known: {', '.join(sorted(known))}"
        )
    return query
