"""Two hosts and a wire between them, to see what the edge's firewall lets through.

    unshare --net python tests/deploy/edge_network.py TRUNKS PER_HOST

Run in a network namespace of its own, this process is the hosts outside; a second namespace is the
edge's host, with the firewall and with listeners in place of Kamailio. Prints one JSON object: what
got through. It knows nothing of SIP.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

FIREWALL = Path(__file__).parents[2] / "deploy" / "edge" / "firewall.sh"
EDGE = {4: "10.77.0.1", 6: "fd77::1"}
TRUNK = {4: "10.77.0.2", 6: "fd77::2"}
STRANGER = {4: "10.77.0.9", 6: "fd77::9"}
GUARDED, OTHER = 5061, 5080
WAIT_S = 0.4  # a dropped packet has no answer; on this wire an answer takes less than a millisecond
LISTENERS = f"""
import asyncio

class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, whence): self.transport.sendto(data, whence)

async def main():
    loop = asyncio.get_running_loop()
    kept = [await loop.create_server(asyncio.Protocol, "", p) for p in ({GUARDED}, {OTHER})]
    await loop.create_datagram_endpoint(Echo, ("0.0.0.0", {GUARDED}))
    print("listening", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def run(*command: str) -> None:
    """Runs a command that must succeed."""
    subprocess.run(command, check=True)


def connects(stack: ExitStack, source: str, port: int = GUARDED) -> bool:
    """Whether one more connection gets through; it stays open."""
    version = 6 if ":" in source else 4
    try:
        there = (EDGE[version], port)
        stack.enter_context(socket.create_connection(there, WAIT_S, source_address=(source, 0)))
    except OSError:
        return False
    return True


def echoes(source: str) -> bool:
    """Whether a datagram to the same port number comes back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.settimeout(WAIT_S)
        sock.bind((source, 0))
        sock.sendto(b"hello", (EDGE[4], GUARDED))
        return sock.recv(100) == b"hello"
    return False


def wire(stack: ExitStack) -> tuple[str, ...]:
    """Makes the edge's host; gives the command that runs something there."""
    holder = stack.enter_context(subprocess.Popen(["unshare", "--net", "sleep", "60"]))
    stack.callback(holder.kill)
    inside = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
    own = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{holder.pid}/ns/net").readlink() == own:
        time.sleep(0.01)
    run("ip", "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", str(holder.pid))
    for prefix, device, addresses in (
        (inside, "in", [EDGE]),
        ((), "out", [TRUNK, STRANGER]),
    ):
        for address in addresses:
            run(*prefix, "ip", "address", "add", f"{address[4]}/24", "dev", device)
            run(*prefix, "ip", "address", "add", f"{address[6]}/64", "dev", device, "nodad")
        run(*prefix, "ip", "link", "set", device, "up")
        run(*prefix, "ip", "link", "set", "lo", "up")
    return inside


def main() -> None:
    """Asks from both hosts, with the firewall and after its end."""
    trunks, per_host = sys.argv[1:]
    with ExitStack() as stack:
        inside = wire(stack)
        for command in (
            [sys.executable, "-c", LISTENERS],
            ["sh", str(FIREWALL), str(GUARDED), trunks, per_host],
        ):
            process = stack.enter_context(
                subprocess.Popen([*inside, *command], stdout=subprocess.PIPE)
            )
            stack.callback(process.kill)
            process.stdout.readline()
        firewall = process
        seen: dict[str, object] = {}
        with ExitStack() as calls:
            for version in (4, 6):
                seen[f"trunk{version}"] = [
                    connects(calls, TRUNK[version]) for _ in range(int(per_host) + 2)
                ]
                seen[f"stranger{version}"] = connects(calls, STRANGER[version])
                seen[f"other_port{version}"] = connects(calls, STRANGER[version], OTHER)
        seen["datagram"] = echoes(STRANGER[4])
        time.sleep(WAIT_S)  # both sides have closed
        seen["trunk_again"] = [connects(stack, TRUNK[v]) for v in (4, 6)]
        firewall.terminate()
        firewall.wait(5)
        seen["after"] = [connects(stack, STRANGER[v]) for v in (4, 6)]
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
