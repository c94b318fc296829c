"""Takes packets out of aiortc before its jitter buffer, and judges what it would trip over.

aiortc keeps four packets back and gives out at most one for each that comes in, so a single lost
packet delays the rest of the call by 200 ms. There is no public way round: its jitter buffer is
replaced by an object that hands every packet on and gives the decoder thread nothing to do.

What a browser sends has been decrypted and is its own, but one browser must not hold up or end what
belongs to others: aiortc answers a report that asks for packets again with thousands of them, never
ends once more than 31 streams were reported, and reads some SCTP for ever. `install` puts bounds
before its handlers. What goes over them is counted and dropped.

This and `guard` are the places that touch what aiortc keeps private; the version is pinned because
of it.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable

from aiortc import RTCDtlsTransport, RTCRtpReceiver, RTCSctpTransport
from aiortc.rtp import RtpPacket
from OpenSSL import SSL

from callcenter.errors import ConfigurationError
from callcenter.media.datagram import Refusal, audio_reports
from callcenter.telephony import refusals
from callcenter.telephony.webrtc import guard, sctp

OnPacket = Callable[[int, bytes], None]  # sequence number, payload
OnLife = Callable[[], None]

MAX_STREAMS = 4  # SSRCs of one browser; it has one, and another one after a change of its track

_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_HANDLERS = ("_handle_rtp_data", "_handle_rtcp_data")
_DATA_HANDLERS = ("_handle_data", "_data_channel_receive")

# What aiortc raises for contents that it does not check; a connection that is lost is no trouble.
_TROUBLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    struct.error,
    SSL.Error,
)


class RtpTap:
    """Stands where aiortc's jitter buffer stood."""

    def __init__(self, on_packet: OnPacket) -> None:
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Hands the packet on; never a picture to ask for, never a frame to decode."""
        self._on_packet(packet.sequence_number, packet.payload)
        return False, None


class _Handlers:
    """Bounds before the handlers of one connection."""

    def __init__(self, transport: RTCDtlsTransport, lives: OnLife) -> None:
        self._rtp, self._rtcp = transport._handle_rtp_data, transport._handle_rtcp_data
        self._lives = lives
        self._streams: set[bytes] = set()

    async def rtp(self, data: bytes, arrival_time_ms: int) -> None:
        """One packet, decrypted."""
        self._lives()
        stream = data[8:12]
        if stream not in self._streams and len(self._streams) >= MAX_STREAMS:
            refusals.BROWSERS.note(Refusal.TYPE)
            return
        self._streams.add(stream)
        await _without_trouble(self._rtp(data, arrival_time_ms=arrival_time_ms))

    async def rtcp(self, data: bytes) -> None:
        """One compound, decrypted."""
        self._lives()
        reports = audio_reports(data)
        if reports:
            await _without_trouble(self._rtcp(reports))
        else:
            refusals.BROWSERS.note(Refusal.MALFORMED)


class _DataHandlers:
    """Bounds before the handlers of one connection's data channels."""

    def __init__(self, transport: RTCSctpTransport, lives: OnLife) -> None:
        self._transport = transport
        self._packet, self._message = transport._handle_data, transport._data_channel_receive
        self._lives = lives

    async def packet(self, data: bytes) -> None:
        """One SCTP packet."""
        self._lives()
        transport = self._transport
        held = sum(len(stream.reassembly) for stream in transport._inbound_streams.values())
        sent = (transport._local_tsn - 1) & 0xFFFFFFFF
        if sctp.may_pass(data, sctp.Association(transport._last_received_tsn, sent, held)):
            await _without_trouble(self._packet(data))
        else:
            refusals.BROWSERS.note(Refusal.MALFORMED)

    async def message(self, stream_id: int, pp_id: int, data: bytes) -> None:
        """One whole message."""
        if sctp.is_message(stream_id, pp_id, data, set(self._transport._data_channels)):
            await self._message(stream_id, pp_id, data)
        else:
            refusals.BROWSERS.note(Refusal.MALFORMED)


def install(receiver: RTCRtpReceiver, on_packet: OnPacket) -> None:
    """Reroutes a receiver's packets; before its connection is set up.

    Raises:
        ConfigurationError: this aiortc is built differently.
    """
    if not hasattr(receiver, _JITTER_BUFFER):
        raise _other_aiortc("jitter buffer to replace")
    setattr(receiver, _JITTER_BUFFER, RtpTap(on_packet))


def bound(transport: RTCDtlsTransport, channels: RTCSctpTransport | None, lives: OnLife) -> None:
    """Puts bounds before a connection's handlers; once the offer is known, before it is connected.

    Args:
        transport: of the audio.
        channels: of the data channels, if there are any.
        lives: told of everything that comes from the browser and nobody else.

    Raises:
        ConfigurationError: this aiortc is built differently.
    """
    wanted = [(transport, _HANDLERS), *([(channels, _DATA_HANDLERS)] if channels else [])]
    if not all(hasattr(owner, name) for owner, names in wanted for name in names):
        raise _other_aiortc("handlers to put bounds before")
    handlers = _Handlers(transport, lives)
    for name, handler in zip(_HANDLERS, (handlers.rtp, handlers.rtcp), strict=True):
        setattr(transport, name, handler)
    guard.watch(transport.transport._connection, lives)
    if channels is not None:
        data = _DataHandlers(channels, lives)
        for name, handle in zip(_DATA_HANDLERS, (data.packet, data.message), strict=True):
            setattr(channels, name, handle)
        guard.watch(channels.transport.transport._connection, lives)


async def _without_trouble(handling: Awaitable[None]) -> None:
    try:
        await handling
    except _TROUBLE:  # contents that aiortc takes for granted
        refusals.BROWSERS.note(Refusal.MALFORMED)


def _other_aiortc(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"this release of aiortc has no {what}; "
        "install the pinned one: pip install 'personaplex-callcenter[webrtc]'"
    )
