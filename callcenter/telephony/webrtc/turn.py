"""Short-lived TURN credentials: draft-uberti-behave-turn-rest, which coturn and most servers speak.

The user name is the moment when it expires, and the session that it was made for; the password is
an HMAC of it under the secret that the TURN server shares. Knows no clock and no network.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IceServer:
    """One entry of the browser's `iceServers`, and of aiortc's."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None

    def as_json(self) -> dict[str, object]:
        """As a browser's RTCPeerConnection takes it."""
        known: dict[str, object] = {"urls": list(self.urls)}
        if self.username is not None and self.credential is not None:
            known |= {"username": self.username, "credential": self.credential}
        return known


@dataclass(frozen=True, slots=True)
class IcePlan:
    """Which servers help the two sides to find each other.

    Attributes:
        stun_urls: such as "stun:stun.example.com:3478".
        turn_urls: such as "turn:turn.example.com:3478?transport=udp".
        turn_secret: shared with the TURN server.
        turn_ttl_s: how long a credential may be used to allocate a relay.
    """

    stun_urls: Sequence[str] = ()
    turn_urls: Sequence[str] = ()
    turn_secret: str = ""
    turn_ttl_s: int = 600

    def servers(self, session: str, unix_time: float) -> list[IceServer]:
        """The servers of one session, with credentials of its own.

        Args:
            session: names the session in the TURN server's log; no personal data.
            unix_time: seconds.
        """
        servers = [IceServer(tuple(self.stun_urls))] if self.stun_urls else []
        if self.turn_urls:
            username = f"{int(unix_time) + self.turn_ttl_s}:{session}"
            password = credential(username, self.turn_secret)
            servers.append(IceServer(tuple(self.turn_urls), username, password))
        return servers


def credential(username: str, secret: str) -> str:
    """The password of a user name: base64 of HMAC-SHA1, as the TURN server computes it."""
    digest = hmac.digest(secret.encode(), username.encode(), hashlib.sha1)
    return base64.b64encode(digest).decode("ascii")
