"""Writes times, shares and numbers as people say them, for the HTML templates."""

from datetime import datetime

from edgeface.web.language import _, current, plural, said

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def day(wall: float) -> str:
    then, now = datetime.fromtimestamp(wall).date(), datetime.now().date()
    away = (now - then).days
    if away in (0, 1):
        return _("today") if away == 0 else _("yesterday")
    fields = {"weekday": _(WEEKDAYS[then.weekday()]), "day": then.day, "month": _(MONTHS[then.month - 1]), "year": then.year}
    return _("{weekday}, {day} {month}", **fields) if then.year == now.year else _("{weekday}, {day} {month} {year}", **fields)


def stamp(text: str) -> float:
    """Read a time as payloads have it."""
    return datetime.fromisoformat(text).timestamp()


def clock(wall: float) -> str:
    return f"{datetime.fromtimestamp(wall):%H:%M}"


def minute(wall: float) -> int:
    """Return the minute of the day."""
    then = datetime.fromtimestamp(wall)
    return 60 * then.hour + then.minute


def moment(wall: float) -> str:
    return f"{day(wall)}, {clock(wall)}"


def form_time(wall: float | None) -> str:
    """Return a time as a form has it; empty for none."""
    return "" if wall is None else datetime.fromtimestamp(wall).isoformat(timespec="minutes")


def iso(wall: float) -> str:
    return datetime.fromtimestamp(wall).astimezone().isoformat(timespec="seconds")


def percent(share: float) -> str:
    """Return a share in per cent, never rounded up to certainty."""
    return _("over {share}", share=_("{number}%", number=99)) if share > 0.995 else _("{number}%", number=round(100 * share))


def ago(seconds: float) -> str:
    """Return a duration in one unit; a day is 24 hours."""
    if seconds >= 2 * 24 * 3600:
        return days(round(seconds / 24 / 3600))
    if seconds >= 3600:
        return plural("{count} hour", "{count} hours", round(seconds / 3600))
    if seconds >= 60:
        return plural("{count} minute", "{count} minutes", round(seconds / 60))
    return plural("{count} second", "{count} seconds", round(seconds))


def days(count: float) -> str:
    return plural("{count} day", "{count} days", count)


def number(value: float) -> str:
    return current().number(value)


def decimal(value: float) -> str:
    """Return a number with two decimals."""
    return current().number(value, 2)


def camera(name: str) -> str:
    """Return what a camera is called in a heading; ``camera`` is the name of one that was given none."""
    return _("Camera") if name == "camera" else _("Camera {name}", name=name)


def capitalize_first(text: str) -> str:
    return text[:1].upper() + text[1:]


FILTERS = {
    function.__name__: function
    for function in (
        *(day, stamp, clock, minute, form_time, moment, iso, percent, ago, days, number, decimal, camera, capitalize_first),
        said,
    )
}
