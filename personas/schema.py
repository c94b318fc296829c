"""A persona: who answers the call, with which facts, in which voice, within which limits.

`Persona` is the strict form of a file; `Persona.render` turns it into the plain values that one
call needs. This module knows no file, no engine and no call: `library` reads files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Self

from pydantic import Field, StringConstraints, model_validator

from personas.dialogue import Dialogue, Line, Slug, Strict
from personas.errors import PersonaError
from personas.render import check_value, fill, fill_all, names_in, slots_in, strings_in
from personas.tokens import TokenCounter, estimate_tokens

__all__ = ["Limits", "Persona", "PersonaError", "RenderedPersona", "Sampling", "Variable"]


class Sampling(Strict):
    """How the model draws its text and audio tokens; the defaults are the reference's."""

    text_temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7
    text_top_k: Annotated[int, Field(ge=1, le=32_000)] = 25
    audio_temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.8
    audio_top_k: Annotated[int, Field(ge=1, le=2_048)] = 250


class Limits(Strict):
    """What a call with this persona may cost.

    Attributes:
        max_call_s: the call is ended with a goodbye after this time.
        silence_after_s: how long both are silent before the agent asks whether anyone is there.
        max_prompt_tokens: budget of the role prompt, in text tokens of 80 ms each.
        max_answer_words: bound on one answer of a language model behind the cascade engine.
    """

    max_call_s: Annotated[float, Field(ge=10.0, le=14_400.0)] = 1_800.0
    silence_after_s: Annotated[float, Field(ge=2.0, le=60.0)] = 6.0
    max_prompt_tokens: Annotated[int, Field(ge=16, le=1_000)] = 300
    max_answer_words: Annotated[int, Field(ge=5, le=200)] = 40


class Variable(Strict):
    """A value that the one who starts the call may or must give.

    Attributes:
        description: for the person who fills it in.
        default: used when no value is given; without one, the value is required.
        max_chars: longest value accepted.
    """

    description: Line
    default: Line | None = None
    max_chars: Annotated[int, Field(ge=1, le=500)] = 60


