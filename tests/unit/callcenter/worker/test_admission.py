"""The worker's last word on who gets a slot."""

import pytest

from callcenter.broker.claims import HeldSession
from callcenter.errors import CallcenterError, Draining, NoCapacity, Unauthorized
from callcenter.link.protocol import OpenSession, prompt_hash
from callcenter.link.refusals import StaleClaim
from callcenter.link.token import SessionToken, sign
from callcenter.worker.admission import (
    REMEMBERED_PROMPTS,
    REMEMBERED_TOKENS,
    Admission,
    Identity,
)

SECRET = "s" * 32
PROMPT = prompt_hash("nora", "Be kind.")


def token(call_id: str = "CA1", fencing_token: int = 1, **fields: object) -> SessionToken:
    """A token for worker w1 in its epoch 7."""
    right = {
        "call_id": call_id,
        "worker_id": "w1",
        "epoch": 7,
        "fencing_token": fencing_token,
        "prompt_hash": PROMPT,
        "expires_at_s": 100.0,
        "token_id": f"{call_id}-{fencing_token}",
    }
    return SessionToken.model_validate(right | fields)


def opening(call_id: str = "CA1", **fields: str) -> OpenSession:
    """The opening that goes with it."""
    right = {
        "call_id": call_id,
        "persona": "bank",
        "persona_version": "1",
        "role_text": "Be kind.",
        "voice": "nora",
        "prompt_hash": PROMPT,
    }
    return OpenSession.model_validate(right | fields)


@pytest.fixture
def admission() -> Admission:
    """Worker w1, epoch 7, two slots."""
    return Admission(Identity("w1", epoch=7, slots=2), [SECRET])


def judge(admission: Admission, shown: SessionToken) -> SessionToken:
    """Judges a token at 50 s."""
    return admission.judge(sign(shown, SECRET), now_s=50.0)


def test_a_right_token_passes(admission: Admission) -> None:
    """And comes back read."""
    assert judge(admission, token()) == token()


@pytest.mark.parametrize(
    ("shown", "error", "words"),
    [
        (token(worker_id="w2"), Unauthorized, "for worker w2"),
        (token(epoch=6), StaleClaim, "restarted"),
        (token(epoch=8), StaleClaim, "restarted"),
        (token(expires_at_s=50.0), Unauthorized, "expired"),
    ],
)
def test_other_workers_processes_and_times_are_refused(
    admission: Admission, shown: SessionToken, error: type[CallcenterError], words: str
) -> None:
    """Each with its own error."""
    with pytest.raises(error, match=words) as caught:
        judge(admission, shown)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "spec",
    [
        opening(call_id="CA2"),
        opening(role_text="Be rude."),
        opening(voice="tom"),
        opening(prompt_hash="0" * 16),
        opening(role_text="Be rude.", prompt_hash=prompt_hash("nora", "Be rude.")),
    ],
)
def test_the_opening_must_be_what_the_token_is_about(
    admission: Admission, spec: OpenSession
) -> None:
    """Neither another call nor another prompt can be slipped in; nothing is taken."""
    with pytest.raises(Unauthorized, match="for another"):
        admission.enter(token(), spec)
    assert admission.sessions == ()


def test_a_call_has_one_session_at_a_time(admission: Admission) -> None:
    """The same claim twice is refused, also between judging and entering."""
    assert admission.enter(token(), opening()) is None
    for refused in (lambda: judge(admission, token()), lambda: admission.enter(token(), opening())):
        with pytest.raises(StaleClaim, match="already has its session"):
            refused()


def test_a_newer_claim_supersedes_and_the_older_never_comes_back(admission: Admission) -> None:
    """Even after both sessions are over."""
    older, newer = token(fencing_token=3), token(fencing_token=4)
    admission.enter(older, opening())
    assert admission.enter(newer, opening()) == older
    admission.leave(older)
    assert admission.sessions == (HeldSession("CA1", 4, PROMPT),)
    admission.leave(newer)
    assert admission.sessions == ()
    with pytest.raises(StaleClaim, match="newer claim"):
        judge(admission, older)
    another = token(fencing_token=4, token_id="signed anew")
    assert judge(admission, another) == another


def test_a_token_opens_one_session(admission: Admission) -> None:
    """Also after that session is over: whoever recorded it gets nothing."""
    admission.enter(token(), opening())
    admission.leave(token())
    for refused in (lambda: judge(admission, token()), lambda: admission.enter(token(), opening())):
        with pytest.raises(StaleClaim, match="opened a session here before"):
            refused()
    assert judge(admission, token(token_id="signed anew")).call_id == "CA1"


def test_what_is_remembered_of_tokens_is_bounded(admission: Admission) -> None:
    """The oldest is forgotten first, long after it has expired."""
    for number in range(REMEMBERED_TOKENS + 1):
        shown = token(token_id=f"t{number}", fencing_token=number + 1)
        admission.enter(shown, opening())
        admission.leave(shown)
    assert len(admission._used) == REMEMBERED_TOKENS
    assert "t0" not in admission._used


def test_slots_are_counted_by_calls(admission: Admission) -> None:
    """A third call is too many; a newer claim of a live one is not."""
    admission.enter(token("CA1"), opening("CA1"))
    admission.enter(token("CA2"), opening("CA2"))
    with pytest.raises(NoCapacity, match="all 2 slots"):
        judge(admission, token("CA3"))
    assert judge(admission, token("CA2", fencing_token=2)).call_id == "CA2"
    admission.leave(token("CA1"))
    assert judge(admission, token("CA3")).call_id == "CA3"


def test_draining_refuses_whoever_is_not_in_yet(admission: Admission) -> None:
    """Those who are in stay."""
    admission.enter(token("CA1"), opening("CA1"))
    admission.draining = True
    with pytest.raises(Draining):
        judge(admission, token("CA2"))
    assert len(admission.sessions) == 1


def test_the_latest_prompts_are_remembered(admission: Admission) -> None:
    """As many as an engine can be expected to keep, the latest last."""
    for number in range(REMEMBERED_PROMPTS + 2):
        admission.remember_prompt(str(number))
    admission.remember_prompt("5")
    assert len(admission.primed) == REMEMBERED_PROMPTS
    assert admission.primed[-1] == "5"
    assert not {"0", "1"} & set(admission.primed)
