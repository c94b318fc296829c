"""The demo with the cascade engine: a recorded caller asks, and hears the right answer."""

import asyncio
import re
from pathlib import Path

import pytest
import typer

from callcenter.evaluation.call import place_call
from callcenter.evaluation.plan import CallPlan, CallReport
from callcenter.evaluation.script import Step, When
from tests.e2e.programs import HOST, Program, running
from tests.hearing import words
from tests.recordings import caller
from tests.servers import free_port

LINES = Path(__file__).parents[2] / ".cache" / "lines"  # rendered once, then kept for later runs
START_S = 150


async def welcomed(demo: Program) -> tuple[str, str]:
    """Waits for the demo's welcome; the auth token and the bank's number."""
    for _ in range(START_S * 10):
        assert demo.process.poll() is None, demo.said()
        if found := re.search(r"(\+\d+)  bank[\s\S]*TWILIO_AUTH_TOKEN=(\w+)", demo.said()):
            return found[2], found[1]
        await asyncio.sleep(0.1)
    raise AssertionError(f"no welcome: {demo.said()}")


def say(name: str, when: When = "agent_done", seconds: float = 0.7) -> Step:
    """One recording as a step of the caller's script."""
    return Step(caller(name), "", when, seconds, patience_s=20.0)


@pytest.mark.alone
@pytest.mark.timeout(330)
@pytest.mark.computes_on_loop("it waits for the demo to start, before anybody calls")
async def test_question_answer_and_interruption(tmp_path: Path, capsys) -> None:
    """The caller asks for the opening hours, and reports a lost card into the answer."""
    port, heard = free_port(), tmp_path / "heard.wav"
    ports = ("--port", str(port), "--admin-port", "0")
    arguments = ("demo", *ports, "--engine", "cascade")
    with running(tmp_path / "demo.log", *arguments, CASCADE_CACHE_DIR=LINES) as demo:
        auth_token, number = await welcomed(demo)
        assert "not PersonaPlex" in demo.said()
        server = f"http://{HOST}:{port}"
        steps = [
            say("heldout/bank-001-flite-rms.wav"),  # do you guys open on saturdays at all
            # my debit card went missing yesterday
            say("heldout/bank-000-flite-slt.wav", "agent_speaking", 1.5),
        ]
        plan = CallPlan(
            *(server, server, number, auth_token, steps),
            out=heard,
            hang_up_after_s=8.0,  # longer than question and turn gap: the answer must have come
            max_s=90.0,
        )
        report = await place_call(plan)
        with capsys.disabled():
            typer.echo(report.to_json())
        judge(report, words(heard))


def judge(report: CallReport, said: str) -> None:
    """What a call must show, however slow the machine."""
    assert report.status == "completed", report.detail
    assert report.score is not None
    assert "branches are open" in said, said
    assert "saturday" not in said, f"the answer went on to its end: {said}"
    assert "block" in said, said
    assert report.score.turn_gaps_s, report
    assert report.score.bargeins >= 1, report
    assert report.score.missed_bargeins == 0, report
    assert max(report.score.bargein_stops_s) < 1.0, report
