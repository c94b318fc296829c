"""From the command line's options to a plan; from a report to a line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from callcenter.errors import ConfigurationError
from callcenter.evaluation.plan import CallPlan, CallReport, steps_from_options
from callcenter.evaluation.scoring import score
from callcenter.evaluation.wav import write_wav

LOUD = np.full(160, 8_000, np.int16)
SILENT = np.zeros(160, np.int16)


def test_options_become_steps_in_order(tmp_path: Path) -> None:
    """WAVs, interruptions, digits, script."""
    wav = tmp_path / "a.wav"
    write_wav(wav, [LOUD])
    script = tmp_path / "s.yaml"
    script.write_text("- say: a.wav\n")
    steps = steps_from_options([wav], [f"{wav}@2.5", str(wav)], "7", script)
    assert [(s.when, s.seconds) for s in steps] == [
        ("agent_done", 0.7),
        ("agent_speaking", 2.5),
        ("agent_speaking", 1.0),
        ("agent_done", 0.7),
        ("agent_done", 0.7),
    ]
    assert steps[3].digits == "7"


def test_an_interruption_begins_with_its_voice(tmp_path: Path) -> None:
    """Silence at the file's start would make it late; other steps keep theirs."""
    wav = tmp_path / "late.wav"
    write_wav(wav, [np.concatenate((np.tile(SILENT, 40), LOUD, SILENT))])
    said, cut_in = steps_from_options([wav], [str(wav)], "", None)
    assert not said.audio[:6_400].any()
    assert cut_in.audio[:160].any()
    write_wav(wav, [SILENT])
    assert not steps_from_options([], [str(wav)], "", None)[0].audio.any()


@pytest.mark.parametrize(
    ("interruptions", "dtmf", "named"), [(["a.wav@soon"], "", "--interrupt"), ([], "1x", "--dtmf")]
)
def test_wrong_options_are_named(interruptions: list[str], dtmf: str, named: str) -> None:
    """With what was given."""
    with pytest.raises(ConfigurationError, match=named):
        steps_from_options([], interruptions, dtmf, None)


def test_a_report_is_one_flat_line() -> None:
    """The score's fields stand beside the others; a refused call has none."""
    report = CallReport("completed", packets_sent=7, score=score(SILENT, SILENT))
    line = json.loads(report.to_json())
    assert "\n" not in report.to_json()
    assert (line["status"], line["packets_sent"], line["turn_gaps_s"]) == ("completed", 7, [])
    assert "score" not in line
    assert json.loads(CallReport("refused", "busy").to_json())["detail"] == "busy"


def test_a_plan_does_not_show_its_secret() -> None:
    """Plans end up in logs and tracebacks."""
    assert "s3cret" not in repr(CallPlan("http://x", "http://x", "+1", auth_token="s3cret"))
