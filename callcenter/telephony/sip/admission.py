"""Who may call: trunk, rate, digest, channels (RFC 3261 22). Knows no call and no transaction."""

from __future__ import annotations

from collections import Counter

from callcenter.telephony.sip.auth import DigestServer
from callcenter.telephony.sip.message import BadRequest, Request
from callcenter.telephony.sip.trunk import RateLimit, Trunk, Trunks
from callcenter.telephony.sip.uri import Peer

MAX_CALLS = 2_000


class TurnedAway(BadRequest):
    """A new call that may not come in.

    Attributes:
        code: "unauthorized", "rate", "channels", "draining"; "" for a mere question for a password.
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
        self._rates: dict[str, RateLimit] = {}

    def find(self, peer: Peer) -> Trunk | None:
        """The trunk of a message's source; None for a stranger."""
        return self._trunks.find(peer)

    def judge(self, invite: Request, trunk: Trunk, now: float) -> None:
        """Lets a new call in.

        Raises:
            TurnedAway: with the answer's status and headers.
        """
        if not self._rate(trunk).take(now):
            raise _full(trunk, "rate")
        self._authenticate(invite, trunk, now)
        if self.draining:
            raise _full(trunk, "draining")
        if self._channels[trunk.name] >= trunk.max_channels:
            raise _full(trunk, "channels")
        if self._channels.total() >= MAX_CALLS:
            raise _full(trunk, "channels")

    def took(self, trunk: Trunk) -> None:
        """A call uses a channel."""
        self._channels[trunk.name] += 1

    def freed(self, trunk: Trunk) -> None:
        """A call is over."""
        self._channels[trunk.name] -= 1

    def _rate(self, trunk: Trunk) -> RateLimit:
        rate = self._rates.get(trunk.name)
        if rate is None:
            rate = RateLimit(trunk.invites_per_s, 2 * trunk.invites_per_s)
            self._rates[trunk.name] = rate
        return rate

    def _authenticate(self, invite: Request, trunk: Trunk, now: float) -> None:
        if trunk.credentials is None:
            return
        proof = invite.get("authorization")
        verdict = self._digest.verify("INVITE", proof, trunk.credentials, now)
        if verdict is None:
            return
        challenges = self._digest.challenges(now, stale=verdict == "stale")
        headers = tuple(("www-authenticate", challenge) for challenge in challenges)
        asked = verdict in ("missing", "stale")  # which is how every call begins
        raise TurnedAway(401, "" if asked else "unauthorized", headers)


def _full(trunk: Trunk, code: str) -> TurnedAway:
    status = trunk.no_capacity_status
    after = ("retry-after", str(trunk.retry_after_s))
    return TurnedAway(status, code, (after, ("reason", f'SIP;cause={status};text="{code}"')))
