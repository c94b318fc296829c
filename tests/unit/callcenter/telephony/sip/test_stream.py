"""A call's RTP: latching, playing, hold, keys, codecs, encryption, reports."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from callcenter.media.datagram import Refusal
from callcenter.telephony.sip import offer_answer, rtp, sdp
from callcenter.telephony.sip.media_plan import CODECS, SUITES, CryptoKey, LocalMedia, MediaPlan
from callcenter.telephony.sip.outgoing import MAX_QUEUE_PACKETS
from callcenter.telephony.sip.rtp import RtpPacket
from callcenter.telephony.sip.stream import MediaStream
from tests.unit.callcenter.telephony.sip.conftest import OFFER

FAR = ("192.0.2.1", 4_000)
STRANGER = ("203.0.113.9", 4_000)
LOUD = b"\x00" * 160


def plan(text: str = OFFER, codecs: tuple[str, ...] = ("pcmu", "pcma")) -> MediaPlan:
    """What an offer leads to."""
    local = LocalMedia("198.51.100.1", 10_000, codecs, "may", 1, lambda size: b"k" * size)
    return offer_answer.answer(sdp.parse(text.encode()), local, 1)[1]


def a_stream(agreed: MediaPlan | None = None, trusted=lambda host: False) -> MediaStream:
    """A stream that has begun."""
    stream = MediaStream(7, 100, 1_000, trusted, "name", lambda: 1_700_000_000.0)
    stream.agree(agreed or plan(), 0.0)
    return stream


def packet(sequence: int, payload: bytes = LOUD, payload_type: int = 0, ssrc: int = 1) -> bytes:
    """A packet of the far end."""
    return RtpPacket(payload_type, sequence, sequence * 160, ssrc, payload).encode()


def talk(stream, first: int, count: int, start: float, source=FAR, **kind) -> list:
    """Packets and ticks in step; what was heard."""
    heard = []
    for index in range(count):
        now = start + 0.02 * index
        stream.receive(packet(first + index, **kind), source, now)
        heard.append(stream.tick(now + 0.001))
    return heard


def test_what_comes_is_heard() -> None:
    """Decoded, 20 ms a tick."""
    ticks = talk(a_stream(), 0, 10, 0.0)
    assert ticks[-1].heard is not None
    assert ticks[-1].heard.size == 160
    assert np.abs(ticks[-1].heard).min() > 30_000


def test_what_is_played_is_sent_in_order() -> None:
    """One packet a tick, numbered, the first with the marker; silence when there is nothing."""
    stream = a_stream()
    for level in (1_000, 2_000):
        stream.play(np.full(160, level, np.int16))
    sent = [stream.tick(0.02 * i).send for i in range(4)]
    packets = [rtp.parse(one[0][0]) for one in sent]
    assert [p.sequence for p in packets] == [100, 101, 102, 103]
    assert [p.timestamp - packets[0].timestamp for p in packets] == [0, 160, 320, 480]
    assert [p.marker for p in packets] == [True, False, False, False]
    assert packets[0].payload != packets[1].payload
    assert packets[2].payload == packets[3].payload == b"\xff" * 160
    assert sent[0][0][1] == FAR


def test_marks_come_back_when_reached_or_cleared() -> None:
    """In order; a mark behind nothing comes at once."""
    stream = a_stream()
    stream.mark("a")
    stream.play(np.zeros(160, np.int16))
    stream.mark("b")
    stream.play(np.zeros(160, np.int16))
    stream.mark("c")
    assert stream.tick(0.0).played == ["a", "b"]
    stream.clear()
    assert stream.tick(0.02).played == ["c"]


def test_the_queue_is_bounded() -> None:
    """Audio beyond three seconds is dropped."""
    stream = a_stream()
    for _ in range(MAX_QUEUE_PACKETS + 20):
        stream.play(np.zeros(160, np.int16))
    stream.mark("end")
    reached = [stream.tick(0.02 * index).played for index in range(MAX_QUEUE_PACKETS)]
    assert reached == [*[[]] * (MAX_QUEUE_PACKETS - 1), ["end"]]


def test_a_stranger_changes_nothing() -> None:
    """Neither before nor after the far end's first packet."""
    stream = a_stream()
    talk(stream, 5_000, 5, 0.0, source=STRANGER, payload=b"\x80" * 160)
    assert stream.counters.packets_in == 0
    ticks = talk(stream, 0, 10, 0.1)
    talk(stream, 5_000, 3, 0.3, source=STRANGER, payload=b"\x80" * 160)
    assert stream.counters.strangers == 8
    assert ticks[-1].heard is not None
    assert stream.tick(0.36).send[0][1] == FAR


