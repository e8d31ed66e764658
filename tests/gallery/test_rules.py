import json
import sqlite3
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.config.hours import DAYS
from edgeface.errors import GalleryError
from edgeface.gallery.retention import Clocks
from edgeface.gallery.rules import DAY, EARLIEST, NONE, Rules, changed
from edgeface.gallery.store import Gallery

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")]
WALLS = st.floats(EARLIEST, 2_000_000_000)
MODEL = "sha256:" + 64 * "1"
AXES = np.eye(128, dtype=np.float32)
NOW = 1_800_000_000.0


def open_gallery(folder: Path, name: str = "gallery.db") -> Gallery:
    return Gallery(folder / name, MODEL, key_file=folder / "gallery.key")


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    gallery = open_gallery(tmp_path)
    for number, name in enumerate(("Anna", "Bert")):
        gallery.enroll(name, [AXES[number]], [0.9])
    return gallery


ANNAS = Rules(ignored=True, muted_since=NOW, muted_until=NOW + 60, hours=("mon 08:00-09:00",), groups=("family",))


def test_rules_are_kept_whole_and_read_by_another_process(gallery: Gallery, tmp_path: Path) -> None:
    assert gallery.rules() == {}
    person, rules = gallery.rule("Anna", lambda before: ANNAS if before == NONE else NONE)
    assert (person.name, rules) == ("Anna", ANNAS)
    assert open_gallery(tmp_path).rules() == gallery.rules() == {person.id: ANNAS}
    assert gallery.rules() is gallery.rules()


def test_rules_that_are_taken_back_leave_no_trace(gallery: Gallery, tmp_path: Path) -> None:
    gallery.rule("Anna", lambda _: ANNAS)
    (sealed,) = sqlite3.connect(tmp_path / "gallery.db").execute("SELECT sealed FROM rules").fetchone()
    gallery.rule("Anna", lambda _: NONE)
    assert gallery.rules() == {gallery.find("Anna").id: NONE}
    files = [file.read_bytes() for file in tmp_path.iterdir() if file.is_file()]
    assert not any(sealed in data for data in files)


def test_rules_are_sealed_and_bound_to_their_person(gallery: Gallery, tmp_path: Path) -> None:
    ids = {person.name: person.id for person in gallery.people()}
    gallery.rule("Anna", lambda _: Rules(groups=("secret society",)))
    gallery.rule("Bert", lambda _: Rules(ignored=True))
    gallery.close()
    assert not any(b"secret society" in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    with sqlite3.connect(tmp_path / "gallery.db") as file:  # somebody exchanges the two
        file.execute("UPDATE rules SET person_id = 'x' WHERE person_id = ?", (ids["Anna"],))
        file.execute("UPDATE rules SET person_id = ? WHERE person_id = ?", (ids["Anna"], ids["Bert"]))
    again = open_gallery(tmp_path)
    assert again.rules() == {}
    assert again.health.state == "damaged"
    assert {(damage.kind, damage.owner) for damage in again.damage()} == {("rule", ids["Anna"]), ("rule", "x")}
    for one in again.damage():
        again.drop(one.id)
    assert again.damage() == []
    assert [person.name for person in again.people()] == ["Anna", "Bert"]


def test_who_is_forgotten_takes_their_rules_along(gallery: Gallery, tmp_path: Path) -> None:
    gallery.rule("Anna", lambda _: ANNAS)
    (sealed,) = sqlite3.connect(tmp_path / "gallery.db").execute("SELECT sealed FROM rules").fetchone()
    gallery.forget("Anna")
    assert gallery.rules() == {}
    assert not any(sealed in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


def test_a_change_of_nobody_s_rules_is_refused(gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match="nobody called"):
        gallery.rule("Eve", lambda _: ANNAS)


def test_an_export_has_rules_and_an_import_takes_them_for_who_has_none(gallery: Gallery, tmp_path: Path) -> None:
    gallery.rule("Anna", lambda _: ANNAS)
    exported = gallery.export()
    assert [("rules" in person) for person in json.loads(exported)["people"]] == [True, False]
    other = open_gallery(tmp_path, "other.db")
    other.import_(exported)
    anna = other.find("Anna").id
    assert other.rules() == {anna: ANNAS}
    other.rule("Anna", lambda _: Rules(groups=("guests",)))
    other.import_(exported)
    assert other.rules() == {anna: Rules(groups=("guests",))}


def test_an_export_without_rules_is_as_before(gallery: Gallery, tmp_path: Path) -> None:
    exported = gallery.export()
    assert b"rules" not in exported
    open_gallery(tmp_path, "other.db").import_(exported)


@pytest.mark.parametrize("rules", ['{"ignored": true}', '[true, "now"]', "[1e99]", '[false, null, null, [], ["\\u0000"]]'])
def test_an_import_with_rules_that_are_none_changes_nothing(gallery: Gallery, tmp_path: Path, rules: str) -> None:
    document = json.loads(gallery.export())
    document["people"][0]["rules"] = json.loads(rules)
    other = open_gallery(tmp_path, "other.db")
    with pytest.raises(GalleryError, match="not an export"):
        other.import_(json.dumps(document).encode())
    assert other.people() == []


class Machine:
    """The clocks of a machine whose wall clock the network may have set."""

    def __init__(self) -> None:
        self.running, self.wall, self.is_set, self.boots = 100.0, NOW, True, 0

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.running, lambda: self.wall, lambda: str(self.boots), lambda: self.is_set)

    def passes(self, seconds: float) -> None:
        self.running += seconds
        self.wall += seconds


def guest(gallery: Gallery, machine: Machine, seconds: float) -> str:
    gallery._rules.clocks = machine.clocks
    return gallery.rule("Anna", lambda _: Rules(expires=machine.wall + seconds))[0].id


def test_a_guest_s_time_is_over_by_a_clock_that_is_set(gallery: Gallery) -> None:
    machine = Machine()
    anna = guest(gallery, machine, 3600)
    machine.passes(3599)
    assert gallery.expired() == []
    machine.passes(1)
    assert gallery.expired() == [anna]


def test_a_clock_that_is_wrong_forgets_nobody_early_and_keeps_nobody_for_ever(gallery: Gallery) -> None:
    machine = Machine()
    anna = guest(gallery, machine, 3600)
    machine.is_set, machine.wall = False, NOW + 10 * 365 * DAY
    assert gallery.expired() == []
    machine.wall = 0.0
    machine.running += 3601
    assert gallery.expired() == [anna]


def test_a_clock_that_is_set_back_keeps_nobody_for_ever(gallery: Gallery) -> None:
    machine = Machine()
    anna = guest(gallery, machine, 3600)
    machine.wall -= 365 * DAY
    machine.running += 3600
    assert gallery.expired() == [anna]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 2000), st.floats(-DAY, DAY), st.booleans()), max_size=12))
