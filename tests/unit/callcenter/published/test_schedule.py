"""Opening hours: weeks, holidays, overrides, midnight and the change of clocks."""

from datetime import UTC, datetime

import pytest

from callcenter.published.documents import Schedule
from callcenter.published.schedule import ever_opens, is_open

BERLIN = {"name": "s", "title": "S", "time_zone": "Europe/Berlin"}
WORKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday"]
NINE_TO_FIVE = {"days": WORKDAYS, "opens": "09:00", "closes": "17:00"}


def schedule(**more: object) -> Schedule:
    """A schedule in Berlin."""
    return Schedule.model_validate({**BERLIN, **more})


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "state"),
    [
        ("2026-11-23T07:59:59", False),
        ("2026-11-23T08:00:00", True),  # Monday, nine in winter
        ("2026-11-23T15:59:59", True),
        ("2026-11-23T16:00:00", False),
        ("2026-11-22T12:00:00", False),  # Sunday
        ("2026-07-20T07:00:00", True),  # nine in summer
    ],
)
def test_a_week(moment: str, state: bool) -> None:
    """Nine to five, local time, in winter and in summer."""
    assert is_open(schedule(weekly=[NINE_TO_FIVE]), at(moment)) is state


def test_a_night_belongs_to_its_evening() -> None:
    """A window past midnight is open the next morning, and only then."""
    bar = schedule(weekly=[{"days": ["friday"], "opens": "22:00", "closes": "02:00"}])
    assert is_open(bar, at("2026-11-27T22:00:00"))
    assert is_open(bar, at("2026-11-28T00:59:00"))
    assert not is_open(bar, at("2026-11-28T01:00:00"))
    assert not is_open(bar, at("2026-11-27T00:30:00"))


def test_all_day_ends_at_midnight() -> None:
    """00:00 to 24:00 is one day."""
    day = schedule(weekly=[{"days": ["sunday"], "opens": "00:00", "closes": "24:00"}])
    assert is_open(day, at("2026-11-22T22:59:00"))
    assert not is_open(day, at("2026-11-22T23:00:00"))
    assert not is_open(day, at("2026-11-21T22:59:00"))


def test_holidays_close_and_overrides_win() -> None:
    """An override replaces the day's windows, also on a holiday."""
    days = schedule(
        weekly=[NINE_TO_FIVE],
        holidays=[
            {"day": "2026-12-25", "title": "Christmas"},
            {"day": "2026-12-24", "title": "Eve"},
        ],
        overrides=[
            {"day": "2026-12-24", "windows": [{"opens": "10:00", "closes": "12:00"}]},
            {"day": "2026-12-23", "windows": []},
        ],
    )
    assert not is_open(days, at("2026-12-25T10:00:00"))
    assert is_open(days, at("2026-12-24T10:00:00"))
    assert not is_open(days, at("2026-12-24T12:00:00"))
    assert not is_open(days, at("2026-12-23T10:00:00"))


@pytest.mark.parametrize(("force", "state"), [("open", True), ("closed", False)])
def test_force_wins_over_everything(force: str, state: bool) -> None:
    """Whatever the clock says."""
    assert is_open(schedule(force=force), at("2026-11-22T03:00:00")) is state
    assert is_open(schedule(force=force, weekly=[NINE_TO_FIVE]), at("2026-11-23T09:00:00")) is state


def test_whether_it_ever_opens() -> None:
    """No window in sight, all of them in the past, or closed by force: never."""
    now = at("2026-11-22T12:00:00")
    past = {"day": "2026-11-01", "windows": [{"opens": "09:00", "closes": "10:00"}]}
    future = {**past, "day": "2027-02-01"}
    assert not ever_opens(schedule(), now)
    assert not ever_opens(schedule(overrides=[past]), now)
    assert ever_opens(schedule(overrides=[future]), now)
    assert ever_opens(schedule(weekly=[NINE_TO_FIVE]), now)
    assert not ever_opens(schedule(weekly=[NINE_TO_FIVE], force="closed"), now)
    assert ever_opens(schedule(force="open"), now)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"time_zone": "Berlin"}, "IANA"),
        ({"weekly": [{**NINE_TO_FIVE, "closes": "09:00"}]}, "must differ"),
        ({"weekly": [{**NINE_TO_FIVE, "opens": "9:00"}]}, "pattern"),
        ({"weekly": [{**NINE_TO_FIVE, "opens": "25:00"}]}, "pattern"),
        ({"weekly": [{**NINE_TO_FIVE, "days": []}]}, "at least 1"),
        ({"holidays": [{"day": "2026-02-30", "title": "x"}]}, "date"),
        ({"holidays": [{"day": "2026-02-03", "title": "x"}] * 2}, "is listed twice"),
    ],
)
def test_schedules_that_are_none(change: dict, words: str) -> None:
    """Refused with a reason."""
    with pytest.raises(ValueError, match=words):
        schedule(**change)
