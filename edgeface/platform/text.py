"""Writes figures, times and names as people read them."""

from datetime import datetime

JOINERS = "\u200c\u200d"  # zero-width characters, not printable to Python, that names in Persian, Sinhala and others need


def duration(seconds: float) -> str:
    """Return seconds in two units at most, such as "2 h 5 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{value} {unit}" for value, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")) if value]
    return " ".join(parts[:2]) or "0 s"


def apart(value: float, needed: float, digits: int = 2) -> tuple[str, str]:
    """Return a value and what it needs to be, with as many digits as tell whether it is less."""
    while value < needed and digits < 9 and round(value, digits) >= round(needed, digits):
        digits += 1
    return f"{value:.{digits}f}", f"{needed:.{digits}f}"


def scored(score: float, threshold: float) -> str:
    """Return a score and its threshold, such as "score 0.76 (needs 0.45)"."""
    return "score {} (needs {})".format(*apart(score, threshold))


def local(timestamp: str) -> str:
    """Return a time in RFC 3339 as one of this machine's time zone, such as "2026-11-24 11:15:07"."""
    return f"{datetime.fromisoformat(timestamp).astimezone():%Y-%m-%d %H:%M:%S}"


def printable(text: str) -> str:
    """Return a text without the control characters that a terminal would obey."""
    return "".join(one if one.isprintable() or one in JOINERS else "\N{REPLACEMENT CHARACTER}" for one in text)