def test_a_far_end_behind_nat_is_followed() -> None:
    """To where its packets come from, if the trunk vouches for the host; till the next SDP."""
    stream = a_stream(trusted=lambda host: host == "192.0.2.77")
    public = ("192.0.2.77", 61_000)
    talk(stream, 0, 7, 0.0, source=public)
    assert stream.tick(0.14).send[0][1] == public
    talk(stream, 900, 7, 0.16, source=("192.0.2.77", 62_000), ssrc=9)
    assert stream.tick(0.3).send[0][1] == public
    stream.agree(plan(OFFER.replace("4000", "4100")), 1.0)
    assert stream.tick(1.0).send[0][1] == ("192.0.2.1", 4_100)


def test_what_is_no_rtp_is_counted() -> None:
    """Junk, a type that was not agreed, cut off, too long: told by its reason."""
    stream = a_stream()
    junk = (b"junk" * 10, packet(0, payload_type=99), packet(1)[:8], packet(2, b"x" * 1_500))
    told = [stream.receive(data, FAR, 0.0) for data in junk]
    assert told == [Refusal.NOT_MEDIA, Refusal.TYPE, Refusal.MALFORMED, Refusal.SIZE]
    assert stream.counters.refused == 4
    assert stream.tick(0.0).heard is None


@pytest.mark.parametrize(
    "sign",
    [
        packet(9, b"\x40", payload_type=13),  # comfort noise
        packet(9, b"", payload_type=120),  # RFC 6263 4.3: an unknown type
        packet(9, b"\x05\x0a\x00\xa0", payload_type=101),  # a key
        b"",  # RFC 6263 4.1
        b"\r\n",
        bytes.fromhex("0011000021 12a442".replace(" ", "")) + bytes(12),  # a STUN indication
    ],
)
def test_whatever_the_far_end_sends_shows_that_it_lives(sign) -> None:
    """And of others nothing does."""
    stream = a_stream()
    stream.receive(packet(8), FAR, 1.0)
    stream.receive(sign, STRANGER, 20.0)
    assert stream.silent_for_s(20.0) == 19.0
    assert stream.receive(sign, FAR, 20.0) is None
    assert stream.silent_for_s(20.0) == 0.0


def test_comfort_noise_is_silence_and_no_loss() -> None:
    """Its packets are numbered with the audio; nothing is made up in their place."""
    stream = a_stream()
    talk(stream, 0, 20, 0.0)
    quiet = talk(stream, 20, 30, 0.4, payload=b"\x40", payload_type=13)
    after = talk(stream, 50, 20, 1.0)
    assert stream.jitter.concealed == 0
    assert stream.stats.lost == 0
    assert quiet[-1].heard is None or not quiet[-1].heard.any()
    assert np.abs(after[-1].heard).min() > 30_000


def test_a_flood_of_the_far_end_is_bounded() -> None:
    """What it sends beyond 600 packets a second costs neither decoding nor the call."""
    stream = a_stream()
    told = [stream.receive(packet(n), FAR, 0.001 * n / 10) for n in range(10_000)]
    assert told.count(Refusal.FLOOD) > 8_000
    assert told[:500] == [None] * 500


def test_any_agreed_codec_may_come_at_any_time() -> None:
    """A-law on a mu-law answer."""
    stream = a_stream()
    talk(stream, 0, 5, 0.0)
    ticks = talk(stream, 5, 10, 0.1, payload=b"\x2a" * 160, payload_type=8)
    assert ticks[-1].heard is not None
    assert np.abs(ticks[-1].heard).min() > 30_000


def test_on_hold_nothing_is_sent_and_nothing_kept() -> None:
    """After it the stream goes on where its clock is, with a marker."""
    stream = a_stream()
    first = rtp.parse(stream.tick(0.0).send[0][0])
    stream.agree(plan(OFFER.replace("sendrecv", "inactive")), 0.02)
    stream.play(np.full(160, 9_000, np.int16))
    assert [stream.tick(0.02 * i).send for i in range(1, 6)] == [[]] * 5
    assert stream.silent_for_s(1_000.0) == 0.0
    stream.agree(plan(), 0.12)
    again = rtp.parse(stream.tick(0.12).send[0][0])
    assert again.marker
    assert again.sequence == first.sequence + 1
    assert again.timestamp - first.timestamp == 6 * 160
    assert again.payload == b"\xff" * 160


