"""A folder of personas and voices: read at once, refused with the place of the mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from personas import library
from personas.errors import PersonaError

Data = dict[str, Any]


def _write(path: Path, data: Data) -> None:
    path.write_text(json.dumps(data, indent=1))


def test_personas_and_voices_are_found_by_name(folder: Path) -> None:
    """A library is a read-only mapping, with the voices beside."""
    loaded = library.load(folder)
    assert list(loaded) == ["cafe"]
    assert len(loaded) == 1
    assert "cafe" in loaded
    assert loaded["cafe"].title == "Cafe"
    assert loaded.voices()["clara"].clip == folder / "voices" / "clara.wav"


def test_unknown_persona_is_named_with_the_known_ones(folder: Path) -> None:
    """For instance a route to a persona that was renamed."""
    with pytest.raises(PersonaError, match=r"no persona 'bar' \(there are: cafe\)"):
        library.load(folder)["bar"]


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    """A wrong path must not look like an empty library."""
    with pytest.raises(PersonaError, match="holds no persona"):
        library.load(tmp_path)


def test_mistake_is_placed_by_file_line_and_field(folder: Path, persona_data: Data) -> None:
    """The words that an editor can jump to."""
    _write(folder / "templates" / "cafe.yaml", persona_data | {"greting": "x"})
    with pytest.raises(PersonaError, match=r"cafe\.yaml:\d+: greting: unknown key"):
        library.load(folder)


def test_file_name_and_name_agree(folder: Path, persona_data: Data) -> None:
    """A copied file with the old name inside is a mistake."""
    _write(folder / "templates" / "bar.yaml", persona_data)
    with pytest.raises(PersonaError, match=r"bar\.yaml: name: is 'cafe', but the file's name"):
        library.load(folder)


def test_unknown_voice_is_refused(folder: Path, persona_data: Data) -> None:
    """Before a call, not in it."""
    _write(folder / "templates" / "cafe.yaml", persona_data | {"voice": "bob"})
    with pytest.raises(PersonaError, match=r"no voice 'bob' \(there are: clara\)"):
        library.load(folder)


def test_bad_clip_is_refused(folder: Path, write_wav: Callable[..., Path]) -> None:
    """A voice file leads to its clip."""
    write_wav(folder / "voices" / "clara.wav", duration_s=0.1)
    with pytest.raises(PersonaError, match=r"clara\.wav: is 0\.1 s long"):
        library.load(folder)


def test_prompt_over_budget_is_refused_at_start(folder: Path) -> None:
    """With whatever counter is given."""
    with pytest.raises(PersonaError, match=r"cafe\.yaml: role prompt .* 301 text tokens"):
        library.load(folder, count_tokens=lambda text: 301)


def test_dialogue_beside_is_joined(folder: Path, dialogue_data: Data) -> None:
    """Long dialogues live in a file of their own."""
    _write(folder / "dialogues" / "cafe.yaml", dialogue_data)
    dialogue = library.load(folder)["cafe"].dialogue
    assert dialogue is not None
    assert [intent.name for intent in dialogue.intents] == ["book", "bye"]


def test_two_dialogues_are_one_too_many(
    folder: Path, persona_data: Data, dialogue_data: Data
) -> None:
    """Neither wins in silence."""
    _write(folder / "templates" / "cafe.yaml", persona_data | {"dialogue": dialogue_data})
    assert library.load(folder)["cafe"].dialogue is not None
    _write(folder / "dialogues" / "cafe.yaml", dialogue_data)
    with pytest.raises(PersonaError, match="keep one of them"):
        library.load(folder)


def test_shared_parts_are_taken_over_and_own_ones_win(folder: Path, dialogue_data: Data) -> None:
    """Own keys and own intents replace namesakes; own intents come first."""
    _write(folder / "dialogues" / "common.yaml", dialogue_data)
    menu = {"name": "menu", "topic": "the menu", "examples": ["what is there"], "answers": ["Tea."]}
    bye = dialogue_data["intents"][1] | {"answers": ["So long."]}
    own = {"extends": "common", "goodbye": "Bye-bye.", "intents": [menu, bye]}
    _write(folder / "dialogues" / "cafe.yaml", own)
    dialogue = library.load(folder)["cafe"].dialogue
    assert dialogue is not None
    assert [intent.name for intent in dialogue.intents] == ["menu", "bye", "book"]
    assert dialogue.intents[1].answers == ("So long.",)
    assert dialogue.goodbye == "Bye-bye."
    assert dialogue.fallbacks == ("Sorry?",)


def test_mistake_in_the_dialogue_is_placed_in_its_own_file(
    folder: Path, dialogue_data: Data
) -> None:
    """The line counts in the dialogue's file, also where shared parts were added."""
    _write(folder / "dialogues" / "common.yaml", dialogue_data)
    (folder / "dialogues" / "cafe.yaml").write_text(
        "extends: common\nintents:\n  - name: menu\n    topic: the menu\n"
        "    examples: [what is there]\n    answers: ['Tea at {time}.']\n"
    )
    with pytest.raises(PersonaError, match=r"dialogues/cafe\.yaml:3: intents\.0: \{time\} is no"):
        library.load(folder)


def test_mistake_in_the_shared_file_is_placed_there(folder: Path, dialogue_data: Data) -> None:
    """Not in the file that extends it."""
    _write(folder / "dialogues" / "common.yaml", dialogue_data | {"godbye": "x"})
    _write(folder / "dialogues" / "cafe.yaml", {"extends": "common", "intents": []})
    with pytest.raises(PersonaError, match=r"common\.yaml:\d+: godbye: unknown key"):
        library.load(folder)


@pytest.mark.parametrize("shared", ["nobody", 3, None, ["common"], "../secrets"])
def test_unknown_shared_file_is_refused(folder: Path, dialogue_data: Data, shared: Any) -> None:
    """`extends` names a file beside, and nothing else."""
    _write(folder / "dialogues" / "cafe.yaml", dialogue_data | {"extends": shared})
    with pytest.raises(PersonaError, match="extends: "):
        library.load(folder)


def test_an_ill_formed_intent_list_is_the_schemas_matter(folder: Path, dialogue_data: Data) -> None:
    """Joining must not stumble over what it cannot join."""
    _write(folder / "dialogues" / "common.yaml", dialogue_data)
    _write(folder / "dialogues" / "cafe.yaml", {"extends": "common", "intents": "none"})
    with pytest.raises(PersonaError, match=r"cafe\.yaml:\d+: intents: Input should be"):
        library.load(folder)
    _write(folder / "dialogues" / "cafe.yaml", {"extends": "common", "intents": [3]})
    with pytest.raises(PersonaError, match=r"cafe\.yaml:\d+: intents\.0: Input should be"):
        library.load(folder)


def test_dialogue_without_a_persona_is_refused(folder: Path, dialogue_data: Data) -> None:
    """A misspelt file name would leave a persona without its dialogue."""
    _write(folder / "dialogues" / "caffe.yaml", dialogue_data)
    with pytest.raises(PersonaError, match=r"caffe\.yaml: there is no persona 'caffe'"):
        library.load(folder)
