"""The whole published configuration as one value.

One snapshot is one consistent state of everything: a gateway never mixes a new route with an old
persona. Revisions only grow. It knows no Redis and no database.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from callcenter.published.document import Document, Name
from callcenter.published.documents import Limit, Number, Route, Schedule
from callcenter.published.trunk import Trunk
from personas.schema import Persona

Moment = Annotated[datetime, Field(strict=False)]


class PublishedPersona(Document):
    """One version of a persona that calls may be answered by.

    Attributes:
        content: the persona as in its file; `personas.schema.Persona` reads it.
    """

    name: Name
    version: int
    content: dict[str, Any]


class PublishedVoice(Document):
    """A voice, and until when it may be used.

    Attributes:
        sha256: of the normalised clip; names it among the published clips.
        blocked: why no new call may use it; "" if it may.
        usable_until: when the consent ends; None if it does not.
    """

    name: Name
    sha256: str
    blocked: str = ""
    usable_until: Moment | None = None


class Trial(Document):
    """A draft that can be called for a while under a made-up name.

    Attributes:
        called: what to dial: "trial-" and some random letters.
    """

    called: str
    persona: PublishedPersona
    expires_at: Moment


class Snapshot(Document):
    """Everything that decides who answers a call.

    Attributes:
        revision: of the configuration; only grows.
        current: persona -> the version that is published.
        personas: those versions, and all that routes name.
    """

    revision: int
    current: dict[str, int] = Field(default_factory=dict)
    personas: list[PublishedPersona] = Field(default_factory=list)
    voices: list[PublishedVoice] = Field(default_factory=list)
    trunks: list[Trunk] = Field(default_factory=list)
    numbers: list[Number] = Field(default_factory=list)
    routes: list[Route] = Field(default_factory=list)
    schedules: list[Schedule] = Field(default_factory=list)
    limits: list[Limit] = Field(default_factory=list)
    trials: list[Trial] = Field(default_factory=list)


def read_persona(content: dict[str, Any]) -> Persona:
    """A stored content as a persona.

    Raises:
        ValueError: it is of a release with another form.
    """
    # By way of JSON, so that strict models accept lists where they declare tuples.
    return Persona.model_validate_json(json.dumps(content))
