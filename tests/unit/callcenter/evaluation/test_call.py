"""What a test call's exit status says."""

from dataclasses import replace

import numpy as np
import pytest

from callcenter.evaluation.call import exit_status
from callcenter.evaluation.plan import CallReport
from callcenter.evaluation.scoring import score

SILENCE = np.zeros(8_000, np.int16)
NOBODY_SPOKE = score(SILENCE, SILENCE)
AGENT_SPOKE = replace(NOBODY_SPOKE, first_speech_s=0.4)


@pytest.mark.parametrize(
    ("status", "heard", "expect_speech", "wanted"),
    [
        ("completed", AGENT_SPOKE, True, 0),
        ("ended_by_server", AGENT_SPOKE, True, 0),
        ("completed", NOBODY_SPOKE, True, 1),
        ("completed", None, True, 1),
        ("completed", NOBODY_SPOKE, False, 0),
        ("failed", AGENT_SPOKE, False, 1),
        ("refused", None, True, 1),
    ],
)
def test_a_silent_agent_fails_only_where_speech_was_expected(
    status: str, heard, expect_speech: bool, wanted: int
) -> None:
    """And a call that broke is never a success."""
    report = CallReport(status, score=heard)
    assert exit_status(report, expect_speech=expect_speech) == wanted
