"""How many GPUs, gateways and how much bandwidth a call center needs, and what a call costs.

    python -m callcenter sizing --concurrent 500
    python -m callcenter sizing --calls-per-hour 6000 --average-s 240 --gpu-price-per-hour 3

Calls come by chance, so from calls an hour follow slots by Erlang's B formula: calls that find no
slot are turned away, as ours are. How many calls one GPU carries is read from measurements
(capacity.jsonl: the lines that tests/bench/gpu_engine.py prints); between and beyond measured
points nothing is guessed. It knows no cloud and no price list.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import resources

from callcenter.errors import ConfigurationError

TICK_LIMIT_MS = 60.0  # of 80: the rest is for prompts that are taken in and for stalls
MEASUREMENTS = "capacity.jsonl"

# One way of one call, in bits a second: 50 packets of 160 bytes, with what is wrapped round them.
_PACKETS_PER_S = 50
_G711_BYTES = 160
_RTP_HEADERS_BYTES = 40  # IPv4, UDP, RTP
# JSON round the base64 text, its growth by a third, TCP and TLS.
_STREAM_WRAPPING_BYTES = 160 + 54 + 69
SIP_BITS_PER_S = _PACKETS_PER_S * 8 * (_G711_BYTES + _RTP_HEADERS_BYTES)
TWILIO_BITS_PER_S = _PACKETS_PER_S * 8 * (_G711_BYTES + _STREAM_WRAPPING_BYTES)
LINK_BITS_PER_S = 12.5 * 8 * (3_840 + 16 + 60)  # a frame, our header, WebSocket and TCP


@dataclass(frozen=True, slots=True)
class Measurement:
    """One point of a measured curve: every call's window full.

    Attributes:
        device: the GPU's name.
        kv, weights: precision: bf16 or fp8.
        calls: at once, on one GPU.
        p99_ms: 99th percentile of a tick.
    """

    device: str
    kv: str
    weights: str
    calls: int
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the call center should carry.

    Attributes:
        concurrent: calls at once at peak; or else
        calls_per_hour, average_s: calls in the busiest hour, and their mean length.
        blocking: share of calls that may find no slot.
        device: part of the GPU's name.
        kv, weights: precision.
        spare_gpus: that may fail or be upgraded at peak.
        calls_per_gateway: of one gateway pod.
        gpu_price_per_hour, gateway_price_per_hour: in any currency.
    """

    concurrent: int = 0
    calls_per_hour: float = 0.0
    average_s: float = 240.0
    blocking: float = 0.01
    device: str = "H100"
    kv: str = "bf16"
    weights: str = "bf16"
    spare_gpus: int = 1
    calls_per_gateway: int = 50
    gpu_price_per_hour: float = 0.0
    gateway_price_per_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class Sizing:
    """What that takes.

    Attributes:
        slots: calls at once that must find room.
        slots_per_gpu: WORKER_SLOTS; the largest measured number inside the tick's limit.
        tick_p99_ms: measured with that many.
        gpus, gateways: with spares.
        public_mbit_per_s: both directions, Twilio; sip_mbit_per_s: the same over SIP.
        link_mbit_per_s: between gateways and workers, both directions.
        cost_per_call: of GPUs and gateways at peak; None without prices or calls an hour.
        measured_on: what the number of slots was measured on.
    """

    slots: int
    slots_per_gpu: int
    tick_p99_ms: float
    gpus: int
    gateways: int
    public_mbit_per_s: float
    sip_mbit_per_s: float
    link_mbit_per_s: float
    cost_per_call: float | None
    measured_on: str

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    def to_text(self) -> str:
        """For people."""
        lines = [
            f"slots at peak        {self.slots}",
            f"slots on each GPU    {self.slots_per_gpu}  (tick p99 {self.tick_p99_ms:.1f} ms of 80;"
            f" {self.measured_on})",
            f"GPUs                 {self.gpus}",
            f"gateway pods         {self.gateways}",
            f"carrier, both ways   {self.public_mbit_per_s:.0f} Mbit/s over Twilio Media Streams,"
            f" {self.sip_mbit_per_s:.0f} Mbit/s over SIP (G.711)",
            f"gateway to worker    {self.link_mbit_per_s:.0f} Mbit/s, both ways",
        ]
        if self.cost_per_call is not None:
            lines.append(f"cost of a call       {self.cost_per_call:.4f}")
        return "\n".join(lines)


