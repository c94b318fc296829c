"""The cascade as a worker builds it."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from callcenter.errors import ConfigurationError
from callcenter.settings import WorkerSettings
from callcenter.worker import cascade, engines
from engine.cascade import models
from personas import library
from personas.schema import Persona


def settings(**overrides: object) -> WorkerSettings:
    """Settings of a cascade worker."""
    return WorkerSettings.load(link_secret="s" * 32, engine="cascade", **overrides)


def persona(name: str, **fields: object) -> Persona:
    """A small persona."""
    texts = {"title": name, "greeting": f"Hello, {name}.", "role_text": f"You are {name}."}
    return Persona.model_validate({"name": name, "voice": "joe", **texts, **fields})


def test_every_setting_arrives(tmp_path: Path) -> None:
    """At the engine and at its client for the language model."""
    own = cascade.cascade_settings(
        settings(
            worker_slots=7,
            cascade_threads=3,
            cascade_whisper="owner/whisper",
            cascade_voice="a.onnx",
            cascade_voices="clara=/voices/b.onnx, marcus=/voices/c.onnx",
            cascade_cache_dir=tmp_path,
            llm_base_url="http://127.0.0.1:8000/v1",
            llm_model="small",
            llm_api_key="secret",
            llm_first_sentence_s=0.7,
            llm_next_sentence_s=0.9,
            llm_max_tokens=33,
        ),
        [("joe", "Hello."), ("clara", "Hello.")],
    )
    assert (own.slots, own.threads, own.cache_folder) == (7, 3, tmp_path)
    assert (own.whisper, own.voice) == ("owner/whisper", "a.onnx")
    assert own.voices == {"clara": "/voices/b.onnx", "marcus": "/voices/c.onnx"}
    assert own.fixed_lines == {"Hello."}
    assert own.llm is not None
    assert (own.llm.url, own.llm.model) == ("http://127.0.0.1:8000/v1", "small")
    assert (own.llm.api_key, own.llm.max_tokens) == ("secret", 33)
    assert (own.llm.first_sentence_s, own.llm.next_sentence_s) == (0.7, 0.9)


def test_without_an_endpoint_there_is_no_language_model() -> None:
    """The dialogue answers alone."""
    assert cascade.cascade_settings(settings(), []).llm is None


def test_a_missing_model_file_is_named() -> None:
    """With what it should be."""
    with pytest.raises(ConfigurationError, match=r"ENGINE=cascade: .*/nowhere/voice\.onnx"):
        engines.build(settings(cascade_voice="/nowhere/voice.onnx"))
    with pytest.raises(ConfigurationError, match=r"ENGINE=cascade: .*/nowhere/clara\.onnx"):
        engines.build(settings(cascade_voices="clara=/nowhere/clara.onnx"))


def test_a_damaged_packaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hash tells; the message says how to get it back."""
    (tmp_path / "smart-turn.onnx").write_bytes(b"half a download")
    damaged = models._Packaged(
        "engine.cascade", "", str(tmp_path / "smart-turn.onnx"), "0" * 64, ""
    )
    monkeypatch.setattr(models, "_ENDPOINT", damaged)
    with pytest.raises(ConfigurationError, match=r"smart-turn\.onnx .*damaged.*reinstall"):
        engines.build(settings())


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    """And not a traceback of the runtime's."""
    voice = tmp_path / "voice.onnx"
    voice.write_bytes(b"no network")
    Path(f"{voice}.json").write_text('{"audio": {"sample_rate": 22050}, "phoneme_id_map": {}}')
    with pytest.raises(ConfigurationError, match=r"cannot be loaded.*CASCADE_VOICE=.*voice\.onnx"):
        engines.build(settings(cascade_voice=str(voice)))


@pytest.mark.timeout(60)
def test_torch_is_not_imported() -> None:
    """The demo's environment has none."""
    program = (
        "import sys, callcenter.worker.program, callcenter.worker.cascade; "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_greetings_are_rendered_first_and_nothing_twice() -> None:
    """Every call begins with one; a persona without its call's values is left out."""
    shipped = library.load()
    lines = cascade.fixed_lines([shipped[name] for name in shipped])
    rendered = [shipped[name].render() for name in shipped]
    greetings = [(persona.voice, persona.greeting) for persona in rendered]
    assert lines[: len(greetings)] == greetings
    assert len(lines) == len(set(lines)) > 200
    needy = persona(
        "needy", greeting="Hello {{name}}.", variables={"name": {"description": "Whose."}}
    )
    assert cascade.fixed_lines([needy, persona("plain")]) == [("joe", "Hello, plain.")]


def test_lines_are_rendered_only_while_nobody_calls() -> None:
    """And progress is told."""
    rendered: list[int] = []
    calm = iter([True, False, False, True, True])
    renders = [partial(rendered.append, index) for index in range(3)]
    renderer = cascade.SpareTimeRenderer(renders, lambda: next(calm))
    with capture_logs() as logged:
        renderer.run()
    assert rendered == [0, 1, 2]
    assert not list(calm)
    assert [(line["done"], line["of"]) for line in logged] == [(3, 3)]


def test_a_renderer_that_is_stopped_stops() -> None:
    """Even when somebody calls for ever."""
    renderer = cascade.SpareTimeRenderer([pytest.fail], lambda: False)
    renderer.start()
    renderer.stop()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"llm_base_url": "127.0.0.1:8000", "llm_model": "small"}, "LLM_BASE_URL must begin"),
        ({"llm_base_url": "http://127.0.0.1:8000/v1"}, "LLM_BASE_URL needs LLM_MODEL"),
        ({"cascade_threads": 0}, "CASCADE_THREADS"),
        ({"cascade_voices": "clara"}, "CASCADE_VOICES.*write name=path"),
    ],
)
def test_settings_that_do_not_fit_are_named(wrong: dict[str, object], named: str) -> None:
    """Before any network is loaded."""
    with pytest.raises(ConfigurationError, match=named):
        settings(**wrong)
