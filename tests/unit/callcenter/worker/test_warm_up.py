"""Prompts taken in before the first call."""

import pytest
from structlog.testing import capture_logs

from callcenter.worker.warm_up import rendered, warm_up
from engine.interface import NoFreeSlot, PromptRejected, SessionSpec
from engine.rehearsal import RehearsalEngine
from personas import library
from personas.schema import Persona


class Careful(RehearsalEngine):
    """Takes three pieces of work for each prompt, and refuses two of them."""

    def __init__(self) -> None:
        super().__init__(slots=1)
        self.pieces = 0
        self.admitted: list[str] = []

    def admit(self, spec: SessionSpec) -> int:
        if spec.voice == "nobody":
            raise PromptRejected("unknown voice 'nobody'")
        self.admitted.append(spec.role_text)
        return super().admit(spec)

    def prime(self) -> list[int]:
        self.pieces += 1
        if self.admitted[-1] == "You are big.":
            raise NoFreeSlot("no memory for one more prompt")
        return super().prime() if self.pieces % 3 == 0 else []


def persona(name: str, voice: str = "joe", **fields: object) -> Persona:
    """A small persona."""
    texts = {"title": name, "greeting": "Hello.", "role_text": f"You are {name}."}
    return Persona.model_validate({"name": name, "voice": voice, **texts, **fields})


def test_every_prompt_is_computed_and_every_slot_free_again() -> None:
    """All pieces of each prompt, one prompt after the other, in the only slot there is."""
    engine, personas = Careful(), rendered([persona("one"), persona("two")])
    assert warm_up(engine, personas) == [each.prompt_hash for each in personas]
    assert engine.admitted == ["You are one.", "You are two."]
    assert engine.pieces == 6
    with pytest.raises(KeyError):
        engine.release(0)


def test_a_refused_prompt_is_logged_and_the_others_go_on() -> None:
    """It would be refused in a call as well, with the same words."""
    engine = Careful()
    with capture_logs() as lines:
        personas = [persona("one", voice="nobody"), persona("big"), persona("two")]
        names = warm_up(engine, rendered(personas))
    assert len(names) == 1
    assert engine.admitted == ["You are big.", "You are two."]
    refused = [line for line in lines if line["event"] == "persona_refused"]
    assert [(line["persona"], line["why"]) for line in refused] == [
        ("one", "unknown voice 'nobody'"),
        ("big", "no memory for one more prompt"),
    ]


def test_a_persona_that_needs_a_calls_value_is_left_out() -> None:
    """Its prompt isn't known yet; one with a default is."""
    open_name = persona(
        "one", role_text="Greet {{who}}.", variables={"who": {"description": "the caller"}}
    )
    with_default = persona(
        "two",
        role_text="Greet {{who}}.",
        variables={"who": {"description": "the caller", "default": "the caller"}},
    )
    assert [each.role_text for each in rendered([open_name, with_default])] == ["Greet the caller."]


def test_the_shipped_personas_are_all_warmed_up() -> None:
    """None of them needs a call's value."""
    shipped = library.load()
    assert len(rendered(shipped[name] for name in shipped)) == len(shipped)
