"""The engine that the settings ask for, or a clear word why not."""

import sys
from pathlib import Path

import pytest

from callcenter.errors import ConfigurationError
from callcenter.settings import WorkerSettings
from callcenter.worker import engines


def settings(**overrides: object) -> WorkerSettings:
    """Settings of a worker."""
    return WorkerSettings.load(link_secret="s" * 32, **overrides)


def test_the_rehearsal_engine_has_the_slots_that_were_asked_for() -> None:
    """And says what it is."""
    engine = engines.build(settings(worker_slots=7))
    assert (engine.kind, engine.slots) == ("rehearsal", 7)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker without torch can't run the model, and says so."""
    monkeypatch.setitem(sys.modules, "engine.engine", None)
    with pytest.raises(ConfigurationError, match=r"ENGINE=personaplex needs .*engine\."):
        engines.build(settings(engine="personaplex"))


def test_voices_are_the_clips_of_a_folder(tmp_path: Path) -> None:
    """By the names of the files."""
    (tmp_path / "nora.wav").touch()
    (tmp_path / "tom.flac").touch()
    assert engines._voices(settings(voices_dir=tmp_path)) == {
        "nora": tmp_path / "nora.wav",
        "tom": tmp_path / "tom.flac",
    }


def test_without_a_folder_the_voices_are_those_of_the_personas() -> None:
    """Every one has a clip that is there."""
    voices = engines._voices(settings())
    assert voices
    assert all(clip.is_file() for clip in voices.values())