def test_a_silent_far_end_is_noticed() -> None:
    """Since its last packet, or since the agreement."""
    stream = a_stream()
    assert stream.silent_for_s(5.0) == 5.0
    stream.receive(packet(0), FAR, 6.0)
    assert stream.silent_for_s(8.0) == 2.0


@pytest.mark.parametrize("held", ["sendonly", "inactive", "nowhere"])
def test_on_hold_nobody_has_to_speak(held) -> None:
    """Many telephones hold without music; after it the silence begins anew."""
    nowhere = OFFER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0")
    text = nowhere if held == "nowhere" else OFFER.replace("sendrecv", held)
    stream = a_stream(plan(text))
    assert stream.plan is not None
    assert stream.plan.on_hold
    assert stream.silent_for_s(1_000.0) == 0.0
    stream.agree(plan(), 1_000.0)
    assert stream.silent_for_s(1_005.0) == 5.0


def test_keys_both_ways() -> None:
    """RFC 4733: told once in, repeated out, in place of audio."""
    stream, far = a_stream(), a_stream()
    assert stream.press("5")
    digits, events = [], 0
    for turn in range(20):
        now = 0.02 * turn
        for data, _ in stream.tick(now).send:
            events += rtp.parse(data).payload_type == 101
            far.receive(data, FAR, now)
        digits += far.tick(now).digits
    assert digits == ["5"]
    assert events == 8 + 3
    assert not a_stream(plan(OFFER.replace(" 101", ""))).press("5")


@pytest.mark.parametrize("codec", ["pcmu", "pcma", "g722", "opus"])
@pytest.mark.parametrize("suite", [None, *SUITES])
def test_two_ends_talk(codec, suite) -> None:
    """Every codec, plain and with every SRTP suite; speech-like sound arrives."""
    name = CODECS[codec]
    number = 96 if name.static_type is None else name.static_type
    text = OFFER.replace("0 8 101", str(number)).replace(
        "a=rtpmap:101 telephone-event/8000\r\n", ""
    )
    if codec == "opus":
        text += "a=rtpmap:96 opus/48000/2\r\n"
    here = plan(text, (codec,))
    there = here
    if suite is not None:
        size = SUITES[suite]
        ours, theirs = CryptoKey(suite, b"a" * size), CryptoKey(suite, b"b" * size)
        here = replace(here, local_key=ours, remote_key=theirs)
        there = replace(here, local_key=theirs, remote_key=ours)
    one, other = a_stream(here), a_stream(there)
    size = one.rate_hz // 50
    phase = 2 * np.pi * 440 * np.arange(40 * size) / one.rate_hz
    sound = (8_000 * np.sin(phase)).astype(np.int16).reshape(40, size)
    heard = []
    for turn in range(40):
        one.play(sound[turn])
        for data, _ in one.tick(0.02 * turn).send:
            other.receive(data, FAR, 0.02 * turn)
        tick = other.tick(0.02 * turn + 0.01)
        if tick.heard is not None:
            heard.append(tick.heard)
    stream = np.concatenate(heard[10:]).astype(float)
    spectrum = np.abs(np.fft.rfft(stream * np.hanning(stream.size)))
    peak_hz = np.argmax(spectrum) * tick.rate_hz / stream.size
    assert abs(peak_hz - 440) < 5
    assert np.sqrt(np.mean(stream**2)) == pytest.approx(8_000 / np.sqrt(2), rel=0.2)


def test_forged_srtp_is_refused() -> None:
    """A packet without the key does not latch and is not heard; a copy is refused too."""
    suite = "AES_CM_128_HMAC_SHA1_80"
    ours, theirs = CryptoKey(suite, b"a" * 30), CryptoKey(suite, b"b" * 30)
    stream = a_stream(replace(plan(), local_key=ours, remote_key=theirs))
    far = a_stream(replace(plan(), local_key=theirs, remote_key=ours))
    stream.receive(packet(0), STRANGER, 0.0)
    assert stream.counters.refused == 1
    ((data, _),) = far.tick(0.0).send
    assert LOUD not in data
    nat = ("198.51.100.99", 7_000)  # SRTP vouches for itself
    stream.receive(data, nat, 0.0)
    stream.receive(data, nat, 0.0)
    assert stream.counters.packets_in == 1
    assert stream.counters.refused == 2


