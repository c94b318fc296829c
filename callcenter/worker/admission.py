"""The worker's say on who gets a slot: the last word, whatever Redis believes.

A session is admitted only with a genuine session token that names this worker and this process,
with the prompt that the token names, and under a claim that is not older than the last one seen of
that call. A newer claim of a call that is live here supersedes the session it has. A token is good
for one session: that is remembered here and not in Redis, without which a worker works too.

It knows no clock, no network and no engine.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from callcenter.broker.claims import HeldSession
from callcenter.errors import Draining, NoCapacity, Unauthorized
from callcenter.link.protocol import OpenSession, prompt_hash
from callcenter.link.refusals import StaleClaim
from callcenter.link.token import SessionToken, verify

REMEMBERED_CALLS = 10_000
REMEMBERED_PROMPTS = 32
# A token lives for half a minute, in which a worker opens at most some hundred sessions.
REMEMBERED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Which worker process this is.

    Attributes:
        worker_id: its name.
        epoch: its start, in Unix ms.
        slots: its capacity.
    """

    worker_id: str
    epoch: int
    slots: int


class Admission:
    """Judges session tokens and keeps the list of live sessions.

    Args:
        identity: of this process.
        secrets: with which gateways may sign; several while one replaces the other.

    Attributes:
        draining: no new session any more.
    """

    def __init__(self, identity: Identity, secrets: Sequence[str]) -> None:
        self._identity = identity
        self._secrets = secrets
        self._live: dict[str, SessionToken] = {}
        self._fences: OrderedDict[str, int] = OrderedDict()
        self._primed: OrderedDict[str, None] = OrderedDict()
        self._used: OrderedDict[str, None] = OrderedDict()  # ids of tokens
        self.draining = False

    def judge(self, auth_token: str, now_s: float) -> SessionToken:
        """Reads a session token and says whether a session could begin with it now.

        Args:
            auth_token: as it came.
            now_s: Unix time.

        Raises:
            Unauthorized: not genuine, expired, or meant for another worker.
            StaleClaim: used, of another process, or overtaken by a newer claim of the call.
            Draining: no new session.
            NoCapacity: every slot is taken.
        """
        token = verify(auth_token, self._secrets, now_s)
        if token.worker_id != self._identity.worker_id:
            raise Unauthorized(f"the session token is for worker {token.worker_id}")
        if token.epoch != self._identity.epoch:
            raise StaleClaim("this worker was restarted since the claim; claim the slot again")
        self._check_room(token)
        return token

    def enter(self, token: SessionToken, spec: OpenSession) -> SessionToken | None:
        """Takes a place for a session; others may have come since its token was judged.

        Returns:
            The token of the call's older session, which has to end; None if there's none.

        Raises:
            Unauthorized: the opening is about another call or prompt than the token.
            StaleClaim, Draining, NoCapacity: as for `judge`.
        """
        self._check_room(token)
        if spec.call_id != token.call_id:
            raise Unauthorized("the session token is for another call")
        if not token.prompt_hash == spec.prompt_hash == prompt_hash(spec.voice, spec.role_text):
            raise Unauthorized("the session token is for another prompt")
        self._used[token.token_id] = None
        while len(self._used) > REMEMBERED_TOKENS:
            self._used.popitem(last=False)
        self._fences[token.call_id] = token.fencing_token
        self._fences.move_to_end(token.call_id)
        while len(self._fences) > REMEMBERED_CALLS:
            self._fences.popitem(last=False)
        superseded = self._live.get(token.call_id)
        self._live[token.call_id] = token
        return superseded

    def leave(self, token: SessionToken) -> None:
        """Gives the place back, unless a newer session of the call has it."""
        if self._live.get(token.call_id) == token:
            del self._live[token.call_id]

    def remember_prompt(self, name: str) -> None:
        """Notes that the engine has just taken this prompt in."""
        self._primed[name] = None
        self._primed.move_to_end(name)
        while len(self._primed) > REMEMBERED_PROMPTS:
            self._primed.popitem(last=False)

    @property
    def primed(self) -> tuple[str, ...]:
        """Prompts taken in lately: the engine most likely still has them."""
        return tuple(self._primed)

    @property
    def sessions(self) -> tuple[HeldSession, ...]:
        """The live sessions, as heartbeats tell them."""
        return tuple(
            HeldSession(token.call_id, token.fencing_token, token.prompt_hash)
            for token in self._live.values()
        )

    def _check_room(self, token: SessionToken) -> None:
        if token.fencing_token < self._fences.get(token.call_id, 0):
            raise StaleClaim("a newer claim of this call was seen here")
        held = self._live.get(token.call_id)
        if held is not None and token.fencing_token <= held.fencing_token:
            raise StaleClaim("this call already has its session here")
        if token.token_id in self._used:
            raise StaleClaim("this session token has opened a session here before")
        if self.draining:
            raise Draining("this worker takes no new session")
        if held is None and len(self._live) >= self._identity.slots:
            raise NoCapacity(f"all {self._identity.slots} slots are taken")
