"""Offer, answer and candidates: the HTTP contract of pipecat's small WebRTC client.

    POST  {sdp, type}             -> {sdp, type, pc_id}
    PATCH {pc_id, candidates}     -> {status}

The bodies are checked strictly where they can do harm (sizes, number of candidates) and leniently
where other clients put fields of their own. Knows no HTTP and no rights.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from aiortc import RTCRtpReceiver, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.sdp import candidate_from_sdp
from pydantic import BaseModel, ConfigDict, Field

from callcenter.errors import ProtocolError, Refused
from callcenter.telephony.webrtc import guard, sections, tap
from callcenter.telephony.webrtc.leg import WebRtcLeg

MAX_SDP_CHARS = 32_768  # a browser's offer for one audio stream has about 5,000
# Each one makes this side send checks to the address that it names. So many may be in an offer, and
# so many may follow it.
MAX_CANDIDATES = 40
MAX_MEDIA_LINES = 4

_FINGERPRINT = re.compile(r"^a=fingerprint:\S+ [0-9A-Fa-f:]+\s*$", re.MULTILINE)

# What aiortc's parser raises for text that is no SDP: it checks little and trips over the rest.
_TROUBLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    InternalError,
    InvalidAccessError,
    InvalidStateError,
    OperationError,
)


class NoRestart(Refused):
    """An offer for a connection that is there already; aiortc takes one offer a connection."""

    code = "ice_restart_unsupported"


class Offer(BaseModel):
    """A browser's offer.

    Attributes:
        pc_id: of a connection that is to be offered anew; other clients send it.
        restart_pc: whether they want it to begin anew, with other addresses.
    """

    model_config = ConfigDict(frozen=True)

    sdp: Annotated[str, Field(min_length=1, max_length=MAX_SDP_CHARS)]
    type: Literal["offer"]
    pc_id: Annotated[str | None, Field(max_length=64)] = None
    restart_pc: bool = False

    def check_is_first(self) -> None:
        """A connection has one offer: RFC 8445 9's ICE restart is beyond aiortc.

        Raises:
            NoRestart: it is another one.
        """
        if self.pc_id is not None or self.restart_pc:
            raise NoRestart(
                "an offer for a connection that is there already, such as an ICE restart, is not "
                "supported: place a new call, with a visit token of its own"
            )


class Answer(BaseModel):
    """What the browser gets.

    Attributes:
        pc_id: names the connection in later candidates.
    """

    sdp: str
    type: str
    pc_id: str


class Candidate(BaseModel):
    """One address under which the browser may be reached (RFC 8839)."""

    model_config = ConfigDict(frozen=True)

    candidate: Annotated[str, Field(max_length=1_000)]
    sdp_mid: Annotated[str | None, Field(max_length=64)] = None
    sdp_mline_index: Annotated[int | None, Field(ge=0, le=MAX_MEDIA_LINES)] = None


class Candidates(BaseModel):
    """Addresses that were found after the offer."""

    model_config = ConfigDict(frozen=True)

    pc_id: Annotated[str, Field(min_length=1, max_length=64)]
    candidates: Annotated[list[Candidate], Field(max_length=MAX_CANDIDATES)]


async def negotiate(leg: WebRtcLeg, offer: Offer, pc_id: str) -> Answer:
    """Answers an offer: one codec both ways, the leg's track out, its ear at the receiver.

    Raises:
        ProtocolError: the offer is no SDP, has no audio that we speak, or too much of anything.
    """
    _check(offer.sdp)
    connection = leg.connection
    try:
        choice = sections.choose(offer.sdp)
        guard.install()
        audio = connection.addTransceiver(leg.track, direction="sendrecv")
        audio.setCodecPreferences(_only(choice.voice))
        await connection.setRemoteDescription(RTCSessionDescription(choice.offer, offer.type))
        leg.speak(choice.voice)
        tap.install(audio.receiver, leg.hear)
        tap.bound(audio.receiver.transport, connection.sctp, leg.lives)
        await connection.setLocalDescription(await connection.createAnswer())
        local = connection.localDescription
        answer = Answer(sdp=choice.whole(local.sdp), type=local.type, pc_id=pc_id)
    except _TROUBLE as error:
        raise ProtocolError(
            f"the offer cannot be answered: {type(error).__name__}; it must be an SDP offer "
            "with an audio line in Opus or G.711"
        ) from error
    leg.choice = choice
    return answer


async def add_candidates(leg: WebRtcLeg, message: Candidates) -> None:
    """Adds the browser's late addresses.

    Raises:
        ProtocolError: one of them is no candidate, or there were too many.
    """
    leg.late_candidates += len(message.candidates)
    if leg.late_candidates > MAX_CANDIDATES:
        raise ProtocolError(f"more than {MAX_CANDIDATES} candidates after the offer")
    for item in message.candidates:
        text = item.candidate.removeprefix("a=").removeprefix("candidate:")
        if not text:  # the end of candidates
            continue
        place = leg.choice.place(item.sdp_mid, item.sdp_mline_index) if leg.choice else None
        try:
            candidate = candidate_from_sdp(text)
            if place is None or not sections.has_address(text):
                continue
            candidate.sdpMid, candidate.sdpMLineIndex = place
            await leg.connection.addIceCandidate(candidate)
        except _TROUBLE as error:
            raise ProtocolError(f"not an ICE candidate: {type(error).__name__}") from error


def _check(sdp: str) -> None:
    if not _FINGERPRINT.search(sdp):
        raise ProtocolError("the offer has no certificate fingerprint (DTLS-SRTP, RFC 5763)")
    if sdp.count("\nm=") > MAX_MEDIA_LINES:
        raise ProtocolError(f"the offer has more than {MAX_MEDIA_LINES} media lines")
    if sdp.count("a=candidate:") > MAX_CANDIDATES:
        raise ProtocolError(f"the offer has more than {MAX_CANDIDATES} candidates")


def _only(voice: str) -> list[RTCRtpCodecCapability]:
    capabilities = RTCRtpReceiver.getCapabilities("audio")
    known = capabilities.codecs if capabilities is not None else []
    return [codec for codec in known if codec.mimeType.lower() == f"audio/{voice}"]
