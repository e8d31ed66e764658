"""Reads weekly hours, such as "mon-fri 08:00-17:00", and tells whether a moment is within them, by the local clock."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60
WEEK = 7 * DAY
_SHAPE = re.compile(r"(?:([a-z,-]+) )?(\d\d):(\d\d)-(\d\d):(\d\d)\Z")


@dataclass(frozen=True, slots=True)
class WeeklyHours:
    """Minutes of a week, as half-open spans: apart, in order, and within the week, which begins on Monday at midnight."""

    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "WeeklyHours":
        """Read hours, each of days and times or of times alone; raise ``ValueError`` with what is wrong with one."""
        return cls(_joined(span for text in texts for span in _spans(text)))

    def __bool__(self) -> bool:
        return bool(self.spans)

    def has(self, wall: float, zone: tzinfo | None = None) -> bool:
        """Return whether a time is within the hours, by the clock of ``zone``, or of this machine."""
        return self._span(_minute(datetime.fromtimestamp(wall, zone))) is not None

    def ends(self, wall: float, zone: tzinfo | None = None) -> float | None:
        """Return when the hours that a time is within are over; ``None`` if it is within none, or if they never are."""
        now = datetime.fromtimestamp(wall, zone)
        span = self._span(_minute(now))
        if span is None or span == (0, WEEK):
            return None
        end = span[1]
        if end == WEEK and self.spans[0][0] == 0:
            end += self.spans[0][1]  # from Sunday into Monday
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        local = midnight + timedelta(days=-now.weekday(), minutes=end)
        return (local.astimezone() if zone is None else local.replace(tzinfo=zone)).timestamp()

    def _span(self, minute: int) -> tuple[int, int] | None:
        return next((span for span in self.spans if span[0] <= minute < span[1]), None)


def _minute(moment: datetime) -> int:
    return moment.weekday() * DAY + moment.hour * 60 + moment.minute


def _spans(text: str) -> list[tuple[int, int]]:
    match = _SHAPE.match(" ".join(text.lower().split()))
    if match is None:
        raise ValueError(f'{text!r} is not like "mon-fri 08:00-17:00", "sat,sun 10:00-12:00" or "22:00-06:00"')
    days, *times = match.groups()
    hour, minute, last_hour, last_minute = map(int, times)
    begin, end = hour * 60 + minute, last_hour * 60 + last_minute
    if minute > 59 or last_minute > 59 or begin >= DAY or end > DAY:
        raise ValueError(f"{text!r}: times are from 00:00 to 24:00")
    if begin == end:
        raise ValueError(f"{text!r} begins and ends at one time; a whole day is 00:00-24:00")
    length = end - begin if end > begin else end + DAY - begin
    found = []
    for day in _days(days, text):
        start = day * DAY + begin
        found += [(start, min(start + length, WEEK)), (0, max(0, start + length - WEEK))]
    return found


def _days(words: str | None, text: str) -> list[int]:
    found: list[int] = []
    for word in (words or "mon-sun").split(","):
        first, _, last = word.partition("-")
        if first not in DAYS or (last or first) not in DAYS or word.endswith("-"):
            raise ValueError(f"{text!r}: days are {', '.join(DAYS)}, such as mon-fri or sat,sun")
        start, end = DAYS.index(first), DAYS.index(last or first)
        found += [day % 7 for day in range(start, end + 1 if end >= start else end + 8)]
    return found


def _joined(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return tuple(joined)
