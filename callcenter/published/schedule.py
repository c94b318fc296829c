"""Opening hours: is a schedule open at a moment, and does it ever open.

Local wall-clock time of the schedule's zone, so that nine o'clock stays nine o'clock when the
clocks change. It reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from callcenter.published.documents import Schedule, Window

HORIZON_DAYS = 400
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ONE_DAY = timedelta(days=1)


def is_open(schedule: Schedule, at: datetime) -> bool:
    """Whether the schedule is open.

    Args:
        schedule: opening hours.
        at: an aware moment.
    """
    if schedule.force is not None:
        return schedule.force == "open"
    local = at.astimezone(ZoneInfo(schedule.time_zone)).replace(tzinfo=None)
    days = (local.date(), local.date() - _ONE_DAY)  # yesterday's window may reach past midnight
    spans = (_span(day, window) for day in days for window in windows_of(schedule, day))
    return any(begin <= local < end for begin, end in spans)


def ever_opens(schedule: Schedule, since: datetime) -> bool:
    """Whether there is an open moment now or within the horizon."""
    if schedule.force is not None:
        return schedule.force == "open"
    today = since.astimezone(ZoneInfo(schedule.time_zone)).date()
    return is_open(schedule, since) or any(
        windows_of(schedule, today + index * _ONE_DAY) for index in range(HORIZON_DAYS)
    )


def windows_of(schedule: Schedule, day: date) -> list[Window]:
    """The windows that open on a local day."""
    for override in schedule.overrides:
        if override.day == day:
            return list(override.windows)
    if any(holiday.day == day for holiday in schedule.holidays):
        return []
    return list(_of_week(schedule, _DAYS[day.weekday()]))


def _of_week(schedule: Schedule, weekday: str) -> Iterable[Window]:
    return (window for window in schedule.weekly if weekday in window.days)


def _span(day: date, window: Window) -> tuple[datetime, datetime]:
    begin, end = _moment(day, window.opens), _moment(day, window.closes)
    return begin, end if end > begin else end + _ONE_DAY


def _moment(day: date, clock: str) -> datetime:
    if clock == "24:00":
        return datetime.combine(day + _ONE_DAY, time())
    return datetime.combine(day, time.fromisoformat(clock))
