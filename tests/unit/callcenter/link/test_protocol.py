"""Link messages: frames and control survive the wire, anything else is named and refused."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcenter.errors import MessageTooLarge, ProtocolError
from callcenter.link import protocol
from callcenter.link.protocol import (
    FRAME_SAMPLES,
    Action,
    AudioFrame,
    DrainSoon,
    End,
    ErrorMessage,
    OpenSession,
    Ready,
    Record,
    Sampling,
    Stats,
    Text,
)

OPEN = OpenSession(
    call_id="CA1",
    persona="bank",
    persona_version="abc",
    role_text="You work for First Neuron Bank.",
    voice="nora",
    prompt_hash=protocol.prompt_hash("nora", "You work for First Neuron Bank."),
    sampling=Sampling(text_temperature=0.5),
    dialogue={"intents": [{"name": "hours"}]},
)
RAMP = np.arange(FRAME_SAMPLES, dtype=np.int16)


@given(
    sequence=st.integers(0, 2**32 - 1),
    concealed=st.booleans(),
    waited_ms=st.none() | st.integers(0, 254),
    seed=st.integers(0, 9),
)
def test_a_frame_survives_the_wire(
    sequence: int, concealed: bool, waited_ms: int | None, seed: int
) -> None:
    """Number, flag and every sample come back."""
    pcm = np.random.default_rng(seed).integers(-32768, 32767, FRAME_SAMPLES, dtype=np.int16)
    waited_s = None if waited_ms is None else waited_ms / 1_000
    sent = AudioFrame(sequence, pcm, concealed, waited_s)
    back = protocol.decode_audio(protocol.encode_audio(sent))
    assert (back.sequence, back.concealed, back.waited_s) == (sequence, concealed, waited_s)
    assert np.array_equal(back.pcm, pcm)
    assert back.pcm.dtype == np.int16


def test_the_bytes_are_as_drawn() -> None:
    """Eight bytes of header, then little-endian samples."""
    data = protocol.encode_audio(AudioFrame(0x01020304, RAMP, concealed=True))
    assert data[:8] == bytes([1, 1, 1, 255, 4, 3, 2, 1])
    data = protocol.encode_audio(AudioFrame(0, RAMP, waited_s=0.03))
    assert data[:8] == bytes([1, 1, 0, 30, 0, 0, 0, 0])
    assert data[8:12] == b"\x00\x00\x01\x00"
    assert len(data) == 8 + 3_840


def test_the_sequence_number_wraps() -> None:
    """After 2**32 - 1 comes 0."""
    data = protocol.encode_audio(AudioFrame(2**32, RAMP))
    assert protocol.decode_audio(data).sequence == 0


@pytest.mark.parametrize(("waited_s", "told_s"), [(-0.1, 0.0), (0.0306, 0.031), (3.0, 0.254)])
def test_a_wait_is_told_to_the_millisecond_within_a_byte(waited_s: float, told_s: float) -> None:
    """Longer ones are all alike: a backlog."""
    sent = AudioFrame(0, RAMP, waited_s=waited_s)
    assert protocol.decode_audio(protocol.encode_audio(sent)).waited_s == told_s


@pytest.mark.parametrize(
    "pcm", [RAMP[:-1], RAMP.astype(np.float32), RAMP.reshape(2, -1), np.zeros(0, np.int16)]
)
def test_only_whole_frames_are_sent(pcm: np.ndarray) -> None:
    """A wrong length or type never reaches the wire."""
    with pytest.raises(ProtocolError, match="int16 \\[1920\\]"):
        protocol.encode_audio(AudioFrame(0, pcm))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "shorter than its header"),
        (b"\x01\x01\x00", "shorter than its header"),
        (struct.pack("<BBHI", 2, 1, 0, 0) + bytes(3_840), "same release"),
        (struct.pack("<BBHI", 1, 9, 0, 0) + bytes(3_840), "type 9"),
        (struct.pack("<BBHI", 1, 1, 0, 0) + bytes(3_838), "not 3838"),
    ],
)
def test_other_binary_messages_are_refused(data: bytes, words: str) -> None:
    """The error says what was wrong with the bytes."""
    with pytest.raises(ProtocolError, match=words):
        protocol.decode_audio(data)


def test_more_than_a_frame_is_too_large() -> None:
    """An overlong binary message has its own error."""
    with pytest.raises(MessageTooLarge):
        protocol.decode_audio(bytes(8 + 3_841))


@given(data=st.binary(max_size=64))
def test_short_random_bytes_never_escape_as_another_error(data: bytes) -> None:
    """Whatever comes in, only ProtocolError comes out."""
    with pytest.raises(ProtocolError):
        protocol.decode_audio(data)


@pytest.mark.parametrize("message", [OPEN, End(reason="caller_hung_up")])
def test_the_gateways_messages_survive(message: protocol.FromGateway) -> None:
    """What the gateway writes, the worker reads."""
    assert protocol.decode_from_gateway(protocol.encode_control(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Ready(),
        Text(piece=" héllo", frame=3),
        Action(name="handoff"),
        DrainSoon(deadline_s=30.0),
        Record(task="booking", fields={"date": "tomorrow", "name": "Lee"}),
        Stats(frames_in=5, frames_dropped=1, frames_concealed=2, frames_out=6),
        End(reason="drained"),
        ErrorMessage(code="no_capacity", message="all 4 slots are taken"),
    ],
)
def test_the_workers_messages_survive(message: protocol.FromWorker) -> None:
    """What the worker writes, the gateway reads."""
    assert protocol.decode_from_worker(protocol.encode_control(message)) == message


def test_each_side_has_its_own_vocabulary() -> None:
    """A gateway can't say "ready", a worker can't say "open"."""
    with pytest.raises(ProtocolError, match="ready"):
        protocol.decode_from_gateway(protocol.encode_control(Ready()))
    with pytest.raises(ProtocolError, match="open"):
        protocol.decode_from_worker(protocol.encode_control(OPEN))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"type":"dance"}', '{"reason":"x"}'])
def test_malformed_control_is_refused(text: str) -> None:
    """Broken JSON and unknown types have one error type."""
    with pytest.raises(ProtocolError, match="control message"):
        protocol.decode_from_gateway(text)


@pytest.mark.parametrize(
    ("field", "value"), [("seed", "1"), ("seed", -1), ("voice", ""), ("surprise", 1)]
)
def test_a_wrong_field_is_named_and_its_neighbours_are_not_quoted(
    field: str, value: object
) -> None:
    """The error names the field and never repeats the prompt."""
    fields = json.loads(protocol.encode_control(OPEN)) | {field: value}
    with pytest.raises(ProtocolError, match=field) as caught:
        protocol.decode_from_gateway(json.dumps(fields))
    assert "Neuron" not in str(caught.value)


def test_an_overlong_control_message_is_refused_before_it_is_parsed() -> None:
    """The length is looked at first."""
    with pytest.raises(MessageTooLarge):
        protocol.decode_from_gateway("x" * (protocol.MAX_TEXT_BYTES + 1))


def test_the_prompt_hash_tells_voice_from_text() -> None:
    """Moving a letter from the voice to the text is another prompt."""
    assert protocol.prompt_hash("ab", "c") != protocol.prompt_hash("a", "bc")
    assert len(protocol.prompt_hash("a", "b")) == 16


def test_a_record_is_bounded() -> None:
    """A worker can't fill the journal through one call."""
    fields = ", ".join(f'"field{index}": "x"' for index in range(17))
    with pytest.raises(ProtocolError):
        protocol.decode_from_worker(
            f'{{"type": "record", "task": "booking", "fields": {{{fields}}}}}'
        )
