from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.config.hours import DAYS, WEEK, WeeklyHours

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")]
BERLIN = ZONES[1]
WALLS = st.floats(1_600_000_000, 2_000_000_000)


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("text", "within", "without"),
    [
        (
            "mon-fri 08:00-17:00",
            ["2026-11-30T08:00", "2026-12-04T16:59:59"],
            ["2026-11-30T07:59:59", "2026-11-30T17:00", "2026-12-05T12:00"],
        ),
        ("sat,sun 10:00-12:00", ["2026-12-05T10:00", "2026-12-06T11:59"], ["2026-12-04T11:00", "2026-12-06T12:00"]),
        ("22:00-06:00", ["2026-12-01T23:00", "2026-12-02T05:59"], ["2026-12-01T21:59", "2026-12-02T06:00"]),
        ("sun 22:00-06:00", ["2026-12-06T22:00", "2026-12-07T05:00"], ["2026-12-06T05:00", "2026-12-08T05:00"]),
        ("fri-mon 00:00-24:00", ["2026-12-04T00:00", "2026-12-07T23:59"], ["2026-12-08T00:00", "2026-12-03T23:59"]),
        ("  Mon   08:00-09:00 ", ["2026-11-30T08:30"], ["2026-12-01T08:30"]),
    ],
)
def test_hours_are_of_the_days_that_they_begin_on(text: str, within: list[str], without: list[str]) -> None:
    hours = WeeklyHours.of([text])
    assert all(hours.has(at(moment), BERLIN) for moment in within)
    assert not any(hours.has(at(moment), BERLIN) for moment in without)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mon",
        "08:00",
        "mon 8:00-9:00",
        "mon 08:00-08:00",
        "mon 24:00-25:00",
        "mon 08:60-09:00",
        "xyz 08:00-09:00",
        "mon- 08:00-09:00",
        "mon,,tue 08:00-09:00",
        "08:00-24:01",
        "mon-fri-sun 08:00-09:00",
        "mon 08:00-09:00 10:00-11:00",
    ],
)
def test_what_is_no_hours_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        WeeklyHours.of([text])


def test_no_hours_have_no_moment() -> None:
    assert not WeeklyHours.of([])
    assert not WeeklyHours.of([]).has(0.0)
    assert WeeklyHours.of([]).ends(0.0) is None


def test_hours_of_the_whole_week_never_end() -> None:
    hours = WeeklyHours.of(["00:00-24:00"])
    assert hours.spans == ((0, WEEK),)
    assert hours.ends(at("2026-12-01T12:00"), BERLIN) is None


def test_in_the_hour_that_a_clock_leaves_out_there_is_nothing_and_in_the_one_it_repeats_all_twice() -> None:
    hours = WeeklyHours.of(["02:00-03:00"])
    spring, autumn = at("2026-03-29T00:00"), at("2026-10-25T00:00")
    minutes = range(6 * 60)
    assert sum(hours.has(spring + 60 * minute, BERLIN) for minute in minutes) == 0
    assert sum(hours.has(autumn + 60 * minute, BERLIN) for minute in minutes) == 120


times = st.tuples(st.sets(st.sampled_from(DAYS), min_size=1), st.integers(0, 1439), st.integers(1, 1440)).filter(
    lambda drawn: drawn[1] != drawn[2]
)


@given(st.lists(times, min_size=1, max_size=4), WALLS, st.sampled_from(ZONES))
def test_hours_are_by_the_local_clock_in_any_zone(drawn: list[tuple[set[str], int, int]], wall: float, zone: ZoneInfo) -> None:
    hours = WeeklyHours.of(f"{','.join(sorted(days))} {_clock(begin)}-{_clock(end)}" for days, begin, end in drawn)
    local = datetime.fromtimestamp(wall, zone)
    today, yesterday = DAYS[local.weekday()], DAYS[(local - timedelta(days=1)).weekday()]
    minute = 60 * local.hour + local.minute
    expected = any(
        (today in days and begin <= minute < (end if end > begin else 1440)) or (yesterday in days and minute < end < begin)
        for days, begin, end in drawn
    )
    assert hours.has(wall, zone) is expected
    ends = hours.ends(wall, zone)
    if ends is not None:
        assert expected
        assert ends > wall - 3600  # while a clock repeats an hour, the end may be that of the first time
        assert not hours.has(ends, zone) or _jumps(ends, zone)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _jumps(wall: float, zone: ZoneInfo) -> bool:
    """Whether the clock is changed within two hours."""
    before, after = (datetime.fromtimestamp(wall + seconds, zone).utcoffset() for seconds in (-7200, 7200))
    return before != after
