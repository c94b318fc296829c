"""The demo's own parts; the whole of it is tried by the end-to-end tests."""

import os
import socket
from pathlib import Path

import pytest

from callcenter.errors import ConfigurationError
from callcenter.gateway import demo


def test_a_taken_port_is_said_before_anything_starts() -> None:
    """With what to do about it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigurationError, match="--port"):
            demo.run(other.getsockname()[1], slots=1, engine="rehearsal", admin_port=0, data=None)


def test_a_secret_is_kept(tmp_path) -> None:
    """The same one at every start, for nobody else to read."""
    file = tmp_path / "secret"
    first = demo._kept_secret(file)
    assert len(first) == 64
    assert demo._kept_secret(file) == first
    assert file.stat().st_mode & 0o077 == 0


def test_the_welcome_can_be_pasted() -> None:
    """The command line that it shows has the secret, a number and a file that is there."""
    text = demo._welcome(8_081, "secret", "cascade", 9_000)
    assert "TWILIO_AUTH_TOKEN=secret" in text
    assert "--number +15550100 --server http://127.0.0.1:8081" in text
    assert "http://127.0.0.1:9000/metrics" in text
    wav = text.split("--wav ")[1].split()[0]
    assert Path(wav).is_file()


def test_the_welcome_says_what_answers() -> None:
    """Whatever it is, it does not pass for the model, and the way to the model is shown."""
    for engine in demo.ENGINES:
        text = demo._welcome(8_081, "secret", engine, 9_000)
        assert f"The {engine} engine answers" in text
        assert "ENGINE=personaplex" in text


def test_what_people_need_comes_last(tmp_path) -> None:
    """Both addresses, the key, and whether changes are kept."""
    text = demo._box(8_081, 8_070, "admin-secret", None)
    assert "Talk here:     http://127.0.0.1:8081" in text
    assert "http://127.0.0.1:8070/admin" in text
    assert "Log in with:   admin-secret" in text
    assert "lost when the demo ends" in text
    assert f"kept in {tmp_path}" in demo._box(8_081, 8_070, "admin-secret", tmp_path)


@pytest.fixture
def no_log_settings(monkeypatch) -> None:
    """Puts the environment back as it was."""
    for name in ("LOG_FORMAT", "LOG_LEVEL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_terminal_shows_warnings_only(no_log_settings, monkeypatch) -> None:
    """So that the addresses stay in sight; a file gets every line."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    demo._quiet("auto")
    assert "LOG_LEVEL" not in os.environ
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    demo._quiet("auto")
    assert (os.environ["LOG_FORMAT"], os.environ["LOG_LEVEL"]) == ("auto", "warning")


def test_another_form_of_logs_shows_every_line(no_log_settings, monkeypatch) -> None:
    """On a terminal, too; an unknown form is refused by name."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    demo._quiet("json")
    assert os.environ["LOG_FORMAT"] == "json"
    assert "LOG_LEVEL" not in os.environ
    with pytest.raises(ConfigurationError, match="--log xml: give auto, json or text"):
        demo._quiet("xml")


def test_an_unknown_engine_is_refused() -> None:
    """With those that there are; the model is none of a laptop's."""
    with pytest.raises(ConfigurationError, match=r"--engine cascade or rehearsal"):
        demo._check_engine("personaplex")


def test_lines_stay_in_the_users_cache(tmp_path, monkeypatch) -> None:
    """As the XDG base directories have it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert demo._cache_folder() == tmp_path / "personaplex-callcenter" / "lines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert demo._cache_folder().parts[-3:] == (".cache", "personaplex-callcenter", "lines")
