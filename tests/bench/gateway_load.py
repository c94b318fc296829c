"""Gateway and rehearsal worker under many calls at once, in real time, on this machine.

    python tests/bench/gateway_load.py [--calls 50] [--seconds 20]

Valkey, worker and gateway are processes of their own; the callers speak Twilio's protocol from this
one, 20 ms packets on an absolute clock, and hear through a model of Twilio's playout buffer.

Added latency: each caller sends a 20 ms marker tone every second, and the bench's worker (the
rehearsal engine, with a repeater behind it) puts the tone into the same tick's output. From the
packet that goes out with the marker to the 20 ms in which it is heard is what the path adds:
packets to frame, the wait for the tick, frame to packets, playout. An engine adds nothing to it.

Prints one JSON line. `caller_late_ms_max` tells whether this program kept its own clock: over 20,
the figures are about an overloaded machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from callcenter import logs
from callcenter.evaluation.carrier import (
    SIGNATURE_HEADER,
    WEBHOOK_PATH,
    AgentAudio,
    AgentClear,
    AgentMark,
    Carrier,
    local_url,
    parse_message,
    parse_twiml,
)
from callcenter.evaluation.playback import PlaybackBuffer
from callcenter.media.g711 import encode_ulaw
from callcenter.settings import WorkerSettings
from callcenter.worker.program import Worker
from engine.interface import Frame, TickResult
from engine.rehearsal import RehearsalEngine
from tests.servers import free_port, valkey

HOST = "127.0.0.1"
PACKET_S = 0.02
PACKET_SAMPLES = 160
MARKER_HZ = 3_000  # above what the recorded lines have much of
MARKER_EVERY_PACKETS = 50
MARKER_SHARE = 0.5  # of a packet's energy at the marker's frequency
HOP_SAMPLES = 240
WARM_UP_S = 3.0
LISTEN_ON_S = 1.0  # after the last marker: it has to come back
NUMBER = "+15550100"


def tone(samples: int, rate_hz: int) -> np.ndarray:
    """The marker, int16 [samples]."""
    angle = 2 * np.pi * MARKER_HZ * np.arange(samples) / rate_hz
    return (8_000 * np.sin(angle)).astype(np.int16)


def tone_share(pcm: np.ndarray, rate_hz: int) -> float:
    """Share of the energy that is at the marker's frequency; 0 if it is quiet."""
    energy = float(np.sum(pcm.astype(np.float64) ** 2))
    if energy < len(pcm) * 500.0**2:
        return 0.0
    turn = np.exp(-2j * np.pi * MARKER_HZ * np.arange(len(pcm)) / rate_hz)
    return float(2 * abs(np.sum(pcm * turn)) ** 2 / (len(pcm) * energy))


MARKER = encode_ulaw(tone(PACKET_SAMPLES, 8_000))
SILENCE = encode_ulaw(np.zeros(PACKET_SAMPLES, np.int16))


# --- the worker: the rehearsal engine with a repeater -----------------------------------------


class Repeater(RehearsalEngine):
    """Says what the rehearsal engine says, but repeats markers in the tick that brings them."""

    def tick(self, inputs: Mapping[int, Frame]) -> TickResult:
        """One frame of each slot."""
        result = super().tick(inputs)
        outputs = dict(result.outputs)
        for slot, frame in inputs.items():
            if np.abs(frame).max() > 4_000:
                repeated = outputs[slot].pcm.copy()
                self._repeat(frame, repeated)
                outputs[slot] = replace(outputs[slot], pcm=repeated)
        return TickResult(outputs, result.failed)

    @staticmethod
    def _repeat(frame: Frame, output: Frame) -> None:
        for start in range(0, len(frame), HOP_SAMPLES):
            hop = slice(start, start + HOP_SAMPLES)
            if tone_share(frame[hop], 24_000) > MARKER_SHARE:
                output[hop] = frame[hop]


def run_worker() -> None:
    """The worker process."""
    settings = WorkerSettings.load()
    logs.configure(settings.log_level, "worker", show_pii=False)
    asyncio.run(Worker(settings, Repeater(settings.worker_slots)).run())


# --- processes --------------------------------------------------------------------------------


@contextlib.contextmanager
def process(arguments: list[str], environment: dict[str, str]) -> Iterator[int]:
    """A Python process; gives its id."""
    child = subprocess.Popen([sys.executable, *arguments], env={**os.environ, **environment})
    try:
        yield child.pid
    finally:
        for name in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            child.send_signal(name)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(3)
                break


