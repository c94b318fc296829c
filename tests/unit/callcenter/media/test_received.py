"""Packets over a bad network become continuous audio, for as long as it takes."""

import math
import random
from dataclasses import dataclass

import numpy as np
import pytest

from callcenter.media import g711
from callcenter.media.received import ReceivedAudio

PACKET_S = 0.02


MAKE_UP_S = 0.2  # a reader that was late by more goes on from now


@dataclass
class Network:
    """What happens to packets: seconds, shares, parts per million; and when somebody stalls."""

    jitter_s: float = 0.0
    lost: float = 0.0
    skew_ppm: float = 0.0
    stall_at_s: float = math.inf
    their_stall_s: float = 0.0
    our_stall_s: float = 0.0

    def sends_at(self, time_s: float) -> float:
        """When a packet really goes out that is due at a time."""
        end_s = self.stall_at_s + self.their_stall_s
        return end_s if self.stall_at_s <= time_s < end_s else time_s

    def wakes_at(self, time_s: float) -> float:
        """When the reader really does what it has to do at a time."""
        end_s = self.stall_at_s + self.our_stall_s
        return end_s if self.stall_at_s <= time_s < end_s else time_s


@dataclass
class Outcome:
    """What a run gave."""

    audio: ReceivedAudio
    lost: int
    blocks: list
    delays_s: dict  # time -> from the sending of a packet to the end of the tick that plays it

    def between(self, start_s: float, end_s: float) -> list[float]:
        """The delays of a time."""
        return [delay for at, delay in self.delays_s.items() if start_s <= at < end_s]


def payload(index: int) -> bytes:
    """A packet that says its number: one level for all its samples."""
    return bytes([128 + index % 120]) * 160


def run(network: Network, duration_s: float, seed: int = 1) -> Outcome:
    """Plays a stream through, tick by tick."""
    chance = random.Random(seed)
    audio = ReceivedAudio(8_000, g711.decode_ulaw)
    packets = round(duration_s / PACKET_S)
    sending_s = PACKET_S * (1 + network.skew_ppm * 1e-6)
    sent_s = [0.007 + index * sending_s for index in range(packets)]
    arrivals = sorted(
        (network.sends_at(at) + chance.uniform(0, network.jitter_s), index)
        for index, at in enumerate(sent_s)
        if index == 0 or chance.random() >= network.lost
    )
    lost = packets - len(arrivals)
    level = {g711.decode_ulaw(payload(i))[0]: i for i in range(120)}
    blocks, delays_s, position, due = [], {}, 0, 0.0
    while due < duration_s:
        now = network.wakes_at(due)
        while position < len(arrivals) and arrivals[position][0] <= now:
            at, index = arrivals[position]
            audio.push(index, payload(index), network.wakes_at(at))
            position += 1
        due = now if now - due > MAKE_UP_S else due
        block = audio.read(due)
        blocks.append(block)
        number = None if block is None or np.ptp(block) else level.get(block[80])
        if number is not None:  # neither faded nor stretched over two packets
            newest = int((now - 0.007) / sending_s)
            delays_s[due] = now - sent_s[newest - (newest - number) % 120]
        due += PACKET_S
    return Outcome(audio, lost, blocks, delays_s)


def test_a_perfect_network_loses_nothing() -> None:
    """Every packet comes out once and in order; the delay that is not needed is taken out."""
    outcome = run(Network(), 10)
    stream = np.concatenate([block for block in outcome.blocks if block is not None])
    starts = np.flatnonzero(np.diff(stream, prepend=0))
    runs = [
        stream[at]
        for at, end in zip(starts, [*starts[1:], stream.size], strict=True)
        if end - at > 100
    ]
    wanted = [g711.decode_ulaw(payload(i))[0] for i in range(len(runs))]
    assert len(runs) >= 497
    assert runs == wanted
    assert outcome.audio.jitter.counters.concealed == 0
    assert max(outcome.between(9, 10)) < 0.03


@pytest.mark.timeout(60)
@pytest.mark.parametrize("skew_ppm", [100.0, -100.0])
def test_five_minutes_of_jitter_loss_and_skew(skew_ppm) -> None:
    """What is made up is what was lost, and the delay at the end is that of the beginning."""
    outcome = run(Network(jitter_s=0.02, lost=0.03, skew_ppm=skew_ppm), 300)
    counters = outcome.audio.jitter.counters
    assert outcome.lost > 400
    assert abs(counters.concealed - outcome.lost) <= 3
    early, late = outcome.between(30, 60), outcome.between(240, 300)
    assert np.mean(late) <= np.mean(early) + 0.02
    assert max(late) <= 0.1
    assert counters.dropped == 0


def test_reordered_packets_come_out_in_order() -> None:
    """Two neighbours that swap places are no loss."""
    audio = ReceivedAudio(8_000, g711.decode_ulaw)
    order = [0, 2, 1, 3, 5, 4, 6, 7, 9, 8]
    heard = []
    for turn in range(14):
        if turn < len(order):
            audio.push(order[turn], payload(order[turn]), turn * PACKET_S)
        block = audio.read(turn * PACKET_S)
        if block is not None and len(heard) < 10:
            heard.append(block[80])
    assert heard == [g711.decode_ulaw(payload(i))[0] for i in range(10)]


@pytest.mark.parametrize("stall_s", [0.05, 0.1, 0.15, 0.19])
def test_a_stall_of_ours_costs_nothing(stall_s) -> None:
    """What came meanwhile is played by the reads that make up for it, and no delay is added."""
    network = Network(0.02, 0.03, 100.0, stall_at_s=10.0, our_stall_s=stall_s)
    outcome = run(network, 13)
    counters = outcome.audio.jitter.counters
    assert counters.concealed == outcome.lost
    assert (counters.dropped, counters.restarts) == (0, 0)
    assert max(outcome.between(10.2, 13)) <= max(outcome.between(8, 10)) + 0.001


