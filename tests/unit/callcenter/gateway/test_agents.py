"""Agents for programs that bring their own callers."""

import pytest

from callcenter.gateway.agents import agents
from personas.errors import PersonaError


async def test_a_persona_that_does_not_exist_is_refused_before_any_call() -> None:
    """Nothing is connected for it."""
    async with agents(redis_url="redis://127.0.0.1:1/0", link_secret="x" * 32) as found:
        with pytest.raises(PersonaError, match="nobody"):
            found.caller("nobody")


async def test_variables_are_checked_too() -> None:
    """The persona's own word for it."""
    async with agents(redis_url="redis://127.0.0.1:1/0", link_secret="x" * 32) as found:
        with pytest.raises(PersonaError):
            found.caller("bank", {"no_such_variable": "x"})
