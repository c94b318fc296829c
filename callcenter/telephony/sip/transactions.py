"""The table of all transactions: which message belongs to which, and when each is due.

Bounded: a stranger cannot make it grow without end. It knows no call; the owner of a request of
ours is handed back with what came of it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Generic, TypeVar

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.message import Request, Response
from callcenter.telephony.sip.networks import is_address
from callcenter.telephony.sip.timers import Timers
from callcenter.telephony.sip.transaction import (
    ClientTransaction,
    Key,
    ServerTransaction,
    State,
    answer_peer,
    server_key,
    timeout_response,
    unreachable_response,
)
from callcenter.telephony.sip.uri import Peer

MAX_TRANSACTIONS = 20_000
VIA_WITHIN_BYTES = 2_048  # of a response: its topmost Via, which is ours

_BRANCH = re.compile(rb"branch=([!-:<-~]{1,100})")

Owner = TypeVar("Owner")


class Transactions(Generic[Owner]):
    """All transactions of one endpoint."""

    def __init__(self) -> None:
        self._servers: dict[Key, ServerTransaction] = {}
        self._clients: dict[Key, tuple[ClientTransaction, Owner]] = {}
        self._asked: Counter[str] = Counter()  # hosts that owe us a response
        self._by_name: Counter[bytes] = Counter()  # branches of requests to hosts of no address
        self._timers: Timers[ServerTransaction | ClientTransaction] = Timers()
        self._outgoing: list[tuple[Peer, bytes]] = []
        self._silent: list[Peer] = []

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    def outgoing(self) -> list[tuple[Peer, bytes]]:
        """Hands over what must be sent, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def silent(self) -> list[Peer]:
        """Hands over the hops that left a request of ours without an answer."""
        silent, self._silent = self._silent, []
        return silent

    def send(self, peer: Peer, data: bytes) -> None:
        """Sends what has no transaction: an ACK of a 2xx, a 2xx once more."""
        self._outgoing.append((peer, data))

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        return self._timers.next_timer()

    def handle_timer(self, now: float) -> list[tuple[Owner, Request, Response]]:
        """Does what is due; gives the requests of ours that nobody answered, with a 408."""
        failed = []
        for transaction in self._timers.pop_due(now):
            transaction.handle_timer(now)
            if isinstance(transaction, ServerTransaction):
                self._tend_server(transaction)
                continue
            owner = self._tend_client(transaction)
            if owner is not None and transaction.timed_out:
                request = transaction.request
                self._silent.append(transaction.peer)
                failed.append((owner, request, timeout_response(request)))
        return failed

    # --- requests that come -----------------------------------------------------------------------

    def repeats(self, request: Request, now: float) -> bool:
        """Gives a copy of a request, or the ACK of a refusal, to its transaction.

        Returns:
            Whether that was all; the ACK of a 2xx is the call's.
        """
        known = self._servers.get(server_key(request))
        if known is None:
            return False
        known.receive(request, now)
        self._tend_server(known)
        return request.method != "ACK" or known.state is not State.ACCEPTED

    def open(self, request: Request, peer: Peer, now: float) -> None:
        """A new request: its responses will carry where it really came from.

        Raises:
            ProtocolError: the table is full.
        """
        if len(self._servers) >= MAX_TRANSACTIONS:
            raise ProtocolError(f"more than {MAX_TRANSACTIONS} transactions are under way")
        back, key = answer_peer(request, peer), server_key(request)
        _, *others = request.listed("via")
        vias = [("via", str(request.via.stamped(peer)))] + [("via", via) for via in others]
        request.headers = vias + [(n, v) for n, v in request.headers if n != "via"]
        transaction = ServerTransaction(request, back, now)
        self._servers[key] = transaction
        self._tend_server(transaction)

    def invite_of(self, cancel: Request) -> Request | None:
        """The INVITE that a CANCEL means: it has its branch (RFC 3261 9.2)."""
        own = server_key(cancel)
        found = self._servers.get(replace(own, method="INVITE"))
        return found.request if found is not None else None

    def respond(self, request: Request, response: Response, now: float) -> None:
        """Answers a request."""
        transaction = self._servers.get(server_key(request))
        if transaction is not None:
            transaction.respond(response, now)
            self._tend_server(transaction)

    # --- requests of ours -------------------------------------------------------------------------

    def ask(self, request: Request, peer: Peer, owner: Owner, now: float) -> None:
        """Sends a request that has its Via."""
        transaction = ClientTransaction(request, peer, now)
        key = _client_key(request)
        self._forget(self._clients.pop(key, None))
        self._clients[key] = (transaction, owner)
        self._asked[peer.host] += 1
        if not is_address(peer.host):
            self._by_name[key.branch.encode()] += 1
        self._tend_client(transaction)

    def awaits(self, data: bytes, peer: Peer) -> bool:
        """Whether a message may be the response to a request of ours, by its looks alone.

        Its host has been asked; or was asked by a name, and then the response has the branch, of
        64 random bits, that only who got the request can know.
        """
        if not data.startswith(b"SIP/2.0 "):
            return False
        if self._asked[peer.host]:
            return True
        branch = _BRANCH.search(data, 0, VIA_WITHIN_BYTES) if self._by_name else None
        return branch is not None and branch[1] in self._by_name

    def asked(self, response: Response) -> tuple[Owner, Peer] | None:
        """Who sent the request of a response, and where; None for a response to nothing."""
        found = self._clients.get(_client_key(response))
        return (found[1], found[0].peer) if found is not None else None

    def receive_response(self, response: Response, now: float) -> tuple[Owner, Request] | None:
        """Takes a response; whom it is news for, and to which request. A stray is nobody's."""
        found = self._clients.get(_client_key(response))
        if found is None:
            return None
        transaction, owner = found
        news = transaction.receive(response, now)
        self._tend_client(transaction)
        return (owner, transaction.request) if news else None

    def unreachable(self, peer: Peer) -> list[tuple[Owner, Request, Response]]:
        """A hop cannot be reached: the requests of ours that end by that, with a 503."""
        failed = []
        for transaction, owner in list(self._clients.values()):
            if transaction.peer == peer and transaction.give_up():
                self._tend_client(transaction)
                request = transaction.request
                failed.append((owner, request, unreachable_response(request)))
        return failed

    # --- upkeep -----------------------------------------------------------------------------------

    def _tend_server(self, transaction: ServerTransaction) -> None:
        self._flush(transaction)
        if transaction.state is State.TERMINATED:
            self._timers.arm(transaction, None)
            self._servers.pop(server_key(transaction.request), None)

    def _tend_client(self, transaction: ClientTransaction) -> Owner | None:
        """Sends what it wants sent; its owner once it is over."""
        self._flush(transaction)
        if transaction.state is not State.TERMINATED:
            return None
        self._timers.arm(transaction, None)
        found = self._clients.pop(_client_key(transaction.request), None)
        return self._forget(found)

    def _forget(self, found: tuple[ClientTransaction, Owner] | None) -> Owner | None:
        if found is None:
            return None
        transaction, owner = found
        self._asked -= Counter((transaction.peer.host,))  # what is none any more goes
        self._by_name -= Counter((transaction.request.via.branch.encode(),))
        return owner

    def _flush(self, transaction: ServerTransaction | ClientTransaction) -> None:
        self._outgoing += [(transaction.peer, data) for data in transaction.messages_to_send()]
        self._timers.arm(transaction, transaction.next_timer())


def _client_key(message: Request | Response) -> Key:
    """RFC 3261 17.1.3: the branch of our Via, and the method of CSeq."""
    _, method = message.cseq
    return Key(message.via.branch, "", message.call_id, method)