@pytest.mark.parametrize(
    "stall",
    [{"our_stall_s": s} for s in (0.25, 0.5)]
    + [{"their_stall_s": s} for s in (0.05, 0.1, 0.15, 0.25, 0.5)],
    ids=str,
)
def test_a_stall_does_not_stay(stall) -> None:
    """Its packets come at once; in five seconds the delay is near what it was, then the same."""
    outcome = run(Network(0.02, 0.03, 100.0, stall_at_s=10.0, **stall), 21)
    before_s = np.mean(outcome.between(8, 10))
    assert np.mean(outcome.between(12, 15)) <= before_s + 0.065
    assert np.mean(outcome.between(15, 20)) <= before_s + 0.021
    # A clock of ours that skips a stall may stand half a packet off theirs.
    assert np.mean(outcome.between(20, 21)) <= before_s + 0.011
    assert outcome.audio.jitter.counters.concealed <= outcome.lost + 5


def test_stalls_that_come_again_and_again_are_waited_for() -> None:
    """The first two are heard, then the delay is enough for the others."""
    audio = ReceivedAudio(8_000, g711.decode_ulaw)
    concealed_at = {}
    for turn in range(1_000):
        now = turn * PACKET_S
        if turn % 50 >= 4:  # once a second three packets come with the fourth
            first = turn - 4 if turn % 50 == 4 else turn
            for index in range(first, turn + 1):
                audio.push(index, payload(index), now)
        audio.read(now)
        concealed_at[turn] = audio.jitter.counters.concealed
    assert concealed_at[250] > 0
    assert concealed_at[999] == concealed_at[250]
    assert 0.04 <= audio.delay_s <= 0.12


@pytest.mark.parametrize("packet_ms", [10, 30, 60])
def test_packets_of_other_lengths(packet_ms) -> None:
    """Under jitter each is played once and the delay settles: it does not swing."""
    chance, samples = random.Random(5), 8 * packet_ms
    audio = ReceivedAudio(8_000, g711.decode_ulaw)
    arrivals = sorted(
        (0.001 * packet_ms * index + chance.uniform(0, 0.015), index)
        for index in range(30_000 // packet_ms)
    )
    position, delays_s = 0, []
    for turn in range(1_500):
        now = turn * PACKET_S
        while position < len(arrivals) and arrivals[position][0] <= now:
            at, index = arrivals[position]
            audio.push(index, b"\x90" * samples, at)
            position += 1
        audio.read(now)
        delays_s.append(audio.delay_s)
    assert audio.jitter.counters.concealed <= 2
    assert np.ptp([np.mean(delays_s[at : at + 50]) for at in range(750, 1_500, 50)]) < 0.01
    assert np.mean(delays_s[750:]) < 0.03 + 0.001 * packet_ms


def test_jitter_that_grows_is_followed() -> None:
    """After a few late packets the delay is enough, and nothing more is made up."""
    chance = random.Random(3)
    audio = ReceivedAudio(8_000, g711.decode_ulaw)
    arrivals = sorted(
        (index * PACKET_S + chance.uniform(0, 0.002 if index < 500 else 0.07), index)
        for index in range(2_000)
    )
    position, concealed_at = 0, {}
    for turn in range(2_000):
        now = turn * PACKET_S
        while position < len(arrivals) and arrivals[position][0] <= now:
            at, index = arrivals[position]
            audio.push(index, payload(index), at)
            position += 1
        audio.read(now)
        concealed_at[turn] = audio.jitter.counters.concealed
    assert concealed_at[499] == 0
    assert 0 < concealed_at[700] <= 30
    assert concealed_at[1_999] - concealed_at[1_000] <= 5


def test_the_delay_shrinks_again() -> None:
    """When the network is calm again the added delay goes."""
    chance = random.Random(4)
    audio = ReceivedAudio(8_000, g711.decode_ulaw)
    arrivals = sorted(
        (index * PACKET_S + (chance.uniform(0, 0.08) if index < 500 else 0.001), index)
        for index in range(2_500)
    )
    position, delays = 0, {}
    for turn in range(2_500):
        now = turn * PACKET_S
        while position < len(arrivals) and arrivals[position][0] <= now:
            at, index = arrivals[position]
            audio.push(index, payload(index), at)
            position += 1
        audio.read(now)
        delays[turn] = audio.delay_s
    assert np.mean([delays[i] for i in range(300, 500)]) > 0.03
    assert np.mean([delays[i] for i in range(2_200, 2_500)]) <= 0.03


def test_silence_on_the_wire_is_silence() -> None:
    """A far end that stops sending is faded out, then nothing comes, then it starts anew."""
    audio = ReceivedAudio(8_000, g711.decode_ulaw)
    heard = []
    for turn in range(100):
        if turn < 30 or turn >= 60:
            audio.push(turn if turn < 30 else turn - 30, b"\x90" * 160, turn * PACKET_S)
        heard.append(audio.read(turn * PACKET_S))
    assert heard[50] is None
    assert heard[-1] is not None
    assert 0 < audio.jitter.counters.concealed <= 5


def test_key_presses_leave_no_gap() -> None:
    """Packets without audio are no loss: nothing is concealed for them."""
    audio = ReceivedAudio(8_000, g711.decode_ulaw)
    for turn in range(60):
        audio.push(turn, None if 20 <= turn < 23 else b"\x90" * 160, turn * PACKET_S)
        audio.read(turn * PACKET_S)
    assert audio.jitter.counters.concealed == 0
