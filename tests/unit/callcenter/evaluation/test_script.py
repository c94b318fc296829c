"""The test caller's mouth and ear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from callcenter.errors import ConfigurationError
from callcenter.evaluation.script import Ear, Mouth, Step, When, load_script
from callcenter.evaluation.wav import write_wav

LOUD = np.full(160, 8_000, np.int16)
SILENT = np.zeros(160, np.int16)


def say(packets: int, when: When, seconds: float, patience_s: float = 10.0) -> Step:
    """A step of some packets of sound."""
    return Step(np.full(160 * packets, 5_000, np.int16), "", when, seconds, patience_s)


def press(digits: str, when: When = "call_time", seconds: float = 0.0) -> Step:
    """A step of some keys."""
    return Step(np.zeros(0, np.int16), digits, when, seconds, 10.0)


def converse(mouth: Mouth, agent: list[tuple[bool, int]]) -> tuple[list[bool], str]:
    """Plays the agent's pattern of (speaks, packets); returns when the mouth spoke, and digits."""
    ear, spoke, digits = Ear(), [], ""
    for speaks, packets in agent:
        for _ in range(packets):
            ear.hear(LOUD if speaks else SILENT)
            utterance = mouth.next(ear)
            spoke.append(bool(utterance.audio.any()))
            digits += utterance.digit
    return spoke, digits


def test_a_step_by_call_time_starts_then() -> None:
    """Half a second is 25 packets."""
    spoke, _ = converse(Mouth([say(2, "call_time", 0.5)]), [(False, 50)])
    assert spoke.index(True) == 24  # the packet that ends at 0.5 s
    assert sum(spoke) == 2


def test_a_step_waits_until_the_agent_is_done() -> None:
    """The agent speaks 1 s; 0.7 s of silence later it is the caller's turn."""
    spoke, _ = converse(Mouth([say(5, "agent_done", 0.7)]), [(False, 30), (True, 50), (False, 60)])
    assert spoke.index(True) == pytest.approx(30 + 50 + 35, abs=1)


def test_a_pause_in_the_agents_speech_is_not_its_end() -> None:
    """0.4 s between two sentences doesn't make it done."""
    agent = [(True, 50), (False, 20), (True, 50), (False, 50)]
    spoke, _ = converse(Mouth([say(5, "agent_done", 0.7)]), agent)
    assert spoke.index(True) > 120


def test_an_interruption_comes_in_the_middle_of_speech() -> None:
    """1 s after the agent's onset, while it speaks."""
    spoke, _ = converse(Mouth([say(5, "agent_speaking", 1.0)]), [(False, 20), (True, 100)])
    assert spoke.index(True) == pytest.approx(20 + 50, abs=1)


def test_short_pauses_do_not_restart_the_wait_for_an_interruption() -> None:
    """A gap of 0.2 s belongs to one piece of speech."""
    agent = [(True, 30), (False, 10), (True, 30)]
    spoke, _ = converse(Mouth([say(1, "agent_speaking", 1.0)]), agent)
    assert spoke.index(True) == pytest.approx(50, abs=1)


def test_the_next_step_waits_for_an_answer_to_this_one() -> None:
    """The greeting's silence doesn't count for the second question."""
    mouth = Mouth([say(5, "agent_done", 0.7), say(5, "agent_done", 0.7)])
    agent = [(True, 20), (False, 100), (True, 20), (False, 100)]
    spoke, _ = converse(mouth, agent)
    second = 120 + 20 + 35
    assert not any(spoke[70 : second - 2])
    assert any(spoke[second - 2 :])


def test_patience_ends() -> None:
    """An agent that never speaks doesn't keep the call for ever."""
    mouth = Mouth([say(5, "agent_done", 0.7, patience_s=1.0)])
    spoke, _ = converse(mouth, [(False, 80)])
    assert spoke.index(True) == pytest.approx(50, abs=1)
    assert mouth.finished


def test_digits_are_pressed_one_by_one() -> None:
    """0.2 s apart, in order."""
    mouth = Mouth([press("12#")])
    assert not mouth.finished
    assert converse(mouth, [(False, 10)])[1] == "1"
    assert converse(mouth, [(False, 5)])[1] == ""
    assert converse(Mouth([press("12#")]), [(False, 30)])[1] == "12#"


def test_every_packet_is_20_ms_also_the_last() -> None:
    """A rest of audio is padded."""
    mouth = Mouth([Step(np.full(200, 9, np.int16), "", "call_time", 0.0, 1.0)])
    ear = Ear()
    sizes = {mouth.next(ear).audio.size for _ in range(3)}
    assert sizes == {160}
    assert mouth.packets == 3


def test_a_script_file_is_read_with_its_wavs(tmp_path: Path) -> None:
    """Paths are relative to the script."""
    write_wav(tmp_path / "hello.wav", [LOUD])
    (tmp_path / "script.yaml").write_text(
        "- say: hello.wav\n  when: agent_speaking\n  seconds: 1.5\n- dtmf: '1#'\n"
    )
    first, second = load_script(tmp_path / "script.yaml")
    assert (first.when, first.seconds) == ("agent_speaking", 1.5)
    assert first.audio[:160].tolist() == LOUD.tolist()
    assert (second.digits, second.when) == ("1#", "agent_done")


@pytest.mark.parametrize(
    "text",
    [
        "- shout: a.wav\n",
        "- {}\n",
        "- {say: a.wav, dtmf: '1'}\n",
        "- {dtmf: 'x'}\n",
        "- {dtmf: '1', when: later}\n",
        "say: a.wav\n",
        "- [",
        "- {say: missing.wav}\n",
    ],
)
def test_a_script_with_a_mistake_names_itself(tmp_path: Path, text: str) -> None:
    """Typos, contradictions, missing files: an error, before any call is made."""
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        load_script(path)
