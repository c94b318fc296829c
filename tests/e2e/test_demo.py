"""The demo with the rehearsal engine: greeted, heard at once when interrupting, and answered."""

import asyncio
import re
import time
from pathlib import Path

import httpx
import pytest

from callcenter.evaluation.call import place_call
from callcenter.evaluation.plan import CallPlan, CallReport
from callcenter.evaluation.script import Ear, StepSpec, load_step
from callcenter.evaluation.wav import read_wav
from callcenter.media.framer import split
from callcenter.media.units import is_silent
from tests.e2e.programs import HOST, Program, running, sample
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
QUESTION = ROOT / "tests" / "fixtures" / "question_8khz.wav"
GREETING = ROOT / "engine" / "rehearsal_lines" / "greeting.wav"
STOP_WITHIN_S = 0.2
IN_TIME_S = 0.02  # a caller later than a packet tells about this machine, not about the system
ATTEMPTS = 5
FAR_IN_S = 2.5  # the frame boundaries have moved to the ticks by then


async def welcomed(demo: Program) -> tuple[str, str]:
    """Waits for the demo's welcome; the auth token and a number that it shows."""
    give_up_at = time.monotonic() + 40
    while time.monotonic() < give_up_at:
        assert demo.process.poll() is None, demo.said()
        if found := re.search(r"TWILIO_AUTH_TOKEN=(\w+)[\s\S]*--number (\+\d+) ", demo.said()):
            return found[1], found[2]
        await asyncio.sleep(0.1)
    raise AssertionError(f"no welcome: {demo.said()}")


def middle_of_the_greeting_s() -> float:
    """How long a listener must have heard the line to be where it goes on without a pause."""
    packets = split(read_wav(GREETING), 160)
    loud = [not is_silent(packet) for packet in packets]
    ear = Ear()
    for index, packet in enumerate(packets):
        ear.hear(packet)
        deep_in = ear.now_s >= FAR_IN_S and ear.speaking_for_s() >= 1.0
        if deep_in and all(loud[index - 5 : index + 15]):
            return ear.speaking_for_s()
    raise AssertionError(f"{GREETING} has no such place")


async def conversation(server: str, auth_token: str, number: str) -> CallReport:
    """Interrupts the greeting in the middle with a question, and listens to the answer."""
    interrupt = StepSpec(say=QUESTION, when="agent_speaking", seconds=middle_of_the_greeting_s())
    plan = CallPlan(
        server=server,
        public_url=server,
        number=number,
        auth_token=auth_token,
        steps=[load_step(interrupt, Path())],
        hang_up_after_s=4.0,  # longer than question and turn gap: the answer must have come
        max_s=30.0,
    )
    return await place_call(plan)


def judge(report: CallReport) -> None:
    """What every run must show, however slow the machine."""
    assert report.status == "completed", report.detail
    assert report.score is not None
    assert report.score.first_speech_s is not None
    assert report.score.first_speech_s < 3.0, "no greeting"
    assert report.score.turn_gaps_s, "no answer"
    assert report.score.agent_talk_s > 5.0
    assert report.score.missed_bargeins == 0


def is_prompt(report: CallReport) -> bool:
    """Silence within 200 ms of the interruption, and not one packet missing."""
    stops_s = report.score.bargein_stops_s if report.score else []
    in_time = len(stops_s) == 1 and stops_s[0] <= STOP_WITHIN_S
    return in_time and report.packets_missing == 0


def metrics_page(demo: Program) -> str:
    """The gateway's, at the address that the demo names."""
    url = re.search(r"Metrics: (http\S+)", demo.said())
    assert url is not None
    return httpx.get(url[1], trust_env=False).text


def lags(page: str) -> float:
    """How often the gateway's event loop was late by more than a packet, about."""
    in_time = sample(page, 'event_loop_lag_seconds_bucket{le="0.025"}')
    return sample(page, "event_loop_lag_seconds_count") - in_time


def assert_the_metrics_moved(page: str, server: str) -> None:
    """By the call; the port that carriers reach shows none."""
    assert (
        sample(page, 'callcenter_bargein_stop_seconds_count{engine="rehearsal",persona="airline"}')
        >= 1
    )
    assert sample(page, 'media_jitter_buffer_seconds_count{transport="twilio"}') > 100
    assert httpx.get(f"{server}/metrics", trust_env=False).status_code == 404


@pytest.mark.alone
@pytest.mark.timeout(200)
async def test_greeting_interruption_and_answer(tmp_path: Path) -> None:
    """As heard at the caller; a run that this machine spoilt is repeated."""
    port = free_port()
    options = ("--port", str(port), "--admin-port", "0", "--engine", "rehearsal")
    with running(tmp_path / "demo.log", "demo", *options) as demo:
        auth_token, number = await welcomed(demo)
        reports = []
        while len(reports) < ATTEMPTS:
            lags_before = lags(metrics_page(demo))
            report = await conversation(f"http://{HOST}:{port}", auth_token, number)
            judge(report)
            page = metrics_page(demo)
            if is_prompt(report):
                assert_the_metrics_moved(page, f"http://{HOST}:{port}")
                return
            reports.append(report)
            stalled = report.max_late_s > IN_TIME_S or lags(page) > lags_before
            assert stalled, f"too slow, and not for this machine: {report}"
    pytest.fail(f"in none of {ATTEMPTS} calls did this machine keep time: {reports}")
