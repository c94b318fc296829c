"""What is agreed about a call's audio: codecs, keys, addresses. Values alone, no SDP text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from callcenter.errors import ProtocolError

SUITES = {  # SDES suites by key and salt length, in our order of preference (RFC 4568, 7714)
    "AEAD_AES_256_GCM": 44,
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
}


class NotAcceptable(ProtocolError):
    """No way to talk: no common codec, or a policy about encryption; answered with 488."""


@dataclass(frozen=True, slots=True)
class CodecName:
    """A codec as SDP names it.

    Attributes:
        name: in lower case: "pcmu", "pcma", "g722", "opus".
        clock_hz: RTP clock. G.722's is 8000 though it has 16,000 samples a second (RFC 3551 4.5.2).
        channels: as in rtpmap.
        static_type: its payload type by RFC 3551; None when it has none.
        fmtp: what we want of it.
    """

    name: str
    clock_hz: int
    channels: int = 1
    static_type: int | None = None
    fmtp: str = ""


CODECS = {
    "pcmu": CodecName("pcmu", 8_000, 1, 0),
    "pcma": CodecName("pcma", 8_000, 1, 8),
    "g722": CodecName("g722", 8_000, 1, 9),
    "opus": CodecName("opus", 48_000, 2, None, "stereo=0;sprop-stereo=0"),
}


@dataclass(frozen=True, slots=True)
class CryptoKey:
    """One SDES key: master key and salt together."""

    suite: str
    key: bytes
    tag: int = 1

    def __repr__(self) -> str:
        return f"CryptoKey({self.suite})"

    def encrypts_as(self, other: CryptoKey | None) -> bool:
        """Whether it is the same key, under whatever tag: SRTP then goes on as it was."""
        return other is not None and (self.suite, self.key) == (other.suite, other.key)


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What this end offers for one call.

    Attributes:
        host: the address that the far end can reach.
        port: of RTP; RTCP is on the next one.
        codecs: names, in order of preference.
        srtp: "never", "may" or "must".
        session_id: for o=.
        new_key: bytes wanted -> fresh random bytes.
        key: of SRTP, the one in force; it stays as long as its suite does, and so does the count
            of packets under it.
    """

    host: str
    port: int
    codecs: tuple[str, ...]
    srtp: str
    session_id: int
    new_key: Callable[[int], bytes]
    key: CryptoKey | None = None


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """What both ends agreed on.

    Attributes:
        remote: RTP address of the far end; None while it has none (0.0.0.0).
        remote_rtcp_port: where its RTCP is heard.
        codec: what we send.
        payload_type: under which number.
        accepts: payload type -> codec, all that may come; a peer may use any of them at any time.
        dtmf_type, dtmf_clock_hz: telephone-event; None when not agreed.
        direction: ours.
        local_key, remote_key: of SRTP; None for plain RTP.
        rtcp_mux: RTCP comes to the RTP port.
        line: which m= line it is, from 0; the others are refused, and every later offer has as
            many (RFC 3264 8).
    """

    remote: tuple[str, int] | None
    remote_rtcp_port: int
    codec: CodecName
    payload_type: int
    accepts: Mapping[int, CodecName]
    dtmf_type: int | None
    dtmf_clock_hz: int
    direction: str
    local_key: CryptoKey | None
    remote_key: CryptoKey | None
    rtcp_mux: bool = False
    line: int = 0

    @property
    def on_hold(self) -> bool:
        """Whether the far end doesn't want to hear us."""
        return self.direction not in ("sendrecv", "sendonly")
