"""Cron expressions: five fields of a wall clock, or a word for them. Pure.

Minute, hour, day of the month, month, day of the week; lists, ranges, steps, names. Where both days
are given, either will do. An hour that a clock change skips has no times, one that it repeats has
them twice, as upstream's library (robfig/cron) does. Source: crontab(5), the CronJob reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from pykubelet.errors import Invalid

_NAMES_OF_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_NAMES_OF_DAYS = "sun mon tue wed thu fri sat"
_MONTHS = {name: number for number, name in enumerate(_NAMES_OF_MONTHS.split(), 1)}
_DAYS = {name: number for number, name in enumerate(_NAMES_OF_DAYS.split())}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_FARTHEST = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`every` seconds, or the values that each field may have."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    either_day: bool = False
    every: float = 0.0

    def after(self, seconds: float, zone: tzinfo = UTC) -> float | None:
        """The first time later than this one, both in wall seconds; None if there is none within
        five years."""
        if self.every:
            return float(int(seconds) + self.every)
        at = datetime.fromtimestamp((int(seconds) // 60 + 1) * 60, zone)
        end = at + _FARTHEST
        while at < end:
            if at.month not in self.months:
                first = at.replace(day=1, hour=0, minute=0, fold=0)
                at = _later(at, first + timedelta(days=32), day=1)
            elif not self._on(at):
                at = _later(at, at + timedelta(days=1))
            elif at.hour not in self.hours:
                at = _moved(at, 60 - at.minute)
            elif at.minute not in self.minutes:
                later = [m for m in self.minutes if m > at.minute]
                at = _moved(at, min(later, default=60) - at.minute)
            else:
                return at.timestamp()
        return None

    def _on(self, at: datetime) -> bool:
        day, weekday = at.day in self.days, at.isoweekday() % 7 in self.weekdays
        return (day or weekday) if self.either_day else (day and weekday)


def _moved(at: datetime, minutes: int) -> datetime:
    """So many minutes later, as time passes and not as the clock shows."""
    return datetime.fromtimestamp(at.timestamp() + 60 * minutes, at.tzinfo)


def _later(at: datetime, other: datetime, day: int | None = None) -> datetime:
    """The beginning of the other's day, or of the day of its month; never earlier than `at`."""
    begin = other.replace(day=day or other.day, hour=0, minute=0, fold=0)
    found = datetime.fromtimestamp(begin.timestamp(), at.tzinfo)
    return found if found > at else _moved(at, 60)


@lru_cache(maxsize=512)
def parse(text: str) -> Schedule:
    """Raises Invalid saying which field is wrong."""
    given = text.strip()
    if given.startswith("@every "):
        return Schedule(every=_duration(given.removeprefix("@every "), text))
    fields = _WORDS.get(given, given).split()
    if len(fields) != len(_FIELDS):
        raise Invalid("not a schedule", expected="five fields or a word like @daily", found=text)
    values = [_values(field, *of) for field, of in zip(fields, _FIELDS, strict=True)]
    weekdays = frozenset(value % 7 for value in values[4])
    starred = fields[2][0] in "*?" or fields[4][0] in "*?"
    return Schedule(values[0], values[1], values[2], values[3], weekdays, not starred)


def _values(
    field: str, what: str, lowest: int, highest: int, names: dict[str, int]
) -> frozenset[int]:
    def number(word: str) -> int:
        value = names.get(word.lower(), int(word) if word.isdigit() else -1)
        if not lowest <= value <= highest:
            raise Invalid(
                f"not a {what}", expected=f"{lowest} to {highest}", found=repr(word or field)
            )
        return value

    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isdigit() and int(step)):
            raise Invalid(f"not a step of a {what}", found=repr(part))
        if span in ("*", "?"):
            first, last = lowest, min(highest, 6) if names is _DAYS else highest
        else:
            begin, dash, end = span.partition("-")
            first = number(begin)
            last = number(end) if dash else (highest if slash else first)
        if last < first:
            raise Invalid(f"the range of a {what} runs backwards", found=repr(part))
        found |= set(range(first, last + 1, int(step) if slash else 1))
    return frozenset(found)


def _duration(text: str, whole: str) -> float:
    parts = _DURATION.findall(text)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text.strip() or seconds < 1:
        raise Invalid("not a schedule", expected="@every with a duration like 1h30m", found=whole)
    return float(int(seconds))


def zone_of(name: str | None) -> tzinfo:
    """A time zone by its name in the IANA database; UTC without one. Raises Invalid."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise Invalid("no such time zone", expected="an IANA name", found=repr(name)) from error


#: Missed times that are too many to be an accident.
TOO_MANY = 100


def latest(schedule: Schedule, zone: tzinfo, since: float, now: float) -> tuple[float | None, int]:
    """(the last time after `since` that is not after `now`, how many there were, counted to a
    little more than TOO_MANY)."""
    found: float | None = None
    missed = 0
    at = schedule.after(since, zone)
    while at is not None and at <= now:
        found, missed = at, missed + 1
        if missed > TOO_MANY:
            return _last_before(schedule, zone, found, now), missed
        at = schedule.after(at, zone)
    return found, missed


def _last_before(schedule: Schedule, zone: tzinfo, known: float, now: float) -> float:
    """The last time not after `now`, by looking back ever farther instead of counting up from a
    time long ago."""
    back = 3600.0
    while now - back > known:
        at = schedule.after(now - back, zone)
        if at is not None and at <= now:
            known = at
            break
        back *= 4
    following = schedule.after(known, zone)
    while following is not None and following <= now:
        known, following = following, schedule.after(following, zone)
    return known
