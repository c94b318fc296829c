"""Clients for one Redis, for the primary that Sentinels name, and for a Redis Cluster.

All three answer to the same commands and raise the same errors, so that nothing else asks which one
it has. Each fails fast: an operation is bounded by its caller, and whoever does not answer is given
up in a part of that time, so that another Sentinel or node can still be asked.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, ClusterPubSub, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from callcenter.broker.address import ClusterNodes, Sentinels, parse
from callcenter.errors import ConfigurationError

TIMEOUT_S = 0.5

# What a server says that is no primary, or not yet. It has carried nothing out, so that sending the
# command again, to whoever has the address now, is safe. BusyLoadingError is among the errors of
# broken connections, which are tried again anyway.
NOT_THE_PRIMARY = (exceptions.ReadOnlyError, exceptions.MasterDownError)

# A server that vanished without a word is found out in 11 s, also by those who only listen.
_KEEPALIVE = {socket.TCP_KEEPIDLE: 5, socket.TCP_KEEPINTVL: 2, socket.TCP_KEEPCNT: 3}


def connect(url: str, *, timeout_s: float = TIMEOUT_S, decode_responses: bool = True) -> Redis:
    """A client that fails fast: short time-outs, one retry where the connection was to blame.

    Args:
        url: as callcenter/broker/address.py describes it.
        timeout_s: of an operation.
        decode_responses: text in answers; off for bytes.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    address = parse(url)
    if isinstance(address, Sentinels):
        return _primary(address, timeout_s, decode_responses)
    if isinstance(address, ClusterNodes):
        # It is no subclass, and takes the same commands.
        return cast(Redis, _cluster(address, timeout_s, decode_responses))
    options = {**_options(timeout_s, decode_responses), "retry_on_error": list(NOT_THE_PRIMARY)}
    if address.url.startswith("unix://"):
        options = {name: value for name, value in options.items() if "keepalive" not in name}
    try:
        return Redis.from_url(address.url, **options)
    except ValueError as error:  # another scheme, or a port that is no number
        raise ConfigurationError(f"REDIS_URL: {error}") from None


def _primary(address: Sentinels, timeout_s: float, decode_responses: bool) -> Redis:
    """Asks the Sentinels whenever it has to connect."""
    asking_s = timeout_s / (len(address.hosts) + 1)  # all but one of them may be silent
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts,
        sentinel_kwargs={
            **address.sentinel_options,
            "socket_timeout": asking_s,
            "socket_connect_timeout": asking_s,
            "retry": Retry(NoBackoff(), 0),
        },
        **{**_options(timeout_s, decode_responses), **address.options},
    )
    return cast(Redis, sentinel.master_for(address.service, redis_class=_PrimaryClient))


def _cluster(address: ClusterNodes, timeout_s: float, decode_responses: bool) -> RedisCluster:
    options = _options(timeout_s / 2, decode_responses)  # the rest is for another look at the map
    nodes = [ClusterNode(host, port) for host, port in address.hosts]
    return _ClusterClient(startup_nodes=nodes, **{**options, **address.options})


def _options(timeout_s: float, decode_responses: bool) -> dict[str, Any]:
    return {
        "decode_responses": decode_responses,
        "encoding_errors": "replace",  # a stranger's odd byte spoils its own text, not the answer
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "socket_keepalive_options": _KEEPALIVE,
        "retry": Retry(NoBackoff(), 1),
    }


class _PrimaryClient(Redis):
    """Takes its Sentinels along when it is closed."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        pool: Any = self.connection_pool  # Sentinel's own kind
        await pool.sentinel_manager.aclose()


@contextmanager
def _same_errors() -> Iterator[None]:
    """RedisClusterException is no RedisError: a cluster without nodes, or a slot without one."""
    try:
        yield
    except exceptions.RedisClusterException as error:
        raise exceptions.ConnectionError(str(error)) from None


class _ClusterClient(RedisCluster):
    """A cluster that is away raises what a server that is away raises."""

    async def initialize(self, *args: Any, **kwargs: Any) -> RedisCluster:
        with _same_errors():
            return await super().initialize(*args, **kwargs)

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        with _same_errors():
            return await super().execute_command(*args, **kwargs)

    async def publish(self, channel: Any, message: Any, **kwargs: Any) -> int:
        """Sends to the subscribers at all nodes; returns how many there are.

        A node's own answer counts its own subscribers only.
        """
        await self.execute_command("PUBLISH", channel, message, **kwargs)
        heard = 0
        for node in self.get_nodes():
            with _unreachable_nodes_have_none():
                heard += (await node.execute_command("PUBSUB", "NUMSUB", channel))[1]
        return heard

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:
        return _Pipeline(self, transaction)  # type: ignore[abstract]  # by its annotations only

    def pubsub(self, *args: Any, **kwargs: Any) -> ClusterPubSub:
        return _PubSub(self, *args, **kwargs)


@contextmanager
def _unreachable_nodes_have_none() -> Iterator[None]:
    try:
        yield
    except (exceptions.ConnectionError, exceptions.TimeoutError):  # it died; others go on
        return


class _Pipeline(ClusterPipeline):
    async def execute(self, *args: Any, **kwargs: Any) -> list[Any]:
        with _same_errors():
            return await super().execute(*args, **kwargs)


class _PubSub(ClusterPubSub):
    """Looks at the cluster's map before it subscribes, and again when a node is gone."""

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        await self.cluster.initialize()
        with _same_errors():
            try:
                return await super().execute_command(*args, **kwargs)
            except exceptions.ConnectionError:
                await self.cluster.nodes_manager.initialize()
                raise