def until_ready(url: str) -> None:
    """Waits until a page answers 200."""
    give_up_s = time.monotonic() + 20
    while time.monotonic() < give_up_s:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise SystemExit(f"{url} did not become ready")


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) / 1_024 if found else 0.0


def numbers_on(url: str) -> dict[str, float]:
    """Sums of a metrics page, by metric name without labels."""
    sums: dict[str, float] = {}
    for line in httpx.get(url, trust_env=False, timeout=30).text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums


# --- callers ----------------------------------------------------------------------------------


@dataclass
class Heard:
    """What one caller noticed."""

    latency_s: list[float] = field(default_factory=list)
    markers_sent: int = 0
    packets_missing: int = 0
    late_s: float = 0.0
    failed: str = ""


async def one_call(
    http: httpx.AsyncClient, server: str, auth_token: str, index: int, seconds: float
) -> Heard:
    """One call, from webhook to hang-up."""
    heard = Heard()
    carrier = Carrier(auth_token, "+15005550006", NUMBER)
    await asyncio.sleep(index * PACKET_S * 1.7)  # callers don't begin in the same moment
    try:
        stream = await open_call(http, server, carrier)
        async with stream:
            await talk(stream, carrier, heard, index, seconds)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is this call's result
        heard.failed = repr(error)
    return heard


async def open_call(http: httpx.AsyncClient, server: str, carrier: Carrier) -> ClientConnection:
    """Webhook, TwiML, socket, start."""
    form = carrier.webhook_form()
    headers = {SIGNATURE_HEADER: carrier.sign(server + WEBHOOK_PATH, form)}
    answer = await http.post(server + WEBHOOK_PATH, data=form, headers=headers)
    order = parse_twiml(answer.raise_for_status().text)
    stream = await connect(
        local_url(order.url, server),
        additional_headers={SIGNATURE_HEADER: carrier.sign(order.url)},
        compression=None,
        proxy=None,
        max_queue=None,
    )
    await stream.send(carrier.connected())
    await stream.send(carrier.start(order.parameters))
    return stream


async def talk(
    stream: ClientConnection, carrier: Carrier, heard: Heard, index: int, seconds: float
) -> None:
    """Sends and plays 20 ms at a time."""
    playback = PlaybackBuffer()
    listening = asyncio.create_task(listen(stream, playback))
    started_s = time.monotonic()
    marked_s: float | None = None
    try:
        for packet in range(round(seconds / PACKET_S)):
            due_s = started_s + packet * PACKET_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            heard.late_s = max(heard.late_s, time.monotonic() - due_s)
            at_s = packet * PACKET_S
            marking = (
                WARM_UP_S < at_s < seconds - LISTEN_ON_S
                and (packet + index) % MARKER_EVERY_PACKETS == 0
            )
            if marking:
                marked_s = due_s
                heard.markers_sent += 1
            payload = MARKER if marking else SILENCE
            await stream.send(carrier.media(payload, packet * 20))
            played = playback.play()
            for mark in played.marks:
                await stream.send(carrier.mark(mark))
            if marked_s is not None and tone_share(played.heard, 8_000) > MARKER_SHARE:
                heard.latency_s.append(due_s - marked_s)
                marked_s = None
        await stream.send(carrier.stop())
    finally:
        listening.cancel()
        heard.packets_missing = playback.packets_missing


async def listen(stream: ClientConnection, playback: PlaybackBuffer) -> None:
    """Puts what comes into the playout buffer."""
    async for text in stream:
        match parse_message(text):
            case AgentAudio(payload):
                playback.audio(payload)
            case AgentMark(name):
                playback.mark(name)
            case AgentClear():
                playback.clear()