def test_a_guest_s_time_is_what_surely_passed_whatever_the_clock_does(steps: list[tuple[float, float, bool]]) -> None:
    with TemporaryDirectory() as folder:
        gallery = open_gallery(Path(folder))
        gallery.enroll("Anna", [AXES[0]], [0.9])
        machine, passed, booted = Machine(), 0.0, False
        machine.is_set = False
        guest(gallery, machine, 5000)
        for seconds, jump, restart in steps:
            machine.running, machine.wall = machine.running + seconds, machine.wall + seconds + jump
            passed += 1.0 if booted else seconds  # nobody knows when a machine was started, but that it took a second
            if abs(passed - 5000) > 0.01:
                assert bool(gallery.expired()) is (passed > 5000)
            booted = restart
            if restart:
                machine.boots, machine.running = machine.boots + 1, 0.0
        gallery.close()


# What rules mean


def test_a_mute_without_an_end_lasts_whatever_the_clock_says() -> None:
    assert all(Rules(muted_since=NOW).muted(wall) for wall in (0.0, NOW, 2 * NOW))
    assert not NONE.muted(NOW)


@given(st.floats(0, 30 * DAY), st.floats(0, 4e9))
def test_a_mute_ends_and_a_clock_that_is_set_back_prolongs_it_by_a_day_at_most(length: float, wall: float) -> None:
    rules = Rules(muted_since=NOW, muted_until=NOW + length)
    muted = rules.muted(wall)
    if NOW <= wall < NOW + length:
        assert muted
    if wall >= NOW + length or wall < NOW - DAY:
        assert not muted


times = st.tuples(st.sets(st.sampled_from(DAYS), min_size=1), st.integers(0, 1438), st.integers(1, 1440)).filter(
    lambda drawn: drawn[1] < drawn[2]
)


@given(st.lists(times, min_size=1, max_size=3), WALLS, st.sampled_from(ZONES))
def test_who_is_expected_is_so_by_the_local_clock_in_any_zone(
    drawn: list[tuple[set[str], int, int]], wall: float, zone: ZoneInfo
) -> None:
    texts = tuple(
        f"{','.join(sorted(days))} {begin // 60:02d}:{begin % 60:02d}-{end // 60:02d}:{end % 60:02d}"
        for days, begin, end in drawn
    )
    local = datetime.fromtimestamp(wall, zone)
    minute = 60 * local.hour + local.minute
    expected = any(DAYS[local.weekday()] in days and begin <= minute < end for days, begin, end in drawn)
    assert Rules(hours=texts).allowed(wall, zone) is expected


def test_without_hours_there_is_nothing_to_say_and_a_clock_that_is_not_set_allows_nobody() -> None:
    assert NONE.allowed(NOW) is None
    always = Rules(hours=("00:00-24:00",))
    assert always.allowed(NOW) is True
    assert always.allowed(0.0) is always.allowed(EARLIEST - 1) is False


def test_rules_are_checked_when_they_change() -> None:
    assert changed(NONE, groups=("a",)) == Rules(groups=("a",))
    for wrong in ({"groups": ("",)}, {"groups": ("x" * 41,)}, {"groups": tuple(map(str, range(17)))}, {"expires": -1.0}):
        with pytest.raises(msgspec.ValidationError):
            changed(NONE, **wrong)
