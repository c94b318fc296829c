"""May a voice be used: the record of the speaker's consent, and what it means now.

It reads no clock and no database.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Words = Annotated[str, StringConstraints(min_length=1, max_length=400)]
When = Annotated[datetime, Field(strict=False)]


class Consent(BaseModel):
    """Who allowed the use of a voice, and for what.

    Attributes:
        kind: `synthetic`: the voice imitates no real person on purpose; `written`: a person agreed.
        subject: who speaks; for a synthetic voice, how it was made.
        document: where the signed paper is kept.
        scope: the use that was agreed to.
        granted_at: since when.
        expires_at: until when; null for no end.
        revoked_at: when it was taken back; new calls are blocked from then on.
        revoked_why: in the words of whoever put it down.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    kind: Literal["synthetic", "written"]
    subject: Words
    document: Words | None = None
    scope: Words
    granted_at: When
    expires_at: When | None = None
    revoked_at: When | None = None
    revoked_why: Words | None = None


def why_blocked(voice: dict[str, Any], now: datetime) -> str:
    """Why a voice may not be used for a new call; "" if it may.

    Args:
        voice: its document.
        now: the moment, aware.
    """
    name = voice["name"]
    if voice.get("disabled"):
        return f"voice {name} is switched off"
    if voice.get("consent") is None:
        return f"voice {name} has no record of consent"
    consent = read(voice["consent"])
    if consent.kind == "written" and not consent.document:
        return f"the consent for voice {name} names no document"
    if consent.revoked_at is not None:
        return f"the consent for voice {name} was revoked"
    if consent.granted_at > now:
        return f"the consent for voice {name} begins later"
    if consent.expires_at is not None and consent.expires_at <= now:
        return f"the consent for voice {name} has expired"
    return ""


def read(data: Any) -> Consent:
    """A stored consent."""
    return Consent.model_validate(data)