async def all_calls(server: str, auth_token: str, calls: int, seconds: float) -> list[Heard]:
    """Every call at once."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        return await asyncio.gather(
            *(one_call(http, server, auth_token, index, seconds) for index in range(calls))
        )


# --- the bench --------------------------------------------------------------------------------


def measure(calls: int, seconds: float) -> dict[str, object]:
    """Starts everything, calls, reads the meters."""
    auth_token, link_secret = secrets.token_hex(16), secrets.token_hex(32)
    gateway_port, metrics_port, worker_http_port = free_port(), free_port(), free_port()
    server = f"http://{HOST}:{gateway_port}"
    with contextlib.ExitStack() as stack:
        redis_url = stack.enter_context(valkey()).connection_url
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        routes = folder / "routes.yaml"
        routes.write_text(f'routes:\n- number: "{NUMBER}"\n  persona: bank\n')
        common = {
            "REDIS_URL": redis_url,
            "LINK_SECRET": link_secret,
            "LOG_LEVEL": "warning",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.getcwd(),
        }
        worker_settings = {
            "WORKER_PORT": str(free_port()),
            "WORKER_HTTP_PORT": str(worker_http_port),
            "WORKER_SLOTS": str(calls),
            "DRAIN_DEADLINE_S": "1",
        }
        gateway_settings = {
            "GATEWAY_PORT": str(gateway_port),
            "METRICS_PORT": str(metrics_port),
            "PUBLIC_BASE_URL": server,
            "ROUTES_FILE": str(routes),
            "TWILIO_AUTH_TOKEN": auth_token,
            "GATEWAY_DRAIN_S": "1",
        }
        worker = stack.enter_context(process([__file__, "--worker"], common | worker_settings))
        until_ready(f"http://{HOST}:{worker_http_port}/readyz")
        gateway = stack.enter_context(
            process(["-m", "callcenter", "gateway"], common | gateway_settings)
        )
        until_ready(f"{server}/readyz")
        # One call first: what is loaded with the first call is not a call's own memory.
        asyncio.run(all_calls(server, auth_token, 1, 2.0))
        pids = {"gateway": gateway, "worker": worker}
        idle_mib = {name: rss_mib(pid) for name, pid in pids.items()}
        before_s = {name: cpu_s(pid) for name, pid in pids.items()}
        began_s = time.monotonic()
        heard = asyncio.run(all_calls(server, auth_token, calls, seconds))
        took_s = time.monotonic() - began_s
        report = summary(heard, calls, seconds)
        for name, pid in pids.items():
            cpu = (cpu_s(pid) - before_s[name]) / took_s
            report[f"{name}_cpu_percent_per_call"] = round(100 * cpu / calls, 2)
            report[f"{name}_mib_per_call"] = round((rss_mib(pid) - idle_mib[name]) / calls, 2)
        report |= counted(
            numbers_on(f"http://{HOST}:{worker_http_port}/metrics"),
            numbers_on(f"http://{HOST}:{metrics_port}/metrics"),
        )
    return report


def summary(heard: list[Heard], calls: int, seconds: float) -> dict[str, object]:
    """What the callers noticed."""
    latencies_ms = [1_000 * value for call in heard for value in call.latency_s] or [float("nan")]
    failed = [call.failed for call in heard if call.failed]
    return {
        "bench": "gateway_load",
        "calls": calls,
        "seconds": seconds,
        "calls_failed": len(failed),
        "first_failure": failed[0] if failed else "",
        "packets_missing": sum(call.packets_missing for call in heard),
        "packets_in_all": round(calls * seconds / PACKET_S),
        "markers_sent": sum(call.markers_sent for call in heard),
        "markers_heard": sum(len(call.latency_s) for call in heard),
        "added_latency_ms_p50": round(float(np.percentile(latencies_ms, 50))),
        "added_latency_ms_p99": round(float(np.percentile(latencies_ms, 99))),
        "caller_late_ms_max": round(1_000 * max(call.late_s for call in heard), 1),
    }


def counted(worker: dict[str, float], gateway: dict[str, float]) -> dict[str, object]:
    """What worker and gateway counted."""
    ticks = max(1.0, worker["engine_frame_seconds_count"])
    return {
        "worker_frames_concealed": int(worker.get("media_gap_fill_frames_total", 0)),
        "worker_frames_dropped": int(worker.get("media_frames_dropped_total", 0)),
        "gateway_frames_dropped": int(gateway.get("media_frames_dropped_total", 0)),
        "gateway_loop_lag_ms_mean": round(
            1_000
            * gateway["event_loop_lag_seconds_sum"]
            / max(1.0, gateway["event_loop_lag_seconds_count"]),
            1,
        ),
        "tick_deadline_misses": int(worker.get("engine_frame_deadline_misses_total", 0)),
        "tick_ms_mean": round(1_000 * worker["engine_frame_seconds_sum"] / ticks, 2),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        run_worker()
    else:
        print(json.dumps(measure(arguments.calls, arguments.seconds)))


if __name__ == "__main__":
    main()