class Persona(Strict):
    """One persona, as its file states it.

    Attributes:
        name: slug; also the file's name.
        title: for people: consoles and lists.
        language: BCP 47 tag, "en" or "en-US".
        voice: name of a voice of the library.
        greeting: template of the agent's first line.
        role_text: template of the role prompt, without the `<system>` marks.
        facts: name -> how the fact is said; used as `{{name}}` in prompt, greeting and dialogue,
            so that all engines tell callers the same.
        variables: name -> what a call may set; used as `{{name}}` in the same places.
        sampling: how a duplex model draws tokens.
        limits: bounds on call, prompt and answers.
        dialogue: for engines without a language model.
    """

    name: Slug
    title: Line
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")] = "en"
    voice: Slug
    greeting: Line
    role_text: Annotated[str, StringConstraints(min_length=1, max_length=4_000)]
    facts: dict[Slug, Line] = Field(default_factory=dict)
    variables: dict[Slug, Variable] = Field(default_factory=dict)
    sampling: Sampling = Field(default_factory=Sampling)
    limits: Limits = Field(default_factory=Limits)
    dialogue: Dialogue | None = None

    @model_validator(mode="after")
    def _names_have_one_meaning(self) -> Self:
        both = sorted(self.facts.keys() & self.variables.keys())
        if both:
            raise PersonaError(f"'{both[0]}' is a fact and a variable; rename one of them")
        for name, text in self.facts.items():
            check_value(name, text, max_chars=400)
        for name, variable in self.variables.items():
            if variable.default is not None:
                check_value(name, variable.default, variable.max_chars)
        return self

    @model_validator(mode="after")
    def _role_text_has_no_marks(self) -> Self:
        if "<system>" in self.role_text:
            raise PersonaError("role_text must not contain <system>: the engine adds the marks")
        return self

    @model_validator(mode="after")
    def _only_the_dialogue_has_slots(self) -> Self:
        for place, text in (("role_text", self.role_text), ("greeting", self.greeting)):
            if slots := sorted(slots_in(text)):
                raise PersonaError(
                    f"{place}: {{{slots[0]}}} would be said as it stands;"
                    f" write {{{{{slots[0]}}}}} for a fact or a variable"
                )
        return self

    @model_validator(mode="after")
    def _every_name_is_known_and_used(self) -> Self:
        known = self.facts.keys() | self.variables.keys() | built_in(self.language).keys()
        used: set[str] = set()
        for place, text in self._templates():
            for name in names_in(text):
                if name not in known:
                    raise PersonaError(
                        f"{place}: {{{{{name}}}}} is not defined; add it under facts or variables"
                    )
                used.add(name)
        for kind, names in (("variable", self.variables), ("fact", self.facts)):
            unused = sorted(names.keys() - used)
            if unused:
                raise PersonaError(f"{kind} '{unused[0]}' is declared but nowhere used")
        return self

    @cached_property
    def version(self) -> str:
        """Content hash, 12 hex digits: changes whenever anything in the persona changes."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def render(
        self,
        variables: Mapping[str, str] | None = None,
        count_tokens: TokenCounter = estimate_tokens,
    ) -> RenderedPersona:
        """Fills all templates for one call.

        Args:
            variables: name -> value; defaults fill in what is not given.
            count_tokens: counts the role prompt's text tokens against the budget.

        Raises:
            PersonaError: a variable is unknown, missing or unfit, or the prompt is over budget.
        """
        values = self._values(variables or {})
        role_text = " ".join(fill(self.role_text, values).split())
        self._check_budget(count_tokens(role_text))
        return RenderedPersona(
            name=self.name,
            version=self.version,
            title=self.title,
            language=self.language,
            voice=self.voice,
            role_text=role_text,
            greeting=fill(self.greeting, values),
            sampling=self.sampling,
            limits=self.limits,
            dialogue=self._rendered_dialogue(values),
            prompt_hash=prompt_hash(self.voice, role_text),
        )

    def _values(self, given: Mapping[str, str]) -> dict[str, str]:
        unknown = sorted(given.keys() - self.variables.keys())
        if unknown:
            known = ", ".join(sorted(self.variables)) or "none"
            raise PersonaError(
                f"persona '{self.name}' has no variable '{unknown[0]}' (it has: {known})"
            )
        values = built_in(self.language) | self.facts
        for name, variable in self.variables.items():
            value = given.get(name, variable.default)
            if value is None:
                raise PersonaError(f"persona '{self.name}' needs a value for variable '{name}'")
            check_value(name, value, variable.max_chars)
            values[name] = value
        return values

    def _check_budget(self, tokens: int) -> None:
        budget = self.limits.max_prompt_tokens
        if tokens > budget:
            raise PersonaError(
                f"role prompt of persona '{self.name}' has {tokens} text tokens, at most {budget}:"
                " shorten role_text or raise limits.max_prompt_tokens"
            )

    def _rendered_dialogue(self, values: Mapping[str, str]) -> dict[str, Any] | None:
        if self.dialogue is None:
            return None
        filled = fill_all(self.dialogue.model_dump(mode="json"), values)
        return {"facts": dict(self.facts), "limits": self.limits.model_dump(), **filled}

    def _templates(self) -> list[tuple[str, str]]:
        dialogue = self.dialogue.model_dump(mode="json") if self.dialogue else {}
        own = [("role_text", self.role_text), ("greeting", self.greeting)]
        return [*own, *strings_in(dialogue, "dialogue")]


@dataclass(frozen=True, slots=True)
class RenderedPersona:
    """A persona filled in for one call; plain values only.

    Attributes:
        version: content hash of the persona before rendering.
        role_text: one paragraph; personal data may stand in it, so it is never logged.
        dialogue: JSON-ready copy of the dialogue with every `{{name}}` filled, with "facts" and
            "limits" added; only `{slots}` are left. None for a persona without one.
        prompt_hash: names voice and role text together: calls that share it share a snapshot.
    """

    name: str
    version: str
    title: str
    language: str
    voice: str
    role_text: str
    greeting: str
    sampling: Sampling
    limits: Limits
    dialogue: dict[str, Any] | None
    prompt_hash: str


# The number that every telephone reaches in an emergency, as it is said; 112 is that of GSM.
_EMERGENCY_NUMBERS: Final = {
    "US": "nine one one",
    "CA": "nine one one",
    "GB": "nine nine nine",
    "IE": "one one two",
    "AU": "triple zero",
    "NZ": "one one one",
    "IN": "one one two",
}


def built_in(language: str) -> dict[str, str]:
    """Names that every template knows; a fact or a variable of that name says otherwise.

    Args:
        language: BCP 47 tag; its region tells the country, and without one it is the United States.
    """
    region = language.partition("-")[2] or "US"
    return {"emergency_number": _EMERGENCY_NUMBERS.get(region, "one one two")}


def prompt_hash(voice: str, role_text: str) -> str:
    """Hashes what a prompt snapshot depends on; 16 hex digits."""
    return hashlib.sha256(f"{voice}\0{role_text}".encode()).hexdigest()[:16]