def test_a_new_key_of_the_far_end_leaves_ours_alone() -> None:
    """After 65,536 packets ours still decrypts (RFC 3711 3.3.1: the roll-over counter goes on)."""
    suite = "AES_CM_128_HMAC_SHA1_80"
    ours, old, new = (CryptoKey(suite, bytes([n]) * 30) for n in range(3))
    stream = MediaStream(7, 65_530, 0, lambda host: False, "x", lambda: 0.0)
    stream.agree(replace(plan(), local_key=ours, remote_key=old), 0.0)
    far = a_stream(replace(plan(), local_key=old, remote_key=ours))
    for turn in range(20):
        if turn == 10:
            stream.agree(replace(plan(), local_key=ours, remote_key=new), 0.2)
        for data, _ in stream.tick(0.02 * turn).send:
            far.receive(data, FAR, 0.02 * turn)
    assert far.counters.packets_in == 20


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_another_tag_is_no_other_key(whose) -> None:
    """A re-INVITE may number its keys anew: the roll-over count under them goes on, both ways."""
    suite = "AES_CM_128_HMAC_SHA1_80"
    keys = [CryptoKey(suite, bytes([n]) * 30) for n in range(2)]
    again = [CryptoKey(suite, key.key, 2) for key in keys]
    one, far = (MediaStream(7, 65_530, 0, lambda host: False, "x", lambda: 0.0) for _ in range(2))
    one.agree(replace(plan(), local_key=keys[0], remote_key=keys[1]), 0.0)
    far.agree(replace(plan(), local_key=keys[1], remote_key=keys[0]), 0.0)
    for turn in range(20):
        if turn == 10:  # four packets behind the roll-over
            told = one if whose == "ours" else far
            local, remote = again if told is one else again[::-1]
            told.agree(replace(plan(), local_key=local, remote_key=remote), 0.2)
        for data, _ in one.tick(0.02 * turn).send:
            far.receive(data, FAR, 0.02 * turn)
    assert far.counters.packets_in == 20


def test_what_was_lost_and_late_is_counted_over_all_sources() -> None:
    """The far end's second stream and second codec do not wipe out what became of the first."""
    stream = a_stream()
    for index in range(100):
        if index % 10:
            stream.receive(packet(index), FAR, 0.02 * index)
        stream.tick(0.02 * index)
    for index in range(100):
        stream.receive(packet(index, payload_type=8, ssrc=2), FAR, 2.0 + 0.02 * index)
        stream.tick(2.0 + 0.02 * index)
    assert stream.lost[0] == pytest.approx(0.05, abs=0.006)
    assert stream.lost[1] >= stream.lost[0]
    assert 8 <= stream.jitter.concealed <= 15
    assert 0.0 < stream.delay_s < 0.08


def test_reports_go_both_ways() -> None:
    """Loss and round trip are known after two reports each."""
    clock = [1_700_000_000.0]
    one, other = (MediaStream(n, 0, 0, lambda h: True, "x", lambda: clock[0]) for n in (1, 2))
    for stream in (one, other):
        stream.agree(plan(), 0.0)
    for turn in range(800):
        now = 0.02 * turn
        clock[0] = 1_700_000_000.0 + now
        for here, there in ((one, other), (other, one)):
            tick = here.tick(now)
            for data, _ in tick.send:
                if here is not one or turn % 10:
                    there.receive(data, FAR, now)
            for data, to in tick.send_rtcp:
                assert to == ("192.0.2.1", 4_001)
                clock[0] += 0.01
                there.receive_rtcp(data, ("192.0.2.1", 4_001), now + 0.01)
                clock[0] -= 0.01
    assert one.reporter.far.fraction_lost == pytest.approx(0.1, abs=0.02)
    assert other.reporter.far.fraction_lost == 0.0
    assert one.reporter.far.round_trip_s == pytest.approx(0.02, abs=0.015)
    for data, _ in one.goodbye():
        other.receive_rtcp(data, FAR, 20.0)
    assert other.reporter.far.said_bye


def test_junk_reports_are_counted() -> None:
    """And those of strangers are not even read."""
    stream = a_stream()
    stream.receive_rtcp(b"\x80\xc8\x00\xff", FAR, 0.0)
    stream.receive_rtcp(base64.b64decode("gMgABg=="), STRANGER, 0.0)
    assert stream.counters.refused == 1
    assert stream.counters.strangers == 1
