"""SRTP with keys from SDP (RFC 3711, RFC 4568), by libsrtp.

A thin wrapper: it turns an agreed key into a session and libsrtp's refusals into ProtocolError.
"""

from __future__ import annotations

from pylibsrtp import Error, Policy, Session

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.media_plan import CryptoKey

_PROFILES = {
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
}


class Srtp:
    """One stream each way."""

    def __init__(self, local: CryptoKey, remote: CryptoKey) -> None:
        self._out = _session(local, Policy.SSRC_ANY_OUTBOUND)
        self._in = _session(remote, Policy.SSRC_ANY_INBOUND)

    def expect(self, remote: CryptoKey) -> None:
        """The far end has a new key. Ours goes on: its packet count is part of the encryption."""
        self._in = _session(remote, Policy.SSRC_ANY_INBOUND)

    def protect(self, packet: bytes) -> bytes:
        """Encrypts an RTP packet of ours."""
        return bytes(self._out.protect(packet))

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Encrypts an RTCP packet of ours."""
        return bytes(self._out.protect_rtcp(packet))

    def unprotect(self, data: bytes) -> bytes:
        """Checks and decrypts an RTP packet.

        Raises:
            ProtocolError: forged, repeated, or no SRTP.
        """
        try:
            return bytes(self._in.unprotect(data))
        except (Error, ValueError) as error:  # ValueError: longer than libsrtp's buffer
            raise ProtocolError(f"SRTP: {error}") from None

    def unprotect_rtcp(self, data: bytes) -> bytes:
        """Checks and decrypts an RTCP packet.

        Raises:
            ProtocolError: forged, repeated, or no SRTCP.
        """
        try:
            return bytes(self._in.unprotect_rtcp(data))
        except (Error, ValueError) as error:  # ValueError: longer than libsrtp's buffer
            raise ProtocolError(f"SRTCP: {error}") from None


def _session(key: CryptoKey, direction: int) -> Session:
    return Session(Policy(key=key.key, ssrc_type=direction, srtp_profile=_PROFILES[key.suite]))
