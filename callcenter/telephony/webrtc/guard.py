"""What a browser call's UDP sockets let through to aioice and aiortc.

A call's port is open to whoever finds it. aioice takes data from any source, and neither it nor
aiortc expects a datagram that is empty, too long or badly formed: one of them would end the call,
or log a traceback. So each datagram is judged as it comes from the socket:

    STUN                 well formed; a request signed with the password that only the browser was
                         given; an answer to a request of ours. Anything else gets no answer.
    DTLS, SRTP, SRTCP    well formed, and from an address that such a signed message came from: that
                         of the selected pair, or of another that the browser may go over to

Of addresses, packets and what waits there is a bound. This and `tap` are the places that touch what
aioice and aiortc keep private; their versions are pinned because of it.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any

from aioice import ice, stun, turn

from callcenter.errors import ConfigurationError
from callcenter.media.datagram import Kind, Refusal, is_dtls, is_rtcp, is_rtp, is_stun, kind_of
from callcenter.telephony import refusals
from callcenter.telephony.webrtc.limits import SendRate

Address = tuple[str, int]

MAX_ADDRESSES = 100  # of the browser, signalled or learned: as many checks as ICE allows at all
MAX_WAITING = 600  # datagrams that DTLS has not taken yet
MAX_DATAGRAMS_PER_S = 1_000  # of one socket; a leg ends far below, by what it hears

# What aioice raises for a message whose frame is whole and whose contents are not.
_TROUBLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error)

_ON_LIFE = "_callcenter_on_life"  # an attribute, so that it goes with the connection


class GuardedProtocol(ice.StunProtocol):
    """A socket of one connection, or a relay's."""

    def __init__(self, receiver: ice.Connection) -> None:
        super().__init__(receiver)
        self._proven: set[Address] = set()
        self._rate = SendRate(MAX_DATAGRAMS_PER_S)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Lets a datagram through, or counts it."""
        if isinstance(data, bytes):
            refusal = self._judge(data, (addr[0], addr[1]))
            if refusal is not None:
                refusals.BROWSERS.note(refusal)

    def _judge(self, data: bytes, source: Address) -> Refusal | None:
        kind = kind_of(data)
        if isinstance(kind, Refusal):
            return kind
        if kind is Kind.STUN:
            return self._check(data, source)
        if source not in self._proven or not hasattr(self, "local_candidate"):
            return Refusal.STRANGER  # without a candidate yet, nobody knows of the socket
        if not _is_whole(kind, data):
            return Refusal.MALFORMED
        if self._rate.is_too_high(time.monotonic()):
            return Refusal.FLOOD
        if self.receiver._queue.qsize() >= MAX_WAITING:
            return Refusal.FLOOD
        self.receiver.data_received(data, self.local_candidate.component)
        return None

    def _check(self, data: bytes, source: Address) -> Refusal | None:
        if not is_stun(data):
            return Refusal.MALFORMED
        if not self._may_be_the_browsers(data):
            return Refusal.STRANGER
        try:
            message = stun.parse_message(data)
            if message.message_class is stun.Class.REQUEST:
                return self._request(message, source)
            return self._answer(message, source)
        except _TROUBLE:  # an attribute that is none, or one that is missing
            return Refusal.MALFORMED

    def _may_be_the_browsers(self, data: bytes) -> bool:
        """By what costs nothing: the user name of a request, the number of an answer."""
        if data[0] & 0x01:  # a success or an error (RFC 8489 5)
            return data[8:20] in self.transactions
        return self.receiver.local_username.encode() + b":" in data

    def _request(self, message: stun.Message, source: Address) -> Refusal | None:
        connection = self.receiver
        named = message.attributes.get("USERNAME", "")
        signed = message.check_message_integrity(connection.local_password.encode())
        if not signed or not connection._valid_username(named):
            return Refusal.STRANGER
        if message.message_method is not stun.Method.BINDING:
            return Refusal.MALFORMED
        if "PRIORITY" not in message.attributes:
            return Refusal.MALFORMED
        if self._rate.is_too_high(time.monotonic()) or not self._prove(source):
            return Refusal.FLOOD
        connection.request_received(message, source, self)
        return None

    def _answer(self, message: stun.Message, source: Address) -> Refusal | None:
        transaction = self.transactions.get(message.transaction_id)
        if transaction is None:
            return Refusal.STRANGER
        password = self.receiver.remote_password
        if password is not None and message.check_message_integrity(password.encode()):
            self._prove(source)
        transaction.response_received(message, source)
        return None

    def _prove(self, source: Address) -> bool:
        """The address has the connection's password; False when there are too many of them."""
        if source not in self._proven:
            known = len(self._proven) + len(self.receiver._remote_candidates)
            if known >= 2 * MAX_ADDRESSES:
                return False
            self._proven.add(source)
        lives = getattr(self.receiver, _ON_LIFE, None)
        if lives is not None:
            lives()
        return True


class GuardedTurnProtocol(turn.TurnClientUdpProtocol):
    """The socket towards a TURN server; its source is the server's, or is written to be."""

    def datagram_received(self, data: bytes | str, addr: tuple[str, int]) -> None:
        """Lets a datagram through, or counts it."""
        try:
            super().datagram_received(data, addr)
        except _TROUBLE:  # a STUN attribute that is none
            refusals.BROWSERS.note(Refusal.MALFORMED)


def install() -> None:
    """From now on connections have guarded sockets; before any gathers candidates. Idempotent.

    Raises:
        ConfigurationError: this aioice is built differently.
    """
    if ice.StunProtocol is GuardedProtocol:
        return
    wanted = ("_queue", "_remote_candidates", "_valid_username", "request_received")
    bare = ice.Connection(ice_controlling=False)
    if not all(hasattr(bare, name) for name in wanted):
        raise ConfigurationError(
            "this release of aioice has other sockets than the guard knows; "
            "install the pinned one: pip install 'personaplex-callcenter[webrtc]'"
        )
    vars(ice)["StunProtocol"] = GuardedProtocol
    vars(turn)["TurnClientUdpProtocol"] = GuardedTurnProtocol


def watch(connection: ice.Connection, lives: Callable[[], None]) -> None:
    """Tells of every message that is signed with the connection's password."""
    setattr(connection, _ON_LIFE, lives)


def _is_whole(kind: Kind, data: bytes) -> bool:
    if kind is Kind.DTLS:
        return is_dtls(data)
    return is_rtcp(data, sealed=True) if kind is Kind.RTCP else is_rtp(data, sealed=True)
