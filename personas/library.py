"""The personas and voices of one folder.

    folder/templates/<name>.yaml    personas
    folder/dialogues/<name>.yaml    their dialogues, unless they stand in the persona's file
    folder/dialogues/common.yaml    lines and intents that dialogues share by `extends: common`
    folder/voices/<name>.yaml       voices, with the clips beside them

Everything is read and checked at once, so that a mistake shows at start-up and not in a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personas import document
from personas.dialogue import Dialogue
from personas.document import Document
from personas.errors import PersonaError
from personas.schema import Persona
from personas.tokens import TokenCounter, estimate_tokens
from personas.voice import Voice, VoiceFile, voice_of

SHIPPED = Path(__file__).parent
_COMMON = "common.yaml"


@dataclass(frozen=True)
class Library:
    """All personas by name, and all voices; made by `load`."""

    _personas: Mapping[str, Persona]
    _voices: Mapping[str, Voice]

    def __getitem__(self, name: str) -> Persona:
        """The persona of that name.

        Raises:
            PersonaError: there is none.
        """
        try:
            return self._personas[name]
        except KeyError as error:
            known = ", ".join(self._personas)
            raise PersonaError(f"there is no persona '{name}' (there are: {known})") from error

    def __contains__(self, name: object) -> bool:
        return name in self._personas

    def __iter__(self) -> Iterator[str]:
        return iter(self._personas)

    def __len__(self) -> int:
        return len(self._personas)

    def voices(self) -> dict[str, Voice]:
        """All voices by name."""
        return dict(self._voices)


def load(folder: Path = SHIPPED, count_tokens: TokenCounter = estimate_tokens) -> Library:
    """Reads and checks a folder of personas and voices.

    Args:
        folder: laid out as in this module's docstring.
        count_tokens: `tokens.sentencepiece_counter(...)` where the tokenizer's file is at hand.

    Raises:
        PersonaError: names file, line and field of what is wrong, and what to do.
    """
    voices = {path.stem: _voice(path) for path in _yaml_files(folder / "voices")}
    personas: dict[str, Persona] = {}
    for path in _yaml_files(folder / "templates"):
        personas[path.stem] = _persona(path, folder / "dialogues", count_tokens)
        if personas[path.stem].voice not in voices:
            raise PersonaError(
                f"{path}: voice: there is no voice '{personas[path.stem].voice}'"
                f" (there are: {', '.join(voices)})"
            )
    if not personas:
        raise PersonaError(f"{folder / 'templates'}: holds no persona (*.yaml)")
    _check_all_dialogues_are_used(folder / "dialogues", personas.keys())
    return Library(personas, voices)


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))


def _voice(path: Path) -> Voice:
    file = document.read(path)
    parsed = file.parse(VoiceFile, file.data)
    _check_name(path, parsed.name)
    return voice_of(parsed, path.parent)


def _persona(path: Path, dialogues: Path, count_tokens: TokenCounter) -> Persona:
    file = document.read(path)
    data = dict(file.data)
    beside = dialogues / path.name
    if beside.is_file():
        if "dialogue" in data:
            raise PersonaError(f"{path}: has a dialogue and {beside} is another; keep one of them")
        data["dialogue"] = _dialogue(beside)
    persona = file.parse(Persona, data)
    _check_name(path, persona.name)
    _check_budget(path, persona, count_tokens)
    return persona


def _dialogue(path: Path) -> dict[str, Any]:
    """Reads a dialogue file and checks it by itself, so that mistakes are found on its lines."""
    file = document.read(path)
    data = dict(file.data)
    if "extends" in data:
        data = _extended(data, _shared(path, data.pop("extends")))
    return file.parse(Dialogue, data).model_dump(mode="json")


def _shared(path: Path, name: object) -> Document:
    shared_path = path.parent / f"{name}.yaml"
    if shared_path not in _yaml_files(path.parent):
        raise PersonaError(f"{path}: extends: there is no {shared_path}")
    shared = document.read(shared_path)
    shared.parse(Dialogue, shared.data)
    return shared


def _extended(own: dict[str, Any], shared: Document) -> dict[str, Any]:
    """Own keys win; the intents of both are there, own ones first and in place of namesakes."""
    intents = own.get("intents")
    if not isinstance(intents, list):  # the schema's error says it better than we could
        return {**shared.data, **own}
    names = {intent.get("name") for intent in intents if isinstance(intent, dict)}
    others = [intent for intent in shared.data["intents"] if intent["name"] not in names]
    return {**shared.data, **own, "intents": [*intents, *others]}


def _check_all_dialogues_are_used(dialogues: Path, personas: Set[str]) -> None:
    for path in _yaml_files(dialogues):
        if path.stem not in personas and path.name != _COMMON:
            raise PersonaError(f"{path}: there is no persona '{path.stem}' for this dialogue")


def _check_name(path: Path, name: str) -> None:
    if name != path.stem:
        raise PersonaError(f"{path}: name: is '{name}', but the file's name says '{path.stem}'")


def _check_budget(path: Path, persona: Persona, count_tokens: TokenCounter) -> None:
    """Renders once, so that a prompt over budget shows at start-up; required values are made up."""
    blanks = {
        name: "x" * min(8, variable.max_chars)
        for name, variable in persona.variables.items()
        if variable.default is None
    }
    try:
        persona.render(blanks, count_tokens)
    except PersonaError as error:
        raise PersonaError(f"{path}: {error}") from error