def measurements() -> list[Measurement]:
    """What has been measured, out of the data file beside this module."""
    text = resources.files(__package__ or "").joinpath(MEASUREMENTS).read_text(encoding="utf-8")
    return parse(text.splitlines())


def parse(lines: Iterable[str]) -> list[Measurement]:
    """Reads the benchmark's JSON lines; others than of its curve are passed over."""
    points = [json.loads(line) for line in lines if line.strip()]
    names = Measurement.__dataclass_fields__
    return [
        Measurement(**{name: point[name] for name in names})
        for point in points
        if point.get("bench") == "curve"
    ]


def size(wishes: Wishes, measured: Iterable[Measurement]) -> Sizing:
    """Answers the wishes.

    Raises:
        ConfigurationError: a wish makes no sense, or nothing has been measured on that GPU.
    """
    slots = _slots(wishes)
    point = _point(wishes, list(measured))
    gpus = math.ceil(slots / point.calls) + wishes.spare_gpus
    gateways = math.ceil(slots / wishes.calls_per_gateway) + 1
    return Sizing(
        slots=slots,
        slots_per_gpu=point.calls,
        tick_p99_ms=point.p99_ms,
        gpus=gpus,
        gateways=gateways,
        public_mbit_per_s=_both_ways_mbit(slots, TWILIO_BITS_PER_S),
        sip_mbit_per_s=_both_ways_mbit(slots, SIP_BITS_PER_S),
        link_mbit_per_s=_both_ways_mbit(slots, LINK_BITS_PER_S),
        cost_per_call=_cost_per_call(wishes, slots, gpus, gateways),
        measured_on=f"{point.device}, KV {point.kv}, weights {point.weights}",
    )


def erlang_b(load: float, slots: int) -> float:
    """Share of calls that find no slot.

    Args:
        load: mean number of calls at once if none were turned away, in Erlang.
        slots: how many there are.
    """
    blocked = 1.0
    for number in range(1, slots + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked


def slots_for(load: float, blocking: float) -> int:
    """The fewest slots with which no larger share of calls is turned away."""
    slots, blocked = 0, 1.0
    while blocked > blocking:
        slots += 1
        blocked = load * blocked / (slots + load * blocked)
    return slots


def _slots(wishes: Wishes) -> int:
    if (wishes.concurrent > 0) == (wishes.calls_per_hour > 0):
        raise ConfigurationError("give either --concurrent or --calls-per-hour")
    if not 0 < wishes.blocking < 1 or wishes.average_s <= 0 or wishes.calls_per_gateway < 1:
        raise ConfigurationError(
            "--blocking must lie between 0 and 1, --average-s and --calls-per-gateway above 0"
        )
    if wishes.concurrent:
        return wishes.concurrent
    return slots_for(wishes.calls_per_hour * wishes.average_s / 3_600, wishes.blocking)


def _point(wishes: Wishes, measured: list[Measurement]) -> Measurement:
    fitting = [
        point
        for point in measured
        if wishes.device.lower() in point.device.lower()
        and (point.kv, point.weights) == (wishes.kv, wishes.weights)
        and point.p99_ms <= TICK_LIMIT_MS
    ]
    if not fitting:
        known = sorted({f"{one.device} (kv {one.kv}, weights {one.weights})" for one in measured})
        raise ConfigurationError(
            f"nothing was measured on {wishes.device} with kv {wishes.kv} and weights "
            f"{wishes.weights}; there is: {', '.join(known)}. Run tests/bench/gpu_engine.py on "
            "that GPU and add its lines to capacity.jsonl"
        )
    return max(fitting, key=lambda point: point.calls)


def _both_ways_mbit(calls: int, bits_per_s: float) -> float:
    return round(2 * calls * bits_per_s / 1e6, 1)


def _cost_per_call(wishes: Wishes, slots: int, gpus: int, gateways: int) -> float | None:
    if not wishes.gpu_price_per_hour and not wishes.gateway_price_per_hour:
        return None
    hourly = gpus * wishes.gpu_price_per_hour + gateways * wishes.gateway_price_per_hour
    calls_per_hour = wishes.calls_per_hour or slots * 3_600 / wishes.average_s
    return round(hourly / calls_per_hour, 4)
