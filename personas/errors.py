"""The one error of this package. It knows nothing of calls or engines."""

from __future__ import annotations


class PersonaError(ValueError):
    """A persona, dialogue or voice cannot be used; the message names the place and the cure."""
