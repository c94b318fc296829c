"""Who may speak, and who may call: address, rate, digest, channels (RFC 3261 22).

    any message     its host is a trunk's, or a call's whose trunk has gone       else no answer
                    not more than MESSAGES_PER_INVITE for each INVITE a second    else no answer
                    to an open trunk without a call: less, and a bound for all    else no answer
    a new call      for a trunk with a login: proven, within the rate of a host   else 401, 503
                    within the trunk's rate, half-open calls and channels         else 503

Knows no call and no transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from callcenter.telephony.sip.auth import Credentials, DigestServer
from callcenter.telephony.sip.host_rates import HostRates
from callcenter.telephony.sip.message import BadRequest, Request
from callcenter.telephony.sip.networks import is_address
from callcenter.telephony.sip.trunk import RateLimit, Trunk, Trunks
from callcenter.telephony.sip.uri import Peer

MAX_CALLS = 2_000
MESSAGES_PER_INVITE = 50  # a call with holds, keys and refreshes has some 30
LEAST_MESSAGES_PER_S = 200.0  # also of registrars, and of calls whose trunk has gone
NEWCOMER_PER_S = 20.0  # messages of a host that is in no call, to a trunk without addresses
NEWCOMERS_PER_S = 500.0  # ... of all such hosts together: a tenth of a core
MIN_HALF_OPEN = 4


class TurnedAway(BadRequest):
    """A new call that may not come in.

    Attributes:
        code: "unauthorized", "rate", "half_open", "channels", "draining", "route"; "" for a mere
            question for a password.
    """

    def __init__(
        self, status: int, code: str, headers: tuple[tuple[str, str], ...], reason: str = ""
    ) -> None:
        super().__init__(status, reason, headers)
        self.code = code


class Admission:
    """Counts and judges.

    Args:
        trunks: who may call.
        digest: judges credentials.

    Attributes:
        draining: no new call comes in.
    """

    def __init__(self, trunks: Trunks, digest: DigestServer) -> None:
        self.draining = False
        self._trunks = trunks
        self._digest = digest
        self._channels: Counter[str] = Counter()
        self._carried: Counter[Trunk] = Counter()  # as they were when their calls began
        self._rates: dict[str, RateLimit] = {}
        self._messages, self._unproven = HostRates(), HostRates()
        self._newcomers = RateLimit(NEWCOMERS_PER_S, 2 * NEWCOMERS_PER_S)

    def find(self, peer: Peer) -> Trunk | None:
        """The trunk of a message's source; None for a stranger."""
        return self._trunks.find(peer)

    def knows(self, peer: Peer) -> bool:
        """Whether a message from there is read: a trunk's, or one's that still has calls."""
        if self._trunks.find(peer) is not None:
            return True
        return any(trunk.serves(peer) for trunk in self._carried)

    def knows_host(self, host: str) -> bool:
        """Whether a host may open a connection."""
        return self._trunks.knows(host) or any(trunk.knows(host) for trunk in self._carried)

    def has_time_for(self, peer: Peer, is_expected: Callable[[], bool], now: float) -> bool:
        """Takes one message from a host's rate; False when too many come to be read.

        Args:
            peer: where it came from.
            is_expected: whether its host is in a call, or the message answers us.
            now: seconds.
        """
        trunk = self._trunks.find(peer)
        newcomer = trunk is not None and trunk.is_open and peer.host not in trunk.names
        if newcomer and not is_expected():
            own = self._messages.take(peer.host, NEWCOMER_PER_S, 2 * NEWCOMER_PER_S, now)
            return own and self._newcomers.take(now)
        invites_per_s = trunk.invites_per_s if trunk is not None else 0.0
        per_s = max(LEAST_MESSAGES_PER_S, MESSAGES_PER_INVITE * invites_per_s)
        return self._messages.take(peer.host, per_s, 2 * per_s, now)

    def judge(self, invite: Request, trunk: Trunk, peer: Peer, half_open: int, now: float) -> None:
        """Lets a new call in.

        Args:
            invite: the request.
            trunk: whose it is.
            peer: where it came from.
            half_open: calls of the trunk that we have answered, and nobody has acknowledged: with a
                forged address somebody else's INVITEs would hold every channel for 32 s.
            now: seconds.

        Raises:
            TurnedAway: with the answer's status and headers.
            ProtocolError: a Record-Route that is none.
        """
        if trunk.credentials is not None:  # who has not proven it uses up nothing of the trunk's
            self._authenticate(invite, trunk, trunk.credentials, peer, now)
        if not self._rate(trunk).take(now):
            raise _full(trunk, "rate")
        _check_way_back(invite, trunk, peer)
        if self.draining:
            raise _full(trunk, "draining")
        if half_open >= max(MIN_HALF_OPEN, trunk.invites_per_s):
            raise _full(trunk, "half_open")
        if self._channels[trunk.name] >= trunk.max_channels:
            raise _full(trunk, "channels")
        if self._channels.total() >= MAX_CALLS:
            raise _full(trunk, "channels")

    def took(self, trunk: Trunk) -> None:
        """A call uses a channel."""
        self._channels[trunk.name] += 1
        self._carried[trunk] += 1

    def freed(self, trunk: Trunk) -> None:
        """A call is over."""
        self._channels[trunk.name] -= 1
        self._carried -= Counter((trunk,))

    def _rate(self, trunk: Trunk) -> RateLimit:
        rate = self._rates.get(trunk.name)
        if rate is None or rate.per_s != trunk.invites_per_s:
            rate = RateLimit(trunk.invites_per_s, _burst(trunk))
            self._rates[trunk.name] = rate
        return rate

    def _authenticate(
        self, invite: Request, trunk: Trunk, credentials: Credentials, peer: Peer, now: float
    ) -> None:
        proof = invite.get("authorization")
        verdict = self._digest.verify("INVITE", proof, credentials, now)
        if verdict is None:
            return
        if not self._unproven.take(peer.host, trunk.invites_per_s, _burst(trunk), now):
            raise _full(trunk, "rate")
        challenges = self._digest.challenges(now, stale=verdict == "stale")
        headers = tuple(("www-authenticate", challenge) for challenge in challenges)
        asked = verdict in ("missing", "stale")  # which is how every call begins
        raise TurnedAway(401, "" if asked else "unauthorized", headers)


def _burst(trunk: Trunk) -> float:
    """New calls at once: those of two seconds, and at least one."""
    return max(1.0, 2 * trunk.invites_per_s)


def _check_way_back(invite: Request, trunk: Trunk, peer: Peer) -> None:
    """Refuses a Record-Route of an address that is none of the trunk's.

    Requests of ours would have to go to whatever host an INVITE names. A name is let through: it is
    not looked up, our requests go to where the INVITE came from (see `Dialog.next_hop`). So they do
    over a connection of ours to a registrar that is known by its name alone.
    """
    if not is_address(peer.host):
        return
    routes = invite.record_routes
    hop = routes[0].uri.peer() if routes else peer
    if not is_address(hop.host) or trunk.carries(replace(hop, transport=peer.transport), peer):
        return
    text = 'SIP;cause=403;text="Record-Route leads out of the networks of the trunk"'
    raise TurnedAway(403, "route", (("reason", text),))


def _full(trunk: Trunk, code: str) -> TurnedAway:
    status = trunk.no_capacity_status
    after = ("retry-after", str(trunk.retry_after_s))
    return TurnedAway(status, code, (after, ("reason", f'SIP;cause={status};text="{code}"')))
