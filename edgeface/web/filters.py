"""Writes times and shares as people say them, for the HTML templates."""

from datetime import datetime


def day(wall: float) -> str:
    then, now = datetime.fromtimestamp(wall).date(), datetime.now().date()
    away = (now - then).days
    if away in (0, 1):
        return "today" if away == 0 else "yesterday"
    return f"{then:%A}, {then.day} {then:%B}" + ("" if then.year == now.year else f" {then.year}")


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
    return "over 99%" if share > 0.995 else f"{100 * share:.0f}%"


def ago(seconds: float) -> str:
    """Return a duration in one unit; a day is 24 hours."""
    for size, unit in ((24 * 3600, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size * (2 if unit == "day" else 1):
            count = round(seconds / size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{round(seconds)} seconds"


def camera(name: str) -> str:
    """Return what a camera is called in a heading; ``camera`` is the name of one that was given none."""
    return "Camera" if name == "camera" else f"Camera {name}"


def capitalize_first(text: str) -> str:
    return text[:1].upper() + text[1:]


FILTERS = {
    function.__name__: function
    for function in (day, stamp, clock, minute, form_time, moment, iso, percent, ago, camera, capitalize_first)
}
