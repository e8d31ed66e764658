import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.config.load import load
from edgeface.config.schema import Config, GallerySettings, PauseSettings
from edgeface.errors import ConfigError, EdgefaceError
from edgeface.operations.pause import BY_HOURS, SAVE_EVERY, Pause, moment
from edgeface.operations.pause_topic import Clocks
from edgeface.types import Paused

BERLIN = ZoneInfo("Europe/Berlin")
WALL = 1_800_000_000.0
YEAR = 366 * 86400.0


@dataclass
class Time:
    """The two clocks of a machine."""

    running: float = 1000.0
    wall: float = WALL

    def passes(self, seconds: float) -> None:
        self.running += seconds
        self.wall += seconds

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.running, lambda: self.wall)


def config(folder: Path, *hours: str) -> Config:
    return Config(gallery=GallerySettings(str(folder / "gallery.db")), pause=PauseSettings(hours))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pause(tmp_path: Path, time: Time) -> Pause:
    return Pause(config(tmp_path), time.clocks)


def restarted(folder: Path, time: Time, *hours: str) -> Pause:
    return Pause(config(folder, *hours), time.clocks)


def test_a_pause_lasts_until_somebody_resumes_over_restarts(pause: Pause, tmp_path: Path, time: Time) -> None:
    assert pause.now() is None
    assert pause.begin(None, "guests") == pause.now() == Paused(WALL, None, "guests")
    time.passes(YEAR)
    again = restarted(tmp_path, time)
    assert again.now() == Paused(WALL, None, "guests")
    again.resume()
    assert again.now() is None
    assert restarted(tmp_path, time).now() is None
    assert not (tmp_path / "pause.json").exists()


def test_a_pause_of_two_hours_is_over_by_itself(pause: Pause, tmp_path: Path, time: Time) -> None:
    pause.begin(WALL + 7200, "")
    time.passes(7199)
    assert pause.now() == Paused(WALL, WALL + 7200, "")
    time.passes(1)
    assert pause.now() is None
    assert restarted(tmp_path, time).now() is None


def test_the_time_that_a_machine_was_off_counts(pause: Pause, tmp_path: Path, time: Time) -> None:
    pause.begin(WALL + 7200, "")
    time.wall, time.running = time.wall + 7000, 5.0
    again = restarted(tmp_path, time)
    assert again.now()
    time.passes(200)
    assert again.now() is None


def test_a_clock_that_is_set_forward_opens_no_camera_early(pause: Pause, time: Time) -> None:
    pause.begin(WALL + 7200, "")
    time.wall += YEAR  # the network sets the clock of a board without a battery
    assert pause.now()
    time.passes(7200)
    assert pause.now() is None


def test_a_clock_that_is_set_forward_ends_a_pause_until_a_time_of_day(pause: Pause, time: Time) -> None:
    pause.begin(WALL + 7200, "", timed=True)
    time.wall += 7200
    assert pause.now() is None


def test_a_clock_that_is_set_back_makes_no_pause_last_for_ever(pause: Pause, tmp_path: Path, time: Time) -> None:
    pause.begin(WALL + 7200, "", timed=True)
    time.passes(6000)
    assert pause.now()
    time.wall -= YEAR
    again = restarted(tmp_path, time)
    time.passes(7200 - 6000 + SAVE_EVERY)
    assert pause.now() is None
    assert again.now() is None


steps = st.lists(
    st.one_of(
        st.tuples(st.just("passes"), st.floats(0, 2000)),
        st.tuples(st.just("set"), st.floats(-YEAR, YEAR)),
        st.tuples(st.just("restart"), st.floats(0, 2000)),
        st.tuples(st.just("reload"), st.just(0.0)),
    ),
    max_size=30,
)


@given(steps, st.floats(1, 20_000), st.booleans())
def test_whatever_the_clock_does_a_pause_ends_in_time_and_not_early(
    drawn: list[tuple[str, float]], length: float, timed: bool
) -> None:
    with TemporaryDirectory() as folder:
        time, restarts, jumps = Time(), 0, 0
        pause = restarted(Path(folder), time)
        pause.begin(WALL + length, "", timed=timed)
        ran = 0.0
        for what, seconds in drawn:
            if what == "passes":
                time.passes(seconds)
                ran += seconds
            elif what == "set":
                time.wall = max(0.0, time.wall + seconds)
                jumps += 1
            elif what == "restart":
                time.wall, time.running, restarts = time.wall + seconds, 0.0, restarts + 1
                pause = restarted(Path(folder), time)
            else:
                pause = Pause(config(Path(folder), "mon 00:00-00:01"), time.clocks, before=pause)
            paused = pause.now()
            if ran > length + restarts * SAVE_EVERY + 1:
                assert paused is None or paused.why == BY_HOURS
            if ran < length - 1 and not restarts and not (timed and jumps):
                assert paused
                assert paused.why != BY_HOURS


