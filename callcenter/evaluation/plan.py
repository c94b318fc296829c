"""What a test call is to do, and what is told of it afterwards.

Values only, and how the command line's options become a plan. Knows no protocol.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from callcenter.errors import ConfigurationError
from callcenter.evaluation.scoring import Score
from callcenter.evaluation.script import Step, StepSpec, load_script, load_step


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One call to be made.

    Attributes:
        server: base URL to connect to.
        public_url: base URL that signatures are made over; the server's PUBLIC_BASE_URL.
        number: E.164 number to call.
        auth_token: the Twilio account's secret, shared with the server.
        steps: what to say and press.
        caller: E.164 number to call from.
        out: where to write what was heard, a WAV; None for nowhere.
        stereo: caller on the left, agent on the right, instead of the agent alone.
        hang_up_after_s: silence after the last answer, before hanging up.
        answer_patience_s: how long to wait for that answer.
        max_s: hang up after this in any case.
    """

    server: str
    public_url: str
    number: str
    auth_token: str = field(repr=False)
    steps: Sequence[Step] = ()
    caller: str = "+15005550006"
    out: Path | None = None
    stereo: bool = False
    hang_up_after_s: float = 1.5
    answer_patience_s: float = 10.0
    max_s: float = 120.0


@dataclass(frozen=True, slots=True)
class CallReport:
    """How it went.

    Attributes:
        status: "completed" (we hung up), "ended_by_server" (in order), "refused", "failed".
        detail: the reason, where it was not completed.
        duration_s: of the media stream.
        packets_sent: 20 ms packets of the caller.
        audio_received_s: seconds of audio that came back.
        packets_missing: 20 ms packets that the caller's ear had to fill with silence although
            more audio came afterwards.
        first_audio_s: stream start -> first audio message.
        marks_echoed, clears, dtmf_sent: counts.
        max_backlog_s: the longest that audio waited in the playout buffer.
        max_late_s: the longest that this program was behind its own clock; figures of a run with
            more than 0.02 here tell about this machine, not about the system under test.
        score: turns and barge-ins, as heard; None without a stream.
    """

    status: str
    detail: str = ""
    call_sid: str = ""
    duration_s: float = 0.0
    packets_sent: int = 0
    audio_received_s: float = 0.0
    packets_missing: int = 0
    first_audio_s: float | None = None
    marks_echoed: int = 0
    clears: int = 0
    dtmf_sent: int = 0
    max_backlog_s: float = 0.0
    max_late_s: float = 0.0
    score: Score | None = None

    def to_json(self) -> str:
        """One line; the score's fields stand beside the others."""
        flat = asdict(self)
        flat.update(flat.pop("score") or {})
        return json.dumps(flat)


def steps_from_options(
    wavs: Sequence[Path], interruptions: Sequence[str], dtmf: str, script: Path | None
) -> list[Step]:
    """Puts the command line's options into one list: WAVs, interruptions, digits, script.

    Args:
        wavs: each spoken when the agent has finished.
        interruptions: each "FILE" or "FILE@SECONDS": spoken when the agent has been speaking for
            so long, 1 s by default.
        dtmf: digits pressed after all that.
        script: a script file, worked through last.

    Raises:
        ConfigurationError: a file or an option is wrong; names it.
    """
    here = Path()
    specs = [StepSpec(say=wav) for wav in wavs]
    specs += [_interruption(text) for text in interruptions]
    try:
        specs += [StepSpec(dtmf=dtmf)] if dtmf else []
    except ValueError as error:
        raise ConfigurationError(f"--dtmf: {error}") from error
    steps = [load_step(spec, here) for spec in specs]
    return steps + (load_script(script) if script else [])


def _interruption(text: str) -> StepSpec:
    path, _, seconds = text.partition("@")
    try:
        return StepSpec(say=Path(path), when="agent_speaking", seconds=float(seconds or "1.0"))
    except ValueError as error:
        raise ConfigurationError(f"--interrupt {text!r}: use FILE or FILE@SECONDS") from error
