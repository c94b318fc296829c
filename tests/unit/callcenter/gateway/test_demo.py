"""The demo's own parts; the whole of it is tried by the end-to-end tests."""

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
    text = demo._welcome(8_081, 9_000, "secret", "cascade", 8_070, "admin-secret")
    assert "http://127.0.0.1:8070/admin" in text
    assert "log in with: admin-secret" in text
    assert "TWILIO_AUTH_TOKEN=secret" in text
    assert "--number +15550100 --server http://127.0.0.1:8081" in text
    assert "http://127.0.0.1:9000/metrics" in text
    wav = text.split("--wav ")[1].split()[0]
    assert Path(wav).is_file()


def test_the_welcome_says_what_answers() -> None:
    """Whatever it is, it does not pass for the model, and the way to the model is shown."""
    for engine in demo.ENGINES:
        text = demo._welcome(8_081, 9_000, "secret", engine, 8_070, "admin-secret")
        assert f"The {engine} engine answers" in text
        assert "ENGINE=personaplex" in text


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