def test_hours_pause_by_themselves_and_resume_holds_until_they_come_again(tmp_path: Path) -> None:
    monday = datetime(2026, 11, 30, 7, 59).timestamp()
    time = Time(wall=monday)
    pause = restarted(tmp_path, time, "mon-fri 08:00-17:00")
    assert pause.now() is None
    time.passes(60)
    assert pause.now() == Paused(monday + 60, datetime(2026, 11, 30, 17).timestamp(), BY_HOURS)
    pause.resume()
    assert pause.now() is None
    time.passes(8 * 3600)
    again = restarted(tmp_path, time, "mon-fri 08:00-17:00")
    assert again.now() is None
    time.passes(3600)
    assert again.now() is None
    time.passes(15 * 3600)
    assert again.now()


def test_a_clock_that_is_set_back_keeps_no_camera_awake_over_its_hours(tmp_path: Path) -> None:
    time = Time(wall=datetime(2026, 11, 30, 16).timestamp())
    pause = restarted(tmp_path, time, "08:00-17:00")
    pause.resume()
    assert pause.now() is None
    time.wall -= 12 * 3600
    assert pause.now() is None
    time.passes(8 * 3600)
    assert pause.now()


def test_a_request_outlasts_the_hours(tmp_path: Path) -> None:
    time = Time(wall=datetime(2026, 11, 30, 16).timestamp())
    pause = restarted(tmp_path, time, "08:00-17:00")
    pause.begin(None, "guests")
    time.passes(5 * 3600)
    assert pause.now()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"request": {"since": 1e300}}', b'{"request": {}}', b"\xff" * 100])
def test_a_file_that_cannot_be_read_is_a_pause_until_somebody_resumes(tmp_path: Path, time: Time, data: bytes) -> None:
    (tmp_path / "pause.json").write_bytes(data)
    pause = restarted(tmp_path, time)
    assert pause.now() == Paused(WALL, None, "pause.json cannot be read: edgeface resume")
    pause.resume()
    assert restarted(tmp_path, time).now() is None


def test_a_pause_that_cannot_be_noted_holds_and_is_told(tmp_path: Path, time: Time) -> None:
    (tmp_path / "pause.json").mkdir()
    pause = restarted(tmp_path, time)
    pause.resume()
    assert "a restart forgets this" in (pause.trouble or "")
    pause.begin(None, "")
    assert pause.now()
    assert "a restart forgets this" in (pause.trouble or "")


def test_the_rest_of_a_pause_is_noted_now_and_then(pause: Pause, tmp_path: Path, time: Time) -> None:
    pause.begin(WALL + 3 * SAVE_EVERY, "")
    time.passes(SAVE_EVERY)
    pause.now()
    assert json.loads((tmp_path / "pause.json").read_bytes())["request"]["left"] == 2 * SAVE_EVERY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18:00", "2026-11-30T18:00+01:00"),
        ("09:00", "2026-12-01T09:00+01:00"),
        ("12:00", "2026-12-01T12:00+01:00"),
        ("2026-12-24T18:00", "2026-12-24T18:00+01:00"),
        ("2026-12-24T18:00Z", "2026-12-24T18:00+00:00"),
    ],
)
def test_an_end_is_the_next_such_time_or_a_moment(text: str, expected: str) -> None:
    noon = datetime(2026, 11, 30, 12, tzinfo=BERLIN).timestamp()
    assert moment(text, noon, BERLIN) == datetime.fromisoformat(expected).timestamp()


@pytest.mark.parametrize(
    "text", ["", "6pm", "25:00", "12:60", "2026-13-01T00:00", "1999-01-01T00:00", "2126-01-01T00:00", "9" * 40]
)
def test_what_is_no_time_to_come_is_refused(text: str) -> None:
    with pytest.raises(EdgefaceError, match=r"^[^\n]+$"):
        moment(text, datetime(2026, 11, 30, 12, tzinfo=BERLIN).timestamp(), BERLIN)


@given(
    st.integers(0, 23), st.integers(0, 59), st.floats(1_600_000_000, 2_000_000_000), st.sampled_from([BERLIN, ZoneInfo("UTC")])
)
def test_a_time_of_day_is_within_a_day_and_shown_by_the_clock(hour: int, minute: int, wall: float, zone: ZoneInfo) -> None:
    found = moment(f"{hour:02d}:{minute:02d}", wall, zone)
    assert wall < found <= wall + 25 * 3600 + 3600
    shown = datetime.fromtimestamp(found, zone)
    assert (shown.hour, shown.minute) == (hour, minute) or (zone is BERLIN and hour == 2)  # an hour that the clock leaves out


def test_settings_with_hours_that_are_none_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "edgeface.toml"
    file.write_text('[pause]\nhours = ["always"]\n')
    with pytest.raises(ConfigError, match="pause"):
        load(file)
