"""Packets over a bad network become continuous audio, for as long as it takes."""

import random
from dataclasses import dataclass

import numpy as np
import pytest

from callcenter.media import g711
from callcenter.media.received import ReceivedAudio

PACKET_S = 0.02


@dataclass
class Network:
    """What happens to packets: seconds, shares, parts per million."""

    jitter_s: float = 0.0
    lost: float = 0.0
    skew_ppm: float = 0.0


@dataclass
class Outcome:
    """What a run gave."""

    audio: ReceivedAudio
    lost: int
    blocks: list
    delays_s: list  # from the sending of a packet to the end of the tick that plays it


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
        (at + chance.uniform(0, network.jitter_s), index)
        for index, at in enumerate(sent_s)
        if index == 0 or chance.random() >= network.lost
    )
    lost = packets - len(arrivals)
    level = {g711.decode_ulaw(payload(i))[0]: i for i in range(120)}
    blocks, delays_s, position = [], [], 0
    for turn in range(packets):
        now = turn * PACKET_S
        while position < len(arrivals) and arrivals[position][0] <= now:
            at, index = arrivals[position]
            audio.push(index, payload(index), at)
            position += 1
        block = audio.read(now)
        blocks.append(block)
        if block is None or np.ptp(block):  # faded, or stretched over two packets
            continue
        if (number := level.get(block[80])) is not None:
            newest = int((now - 0.007) / sending_s)
            index = newest - (newest - number) % 120
            delays_s.append(now - sent_s[index])
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
    assert max(outcome.delays_s[-50:]) < 0.03


@pytest.mark.timeout(60)
@pytest.mark.parametrize("skew_ppm", [100.0, -100.0])
def test_five_minutes_of_jitter_loss_and_skew(skew_ppm) -> None:
    """What is made up is what was lost, and the delay at the end is that of the beginning."""
    outcome = run(Network(jitter_s=0.02, lost=0.03, skew_ppm=skew_ppm), 300)
    counters = outcome.audio.jitter.counters
    assert outcome.lost > 400
    assert abs(counters.concealed - outcome.lost) <= 3
    minute = len(outcome.delays_s) // 5
    early, late = outcome.delays_s[minute // 2 : minute], outcome.delays_s[-minute:]
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


def test_a_stall_does_not_stay() -> None:
    """Half a second that comes at once is cut: the delay is soon what it was before."""
    audio = ReceivedAudio(8_000, g711.decode_ulaw)
    for turn in range(300):
        now = turn * PACKET_S
        if turn < 100 or turn > 125:
            audio.push(turn, payload(turn), now)
        if turn == 125:
            for index in range(100, 126):
                audio.push(index, payload(index), now)
        audio.read(now)
    assert audio.delay_s <= 0.08
    assert audio.jitter.counters.dropped > 0


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
    assert 0 < concealed_at[700] <= 25
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
