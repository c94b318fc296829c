"""The engine that the settings ask for, or a clear word why not."""

import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

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
    monkeypatch.delitem(sys.modules, "callcenter.worker.duplex", raising=False)
    monkeypatch.setitem(sys.modules, "engine.engine", None)
    with pytest.raises(
        ConfigurationError, match=r"ENGINE=personaplex needs .*engine\..*\[worker\]"
    ):
        engines.build(settings(engine="personaplex"))


def test_voices_are_the_clips_of_a_folder(tmp_path: Path) -> None:
    """By the names of the files."""
    (tmp_path / "nora.wav").touch()
    (tmp_path / "tom.flac").touch()
    assert engines.voices(settings(voices_dir=tmp_path)) == {
        "nora": tmp_path / "nora.wav",
        "tom": tmp_path / "tom.flac",
    }


def test_without_a_folder_the_voices_are_those_of_the_personas() -> None:
    """Every one has a clip that is there."""
    voices = engines.voices(settings())
    assert voices
    assert all(clip.is_file() for clip in voices.values())


def test_eight_bit_weights_without_kernels_are_refused() -> None:
    """The message names both variables."""
    wanted = settings(engine="personaplex", weights_format="int8", engine_kernels=False)
    with pytest.raises(ConfigurationError, match=r"WEIGHTS_FORMAT=int8 needs ENGINE_KERNELS=true"):
        engines.build(wanted)


@pytest.mark.timeout(60)  # reads and computes a small checkpoint
def test_the_model_shows_its_pages(tmp_path: Path) -> None:
    """From a checkpoint folder to an engine whose free pages can be scraped."""
    checkpoint = pytest.importorskip("engine.checkpoint", reason="needs the worker's packages")
    checkpoint.write_tiny(tmp_path / "tiny")
    (tmp_path / "voices").mkdir()
    engine = engines.build(
        settings(
            engine="personaplex",
            checkpoint=str(tmp_path / "tiny"),
            voices_dir=tmp_path / "voices",
            worker_slots=2,
        )
    )
    assert (engine.kind, engine.slots) == ("personaplex", 2)
    shown = {
        state: REGISTRY.get_sample_value(
            "engine_kv_pages", {"engine": "personaplex", "state": state}
        )
        for state in ("total", "free", "shortened")
    }
    assert shown["total"] == shown["free"] > 0
    assert shown["shortened"] == 0
