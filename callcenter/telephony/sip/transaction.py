"""Transactions: a request, its responses, and who repeats what until when (RFC 3261 17, RFC 6026).

Sans-IO: messages in by `receive`, out by `messages_to_send`; `now` is an argument. It knows no
dialog and no SDP: a transaction does not read what it carries.

    server INVITE      proceeding -> completed (3xx-6xx, G H) -> confirmed (I) -> terminated
                                  -> accepted (2xx, L) -> terminated
    server non-INVITE  trying -> completed (J) -> terminated
    client INVITE      calling (A B) -> proceeding -> completed (D) | accepted (M) -> terminated
    client non-INVITE  trying (E F) -> completed (K) -> terminated
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from callcenter.telephony.sip.message import Request, Response, reply
from callcenter.telephony.sip.uri import Peer

T1_S = 0.5  # round trip estimate
T2_S = 4.0  # longest interval between repetitions
T4_S = 5.0  # how long a message may stay in the network
MAGIC_COOKIE = "z9hG4bK"


class State(enum.Enum):
    """Where a transaction stands."""

    TRYING = "trying"  # for a client INVITE: calling
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Key:
    """Names a transaction (RFC 3261 17.1.3, 17.2.3); an ACK and a CANCEL find the INVITE's.

    Attributes:
        source: the host that its request came from: nobody else repeats it, acknowledges it or
            cancels it, though he may know its branch.
    """

    branch: str
    sent_by: str
    call_id: str
    method: str
    source: str = ""


def server_key(request: Request) -> Key:
    """The key of a request that came; an ACK's is its INVITE's."""
    via = request.via
    method = "INVITE" if request.method == "ACK" else request.method
    if not is_rfc2543(request):
        return Key(via.branch, via.sent_by, request.call_id, method, request.source)
    number, _ = request.cseq  # RFC 2543: no branch that would name it
    sender = f"{number}/{request.from_.param('tag')}"
    return Key(sender, via.sent_by, request.call_id, method, request.source)


def is_rfc2543(request: Request) -> bool:
    """Whether it comes from before RFC 3261: no branch names its transaction (RFC 3261 8.1.1.7)."""
    branch = request.via.branch
    return not branch.startswith(MAGIC_COOKIE) or branch == MAGIC_COOKIE


class _Transaction:
    """What the four kinds share: an outbox and two timers."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.state = State.TRYING
        self._outbox: list[bytes] = []
        self._repeat_at: float | None = None
        self._repeat_after_s = T1_S
        self._over_at: float | None = None

    def messages_to_send(self) -> list[bytes]:
        """Hands over what must go out now, in order."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        times = [time for time in (self._repeat_at, self._over_at) if time is not None]
        return min(times, default=None)

    def _repeat_from(self, now: float) -> None:
        if not self.peer.reliable:
            self._repeat_at, self._repeat_after_s = now + T1_S, T1_S

    def _repeated(self, now: float, longest_s: float) -> None:
        self._repeat_after_s = min(2 * self._repeat_after_s, longest_s)
        self._repeat_at = now + self._repeat_after_s

    def _go(self, state: State, over_at: float | None) -> None:
        self.state, self._over_at, self._repeat_at = state, over_at, None

    def _terminate(self) -> None:
        self._go(State.TERMINATED, None)


class ServerTransaction(_Transaction):
    """One request that came to us, of any method but ACK.

    Attributes:
        request: the first copy.
        failed: an INVITE's refusal was never acknowledged.
    """

    def __init__(self, request: Request, peer: Peer, now: float) -> None:
        super().__init__(peer)
        self.request = request
        self.failed = False
        self._last: bytes | None = None
        if request.method == "INVITE":
            self.state = State.PROCEEDING
        else:
            self._over_at = now + 128 * T1_S  # nobody answered: a bound on memory

    def receive(self, request: Request, now: float) -> None:
        """Takes a repetition of the request, or the ACK of a refusal."""
        if request.method == "ACK":
            if self.state is State.COMPLETED:
                self._go(State.CONFIRMED, now + (0.0 if self.peer.reliable else T4_S))
        elif self._last is not None and self.state is not State.CONFIRMED:
            self._outbox.append(self._last)

    def respond(self, response: Response, now: float) -> None:
        """Sends a response; one after the final one is not sent."""
        if self.state not in (State.TRYING, State.PROCEEDING):
            return
        self._last = response.encode()
        self._outbox.append(self._last)
        if response.status < 200:
            self.state = State.PROCEEDING
        elif self.request.method != "INVITE":
            self._go(State.COMPLETED, now + (0.0 if self.peer.reliable else 64 * T1_S))
        elif response.status < 300:  # the call repeats it until the ACK comes
            self._go(State.ACCEPTED, now + 64 * T1_S)
        else:
            self._go(State.COMPLETED, now + 64 * T1_S)
            self._repeat_from(now)

    @property
    def answered(self) -> bool:
        """Whether a final response went out."""
        return self.state not in (State.TRYING, State.PROCEEDING)

    def handle_timer(self, now: float) -> None:
        """Repeats a refusal (G), or ends (H, I, J, L)."""
        if self._over_at is not None and now >= self._over_at:
            self.failed = self.state is State.COMPLETED and self.request.method == "INVITE"
            self._terminate()
        elif self._repeat_at is not None and now >= self._repeat_at and self._last is not None:
            self._outbox.append(self._last)
            self._repeated(now, T2_S)


class ClientTransaction(_Transaction):
    """One request of ours, of any method but ACK.

    Attributes:
        request: as it was sent, with its Via.
        timed_out: no final response came.
    """

    def __init__(self, request: Request, peer: Peer, now: float) -> None:
        super().__init__(peer)
        self.request = request
        self.timed_out = False
        self._data = request.encode()
        self._outbox.append(self._data)
        self._over_at = now + 64 * T1_S  # B, F
        self._repeat_from(now)
        self._ack: bytes | None = None

    @property
    def is_invite(self) -> bool:
        """Whether it is an INVITE's."""
        return self.request.method == "INVITE"

    def give_up(self) -> bool:
        """The transport failed; whether that ends it."""
        if self.state is not State.TRYING:
            return False
        self._terminate()
        return True

    def receive(self, response: Response, now: float) -> bool:
        """Takes a response; whether it is news for whoever sent the request."""
        if self.state is State.ACCEPTED:  # a 2xx again: its ACK is the dialog's
            return response.status // 100 == 2
        if self.state is State.COMPLETED:
            if self._ack is not None:
                self._outbox.append(self._ack)
            return False
        if self.state is State.TERMINATED:
            return False
        if response.status < 200:
            self._proceed()
        else:
            self._finish(response, now)
        return True

    def handle_timer(self, now: float) -> None:
        """Repeats the request (A, E), or ends (B, D, F, K, M)."""
        if self._over_at is not None and now >= self._over_at:
            self.timed_out = self.state in (State.TRYING, State.PROCEEDING)
            self._terminate()
        elif self._repeat_at is not None and now >= self._repeat_at:
            self._outbox.append(self._data)
            slow = self.state is State.PROCEEDING  # a non-INVITE that was heard (17.1.2.2)
            longest_s = 64 * T1_S if self.is_invite else T2_S
            self._repeat_after_s = T2_S if slow else self._repeat_after_s
            self._repeated(now, longest_s)

    def _proceed(self) -> None:
        self.state = State.PROCEEDING
        if self.is_invite:  # it rings: no more repetitions, and no time limit of this layer
            self._repeat_at = self._over_at = None

    def _finish(self, response: Response, now: float) -> None:
        reliable = self.peer.reliable
        if not self.is_invite:
            self._go(State.COMPLETED, now + (0.0 if reliable else T4_S))
        elif response.status < 300:
            self._go(State.ACCEPTED, now + 64 * T1_S)
        else:
            self._go(State.COMPLETED, now + (0.0 if reliable else 64 * T1_S))
            self._ack = ack_of_refusal(self.request, response).encode()
            self._outbox.append(self._ack)


def ack_of_refusal(invite: Request, response: Response) -> Request:
    """The ACK that belongs to the INVITE's own transaction (RFC 3261 17.1.1.3)."""
    number, _ = invite.cseq
    headers = [("via", str(invite.via)), ("max-forwards", "70")]
    headers += [("from", invite.text("from")), ("to", response.text("to"))]
    headers += [("call-id", invite.call_id), ("cseq", f"{number} ACK")]
    headers += [("route", value) for value in invite.listed("route")]
    return Request(headers, b"", "ACK", invite.uri_text)


def timeout_response(request: Request) -> Response:
    """What a transaction that timed out is taken for (RFC 3261 8.1.3.1)."""
    return reply(request, 408, "No answer")


def unreachable_response(request: Request) -> Response:
    """What a transport that fails is taken for (RFC 3261 8.1.3.1)."""
    return reply(request, 503, "Not reached")


def answer_peer(request: Request, peer: Peer) -> Peer:
    """Where responses go: back; without rport to the port that Via names (RFC 3261 18.2.2)."""
    via = request.via
    if peer.reliable or "rport" in via.params:
        return peer
    return Peer(peer.transport, peer.host, via.port or 5060)
