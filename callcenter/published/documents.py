"""The small documents that an admin writes: numbers, trunks, routes, schedules, limits.

One strict form for the API, the YAML bundle and the gateways. Documents refer to each other by
name. This module knows shapes only: whether a name leads anywhere is `references`' business, what
a route decides is `routing`'s.
"""

from __future__ import annotations

import zoneinfo
from collections import Counter
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator
from pydantic import model_validator as check

from callcenter.published.document import Document, Name, Title
from callcenter.published.trunk import Trunk

SpokenText = Annotated[str, StringConstraints(min_length=1, max_length=400)]
E164 = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{5,14}$")]
# An exact value, or a beginning and a star: "+1555*". No regular expression: it could be made slow.
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"^[^*]*\*?$")]
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
# JSON has no dates, so text is read as one even where types are strict.
Day = Annotated[date, Field(strict=False)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Number(Document):
    """A telephone number that people dial.

    Attributes:
        name: the number itself, E.164.
        trunk: the only trunk that it is answered on; None for any.
        persona: answers it with the published version; short for a route of its own.
        route: decides it instead. With neither, the routes are tried in their order.
    """

    name: E164
    title: Title
    trunk: Name | None = None
    persona: Name | None = None
    route: Name | None = None

    @check(mode="after")
    def _leads_to_one_place(self) -> Self:
        if self.persona and self.route:
            raise ValueError("a number has a persona or a route, not both; take one of them out")
        return self


class WeightedPersona(Document):
    """One of the personas that share a route.

    Attributes:
        version: a version of its own; None follows what is published.
        weight: its share of the calls, in proportion to the others.
        variables: values for the persona's variables.
    """

    persona: Name
    version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    weight: Annotated[int, Field(ge=0, le=1_000)] = 1
    variables: dict[Name, Annotated[str, StringConstraints(max_length=500)]] = Field(
        default_factory=dict
    )


class PersonasTarget(Document):
    """A persona answers; with several, weights say how often each one does.

    Attributes:
        transfer_to: where the agent hands calls over to; None leaves it to the carrier's fallback.
    """

    kind: Literal["personas"]
    personas: Annotated[list[WeightedPersona], Field(min_length=1, max_length=10)]
    transfer_to: E164 | None = None

    @check(mode="after")
    def _somebody_answers(self) -> Self:
        if not sum(choice.weight for choice in self.personas):
            raise ValueError("all weights are 0, so nobody would answer; raise one of them")
        return self


class TransferTarget(Document):
    """The call goes to a telephone number."""

    kind: Literal["transfer"]
    to: E164


class MessageTarget(Document):
    """A text is said and the call ends."""

    kind: Literal["message"]
    text: SpokenText


class RejectTarget(Document):
    """The call is not answered."""

    kind: Literal["reject"]
    reason: Literal["busy", "rejected"] = "busy"


Target = Annotated[
    PersonasTarget | TransferTarget | MessageTarget | RejectTarget, Field(discriminator="kind")
]


class Match(Document):
    """Conditions of a route; all that are given must hold.

    Attributes:
        trunk: the call came over it.
        called, caller: the dialled and the calling number, exact or "+1555*".
        headers: the carrier's header or attribute -> value, exact or with a star at its end.
        schedule: its state must be `when`.
    """

    trunk: Name | None = None
    called: Pattern | None = None
    caller: Pattern | None = None
    headers: Annotated[
        dict[Annotated[str, StringConstraints(min_length=1, max_length=80)], Pattern],
        Field(max_length=10),
    ] = Field(default_factory=dict)
    schedule: Name | None = None
    when: Literal["open", "closed"] = "open"

    @check(mode="after")
    def _when_needs_a_schedule(self) -> Self:
        if self.when == "closed" and self.schedule is None:
            raise ValueError("choose the schedule that must be closed")
        return self


class Route(Document):
    """Where calls go.

    Attributes:
        priority: routes are tried from the lowest number up; equal ones by name.
        match: when the route takes a call.
        target: what happens with it.
        overflow: tried one after the other when the target has no free slot or may not be used.
    """

    name: Name
    title: Title
    priority: Annotated[int, Field(ge=0, le=10_000)] = 100
    enabled: bool = True
    match: Match = Field(default_factory=Match)
    target: Target
    overflow: Annotated[list[Target], Field(max_length=5)] = Field(default_factory=list)


class Window(Document):
    """Open from `opens` to `closes`; a closing time before the opening one is the next day's."""

    opens: ClockTime
    closes: ClockTime

    @check(mode="after")
    def _lasts(self) -> Self:
        if self.opens == self.closes or self.opens == "24:00":
            raise ValueError("opening and closing must differ; 00:00 to 24:00 is the whole day")
        return self


class WeeklyWindow(Window):
    """A window on some days of every week."""

    days: Annotated[list[Weekday], Field(min_length=1, max_length=7)]


class Holiday(Document):
    """Closed for a day."""

    day: Day
    title: Title


class Override(Document):
    """What a day's windows are instead; none of them means closed. Wins over a holiday."""

    day: Day
    windows: Annotated[list[Window], Field(max_length=10)] = Field(default_factory=list)


class Schedule(Document):
    """Opening hours.

    Attributes:
        time_zone: IANA name; the windows are local time there.
        force: open or closed whatever the clock says; None for the clock.
    """

    name: Name
    title: Title
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    weekly: Annotated[list[WeeklyWindow], Field(max_length=50)] = Field(default_factory=list)
    holidays: Annotated[list[Holiday], Field(max_length=400)] = Field(default_factory=list)
    overrides: Annotated[list[Override], Field(max_length=400)] = Field(default_factory=list)
    force: Literal["open", "closed"] | None = None

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError("choose a time zone of the IANA list, such as Europe/Berlin")
        return value

    @check(mode="after")
    def _days_stand_there_once(self) -> Self:
        for days in ([day.day for day in self.holidays], [day.day for day in self.overrides]):
            twice = [day for day, count in Counter(days).items() if count > 1]
            if twice:
                raise ValueError(f"{twice[0]} is listed twice")
        return self


class Limit(Document):
    """How many calls there may be at once.

    Attributes:
        scope: what is counted together: all calls, or those of one persona or trunk.
        subject: the persona's or trunk's name; None with scope "all".
        max_concurrent: one more call goes on to the route's overflow.
    """

    name: Name
    title: Title
    scope: Literal["all", "persona", "trunk"]
    subject: Name | None = None
    max_concurrent: Annotated[int, Field(ge=0, le=100_000)]

    @check(mode="after")
    def _subject_fits_the_scope(self) -> Self:
        if (self.subject is None) != (self.scope == "all"):
            raise ValueError("'subject' names the persona or trunk; with scope 'all' leave it out")
        return self


AnyDocument = Trunk | Number | Route | Schedule | Limit
