"""A whole call with the rehearsal engine, heard by the test caller."""

import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from callcenter.evaluation.call import place_call
from callcenter.evaluation.plan import CallPlan
from callcenter.evaluation.script import Step, StepSpec, load_step
from callcenter.settings import WorkerSettings
from callcenter.worker import engines
from callcenter.worker.program import Worker
from personas import library

VOICE = library.SHIPPED / "voices" / "joe.wav"


def say() -> Step:
    """Two seconds of speech, as one step of the caller's script."""
    step = load_step(StepSpec(say=VOICE), Path())
    return replace(step, audio=step.audio[:16_000])


@pytest.mark.timeout(60)
async def test_greeting_and_answer(make_stand, redis_url) -> None:
    """The agent greets, and answers the caller's turn."""
    pool = f"pool-{secrets.token_hex(4)}"
    settings = WorkerSettings.load(
        redis_url=redis_url,
        link_secret="link-secret-of-the-tests-0123456789",
        worker_pool=pool,
        worker_port=0,
        worker_http_port=0,
        worker_slots=1,
    )
    async with Worker(settings, engines.build(settings)).running():
        stand = await make_stand(slots=0, gateway_pools=pool)
        plan = CallPlan(
            server=stand.base_url,
            public_url=stand.base_url,
            number="+15550100",
            auth_token="auth-token-of-the-tests",
            steps=[say()],
            max_s=40.0,
        )
        report = await place_call(plan)
    assert report.status == "completed", report.detail
    assert report.first_audio_s is not None
    assert report.first_audio_s < 3.0  # a loaded machine passes too; the benches measure
    assert report.score is not None
    assert report.score.agent_talk_s > 2.0
    assert report.score.turn_gaps_s
