"""The messages between gateway and worker, as bytes and text.

One WebSocket carries one session. Audio goes both ways as binary messages, one frame each:

    0        1        2        3        4                                   8
    +--------+--------+--------+--------+-----------------------------------+-----------------
    | version| type   | flags  | waited | sequence number (LE)              | 3,840 bytes PCM
    +--------+--------+--------+--------+-----------------------------------+-----------------

PCM is 16 bit, little-endian, mono, 24 kHz. The sequence number counts the frames that the sender
had, sent or not, so that a gap shows what was dropped. `waited` is told by workers: for how many ms
(at most 254) the caller's frame that this one answers had lain there before its tick; 255 means
that there was none. Control is JSON text, one object a message, told apart by `type`.

This module knows no socket and no clock; it neither limits rates nor answers anything.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from callcenter.errors import MessageTooLarge, ProtocolError

VERSION = 1
AUDIO = 1
CONCEALED = 0x01  # flag: the sender had no audio for this frame and put silence
MAX_WAITED_MS = 254
NOT_WAITED = 255

FRAME_SAMPLES = 1_920
FRAME_BYTES = 2 * FRAME_SAMPLES
MAX_TEXT_BYTES = 262_144  # a persona with a long dialogue section has about 40,000
MAX_MESSAGE_BYTES = MAX_TEXT_BYTES

_HEADER = struct.Struct("<BBBBI")
_SEQUENCE_MODULUS = 1 << 32

Frame = NDArray[np.int16]
Name = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """One frame of 80 ms.

    Attributes:
        sequence: running number modulo 2**32.
        pcm: int16 [1920], 24 kHz mono.
        concealed: the sender had nothing to say here, for instance after a late packet.
        waited_s: how long the caller's frame that this one answers had lain at the worker before
            its tick took it, to the millisecond; None if there was none.
    """

    sequence: int
    pcm: Frame
    concealed: bool = False
    waited_s: float | None = None


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Sampling(_Message):
    """How the engine draws tokens."""

    text_temperature: Annotated[float, Field(ge=0, le=4)] = 0.7
    text_top_k: Annotated[int, Field(ge=0, le=100_000)] = 25
    audio_temperature: Annotated[float, Field(ge=0, le=4)] = 0.8
    audio_top_k: Annotated[int, Field(ge=0, le=100_000)] = 250


class OpenSession(_Message):
    """Gateway to worker, first message: what the session is about.

    Attributes:
        role_text: the rendered role prompt; may hold personal data, so it's kept out of logs.
        voice_sha256: of the published clip that the voice is; "" where none is published, and the
            engine's own voice of that name counts.
        prompt_hash: `prompt_hash(voice, role_text)`; the session token names the same.
        dialogue: the persona's dialogue section, for engines that speak lines.
    """

    type: Literal["open"] = "open"
    call_id: Name
    persona: Name
    persona_version: Name
    role_text: Annotated[str, Field(max_length=20_000)]
    voice: Name
    voice_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    prompt_hash: Name
    greeting: Annotated[str, Field(max_length=2_000)] = ""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    sampling: Sampling = Field(default_factory=Sampling)
    dialogue: dict[str, Any] | None = None


class End(_Message):
    """Either way, last message: the session is over, and why."""

    type: Literal["end"] = "end"
    reason: Name


class Ready(_Message):
    """Worker to gateway: the prompt is in, frames count from now on."""

    type: Literal["ready"] = "ready"


class Text(_Message):
    """Worker to gateway: a piece of what the agent says, and the frame it belongs to."""

    type: Literal["text"] = "text"
    piece: str
    frame: Annotated[int, Field(ge=0)]


class Action(_Message):
    """Worker to gateway: the engine asks the call for "hangup", "handoff" or "yield"."""

    type: Literal["action"] = "action"
    name: Name


class Record(_Message):
    """Worker to gateway: what the caller asked for and confirmed; personal data.

    Attributes:
        task: its kind: "booking", "card_block", ...
        fields: by name, as they were read back; no more than 16.
    """

    type: Literal["record"] = "record"
    task: Name
    fields: Annotated[dict[Name, Annotated[str, Field(max_length=1_000)]], Field(max_length=16)] = (
        Field(default_factory=dict)
    )


class DrainSoon(_Message):
    """Worker to gateway: this worker leaves; the session ends after `deadline_s` at the latest."""

    type: Literal["drain_soon"] = "drain_soon"
    deadline_s: Annotated[float, Field(ge=0)]


class Stats(_Message):
    """Worker to gateway, before the end: what happened to the session's frames.

    Attributes:
        frames_in: frames that came from the gateway.
        frames_dropped: of those, thrown away because more came than ticks took.
        frames_concealed: ticks that had no frame and got silence, since the first frame came.
        frames_out: frames that the engine said.
    """

    type: Literal["stats"] = "stats"
    frames_in: Annotated[int, Field(ge=0)]
    frames_dropped: Annotated[int, Field(ge=0)]
    frames_concealed: Annotated[int, Field(ge=0)]
    frames_out: Annotated[int, Field(ge=0)]


class ErrorMessage(_Message):
    """Worker to gateway: the session can't be opened or can't go on.

    Attributes:
        code: short and stable: no_capacity, draining, unauthorized, stale_claim, prompt_rejected,
            protocol, superseded or engine_failed.
        message: what was wrong and what to do; no personal data.
    """

    type: Literal["error"] = "error"
    code: Name
    message: Annotated[str, Field(max_length=2_000)]


FromGateway = OpenSession | End
FromWorker = Ready | Text | Action | Record | DrainSoon | Stats | End | ErrorMessage
Control = FromGateway | FromWorker
_Direction = TypeVar("_Direction")

_FROM_GATEWAY: TypeAdapter[FromGateway] = TypeAdapter(
    Annotated[FromGateway, Field(discriminator="type")]
)
_FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(
    Annotated[FromWorker, Field(discriminator="type")]
)


def prompt_hash(voice: str, role_text: str) -> str:
    """Names a prompt: 16 hex digits of SHA-256 over voice, NUL and role text."""
    return hashlib.sha256(f"{voice}\0{role_text}".encode()).hexdigest()[:16]


def encode_audio(frame: AudioFrame) -> bytes:
    """Packs one frame.

    Raises:
        ProtocolError: the samples are not int16 [1920].
    """
    if frame.pcm.dtype != np.int16 or frame.pcm.shape != (FRAME_SAMPLES,):
        raise ProtocolError(
            f"a frame is int16 [{FRAME_SAMPLES}], not {frame.pcm.dtype} {list(frame.pcm.shape)}"
        )
    flags = CONCEALED if frame.concealed else 0
    waited = NOT_WAITED if frame.waited_s is None else _waited_ms(frame.waited_s)
    header = _HEADER.pack(VERSION, AUDIO, flags, waited, frame.sequence % _SEQUENCE_MODULUS)
    return header + frame.pcm.astype("<i2", copy=False).tobytes()


def decode_audio(data: bytes) -> AudioFrame:
    """Unpacks one frame; its samples are a read-only view of `data`.

    Raises:
        MessageTooLarge: more than one frame.
        ProtocolError: another version or type, or less than a frame.
    """
    if len(data) > _HEADER.size + FRAME_BYTES:
        raise MessageTooLarge(f"a binary message of {len(data)} bytes is longer than one frame")
    if len(data) < _HEADER.size:
        raise ProtocolError(f"a binary message of {len(data)} bytes is shorter than its header")
    version, kind, flags, waited, sequence = _HEADER.unpack_from(data)
    if (version, kind) != (VERSION, AUDIO):
        raise ProtocolError(
            f"version {version} type {kind} is unknown here; "
            f"expected version {VERSION} type {AUDIO}: do gateway and worker run the same release?"
        )
    if len(data) != _HEADER.size + FRAME_BYTES:
        raise ProtocolError(f"a frame has {FRAME_BYTES} bytes of audio, not {len(data) - 8}")
    pcm = np.frombuffer(data, dtype="<i2", offset=_HEADER.size).astype(np.int16, copy=False)
    waited_s = None if waited == NOT_WAITED else waited / 1_000
    return AudioFrame(sequence, pcm, bool(flags & CONCEALED), waited_s)


def _waited_ms(waited_s: float) -> int:
    return min(MAX_WAITED_MS, max(0, round(waited_s * 1_000)))


def encode_control(message: Control) -> str:
    """Writes one control message as JSON."""
    return message.model_dump_json()


def decode_from_gateway(text: str) -> FromGateway:
    """Reads what a gateway may say.

    Raises:
        MessageTooLarge: longer than 256 KiB.
        ProtocolError: not JSON, unknown type, missing, extra or wrong field; names the field.
    """
    return _decode(text, _FROM_GATEWAY)


def decode_from_worker(text: str) -> FromWorker:
    """Reads what a worker may say.

    Raises:
        MessageTooLarge: longer than 256 KiB.
        ProtocolError: not JSON, unknown type, missing, extra or wrong field; names the field.
    """
    return _decode(text, _FROM_WORKER)


def _decode(text: str, adapter: TypeAdapter[_Direction]) -> _Direction:
    if len(text) > MAX_TEXT_BYTES:
        raise MessageTooLarge(f"a control message of {len(text)} characters is too long")
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "message"
        # The input stays out of the error: it may hold a prompt.
        raise ProtocolError(f"control message: {place}: {first['msg']}") from None
