"""Whether a CronJob's schedule can be read. The times themselves are the controller's business.

The standard five fields, or `@daily` and the like, or `@every 1h`. Source: the CronJob page of the
documentation ("Schedule syntax"), crontab(5).
"""

from __future__ import annotations

import re

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12),
           ("day of week", 0, 6))  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {
    3: {name: number for number, name in enumerate(_MONTHS, 1)},
    4: {name: number for number, name in enumerate(_DAYS)},
}
_WORDS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_EVERY = re.compile(r"@every (?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")


def complaint(schedule: str) -> str:
    """What is wrong with a schedule; nothing if it can be read."""
    text = schedule
    if text.startswith(("TZ=", "CRON_TZ=")):
        _, space, text = text.partition(" ")
        if not space:
            return f"provided bad location {schedule}"
    text = text.strip()
    if text.startswith("@"):
        if text in _WORDS or _EVERY.fullmatch(text):
            return ""
        if text.startswith("@every"):
            return f"failed to parse duration {text}"
        return f"unrecognized descriptor: {text}"
    words = text.split()
    if len(words) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]"
    for position, word in enumerate(words):
        for part in word.split(","):
            wrong = _part(part, position)
            if wrong:
                return wrong
    return ""


def _part(part: str, position: int) -> str:
    """One range of a field: `*`, `?`, `a`, `a-b`, each perhaps with `/step`."""
    _, low, high = _FIELDS[position]
    span, slash, step = part.partition("/")
    if "/" in step:
        return f"too many slashes: {part}"
    first, dash, last = span.partition("-")
    if "-" in last:
        return f"too many hyphens: {part}"
    if span in ("*", "?"):
        begin, end = low, high
    else:
        found = []
        for text in (first, last) if dash else (first,):
            number = _NAMES.get(position, {}).get(text.lower())
            if number is None:
                if not text.isdecimal():
                    return f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'  # noqa: E501
                number = int(text)
            found.append(number)
        begin = found[0]
        end = found[-1] if dash or not slash else high
    if slash:
        if not step.isdecimal():
            return (
                f'failed to parse int from {step}: strconv.Atoi: parsing "{step}": invalid syntax'
            )
        if int(step) == 0:
            return f"step of range should be a positive number: {part}"
    if begin < low:
        return f"beginning of range ({begin}) below minimum ({low}): {part}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {part}"
    if begin > end:
        return f"beginning of range ({begin}) beyond end of range ({end}): {part}"
    return ""
