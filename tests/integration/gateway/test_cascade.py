"""The cascade engine behind a whole call path, with a persona that has no dialogue."""

import secrets
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from callcenter.evaluation.call import place_call
from callcenter.evaluation.plan import CallPlan
from callcenter.evaluation.script import Step
from callcenter.worker import engines
from callcenter.worker.program import Worker
from personas import library
from tests.hearing import words
from tests.integration.gateway.conftest import AUTH_TOKEN, NUMBER, one_slot
from tests.recordings import caller

PERSONA = """\
name: bank
title: Bank without a dialogue
language: en
voice: joe
greeting: Good morning, this is the bank.
role_text: You work for a bank.
"""


def only_a_persona(folder: Path) -> Path:
    """A folder of personas with one in it, which a duplex model could play."""
    shutil.copytree(library.SHIPPED / "voices", folder / "voices")
    (folder / "templates").mkdir()
    (folder / "templates" / "bank.yaml").write_text(PERSONA)
    return folder


@pytest.mark.alone
@pytest.mark.timeout(150)
@pytest.mark.computes_on_loop("the engine is built, and its lines are heard, in this process")
async def test_a_persona_without_a_dialogue_says_so(
    make_stand, redis_url, tmp_path, caplog
) -> None:
    """It greets, says that it can't answer, and the log names the persona."""
    pool, heard = f"pool-{secrets.token_hex(4)}", tmp_path / "heard.wav"
    personas_dir = only_a_persona(tmp_path / "personas")
    settings = one_slot(redis_url, pool, engine="cascade", personas_dir=personas_dir)
    with capture_logs():
        engine = engines.build(settings)
        async with Worker(settings, engine).running():
            stand = await make_stand(slots=0, gateway_pools=pool, personas_dir=personas_dir)
            question = Step(caller("heldout/bank-000-flite-slt.wav"), "", "agent_done", 0.7, 20.0)
            plan = CallPlan(
                *(stand.base_url, stand.base_url, NUMBER, AUTH_TOKEN),
                steps=[question],
                out=heard,
                hang_up_after_s=3.0,
                max_s=45.0,
            )
            report = await place_call(plan)
    assert report.status == "completed", report.detail
    said = words(heard)
    assert "good morning" in said
    assert "can't answer" in said or "colleague" in said, said
    (warning,) = [line for line in caplog.records if "without_dialogue" in line.getMessage()]
    assert warning.persona == "bank"
