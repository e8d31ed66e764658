"""Backups of a gallery: whole or not there, read to their end, rotated, and without who was forgotten."""

import os
import random
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from fixtures.backup import config, crowd, damage, enrolled, flip, killed, people, sealed_at, states
from fixtures.disk import fill
from fixtures.galleries import MODEL, WALL, keeping, near, unit, units
from fixtures.optional import needed
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from edgeface.daemon.backup_task import CLOCK, RETRY, SETTLE, Schedule
from edgeface.errors import GalleryError
from edgeface.gallery import backup, copies
from edgeface.gallery.backup import Backups, surplus
from edgeface.gallery.copies import Copy, ForeignCopyError, NoCopyError, check, cleanse, find_copies
from edgeface.gallery.encryption import Key
from edgeface.gallery.records import erasure_mark
from edgeface.gallery.store import Gallery
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Person, Vector
from edgeface.wire.events import Event


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    opened = Gallery(tmp_path / "gallery.db", MODEL, keep_faces=True)
    yield opened
    opened.close()


@pytest.fixture
def backups(tmp_path: Path, gallery: Gallery) -> Backups:
    return Backups(config(tmp_path, gallery={"path": str(tmp_path / "gallery.db"), "keep_faces": True}, backup={"keep": 3}))


def see(gallery: Gallery, person: str, face: Vector) -> str:
    event = Event(
        EventType.RECOGNIZED, new_event_id(WALL), WALL, 0.0, "front", person_id=person, score=0.6, quality=0.8, embedding=face
    )  # fmt: skip
    gallery.events.keep(event, keeping(max=100), b"a picture of a face " * 50)
    return event.event_id


def test_a_copy_is_one_private_file_with_people_templates_and_faces_and_no_events_nor_key(
    tmp_path: Path, gallery: Gallery, backups: Backups
) -> None:
    anna = enrolled(gallery, "Anna", 1, 2)
    see(gallery, anna.id, unit(1))
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as file:
        (event,) = file.execute("SELECT sealed FROM events").fetchone()
    made = backups.make()
    (copy,) = find_copies(backups.folder)
    assert (needed(made).new.copy, needed(made).people, needed(made).damaged) == (copy, 1, ())
    assert {path.name for path in backups.folder.iterdir()} == {copy.path.name, ".lock"}
    assert stat.S_IMODE(copy.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(backups.folder.stat().st_mode) == 0o700
    data = copy.path.read_bytes()
    assert data[18:20] == b"\x01\x01"  # not to be opened with a write-ahead log
    for secret in (backups.key().secret, b"Anna", event, b"a picture of a face"):
        assert secret not in data
    with closing(sqlite3.connect(copy.path)) as file:
        counts = [
            file.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("people", "templates", "faces", "events")
        ]
    assert counts == [1, 2, 2, 0]
    assert check(copy.path, backups.key()).templates == 2
    assert {path.name for path in backups.folder.iterdir()} == {copy.path.name, ".lock"}


@pytest.mark.parametrize("table", ["people", "templates", "faces", "meta", "file", "cut"])
def test_a_copy_with_one_bit_of_damage_is_none(gallery: Gallery, backups: Backups, table: str) -> None:
    enrolled(gallery, "Anna", 1)
    path = needed(backups.make()).new.copy.path
    if table == "cut":
        os.truncate(path, path.stat().st_size - 4096)
    elif table == "meta":
        with closing(sqlite3.connect(path)) as file:
            (proof,) = file.execute("SELECT proof FROM meta").fetchone()
        flip(path, path.read_bytes().rindex(proof))
    else:
        flip(path, 100 if table == "file" else sealed_at(path, table))
    with pytest.raises(NoCopyError):
        check(path, backups.key())
    assert states(backups) != ["ok"]


def test_a_copy_of_another_key_is_told_and_left_alone(tmp_path: Path, gallery: Gallery, backups: Backups) -> None:
    enrolled(gallery, "Anna", 1)
    path = needed(backups.make()).new.copy.path
    with pytest.raises(ForeignCopyError):
        check(path, Key(bytes(32), "another"))
    (tmp_path / "gallery.key").rename(tmp_path / "old.key")
    (tmp_path / "gallery.db").rename(tmp_path / "old.db")
    other = Gallery(tmp_path / "gallery.db", MODEL)
    enrolled(other, "Bert", 2)
    other.close()
    for _ in range(5):
        backups.make()
    assert states(backups) == ["ok", "ok", "ok", "of another key"]
    assert path.exists()


def test_nobody_enrolled_is_nothing_to_back_up_and_costs_no_copy(tmp_path: Path, gallery: Gallery, backups: Backups) -> None:
    enrolled(gallery, "Anna", 1)
    backups.make()
    (tmp_path / "gallery.db").rename(tmp_path / "away")  # lost, and a new one begins with the key that is there
    for left in ("-wal", "-shm"):
        (tmp_path / f"gallery.db{left}").unlink(missing_ok=True)
    Gallery(tmp_path / "gallery.db", MODEL).close()
    for _ in range(5):
        assert backups.make() is None
    assert states(backups) == ["ok"]
    assert people(backups.find()[0].path, backups) == ["Anna"]


def test_a_damaged_gallery_gives_no_copy_and_costs_none(tmp_path: Path, gallery: Gallery, backups: Backups) -> None:
    enrolled(gallery, "Anna", 1)
    for _ in range(3):
        backups.make()
    before = [copy.path for copy in backups.find()]
    damage(tmp_path / "gallery.db")
    for _ in range(5):
        with pytest.raises(GalleryError, match=r"no good copy can be made of it .*edgeface gallery restore"):
            backups.make()
    assert [copy.path for copy in backups.find()] == before
    assert states(backups) == ["ok"] * 3
    assert not list(backups.folder.glob(".gallery*"))


def test_a_damaged_copy_neither_counts_nor_pushes_a_good_one_out(gallery: Gallery, backups: Backups) -> None:
    enrolled(gallery, "Anna", 1)
    made = [needed(backups.make()).new.copy for _ in range(3)]
    flip(made[2].path, sealed_at(made[2].path))
    new = backups.make()
    assert needed(new).damaged == (made[2].path.name,)
    assert states(backups) == ["ok", "damaged: a record does not belong where it stands", "ok", "ok"]
    backups.make()
    assert len(needed(backups.make()).damaged) == 0
    assert states(backups) == ["ok"] * 3


def test_a_folder_that_is_set_must_be_there(tmp_path: Path, gallery: Gallery) -> None:
    enrolled(gallery, "Anna", 1)
    backups = Backups(config(tmp_path, backup={"folder": str(tmp_path / "stick" / "backups")}))
    with pytest.raises(GalleryError, match="is not there: mount or make it"):
        backups.make()
    assert not (tmp_path / "stick").exists()
    (tmp_path / "stick" / "backups").mkdir(parents=True)
    assert needed(backups.make()).new.copy.path.parent == tmp_path / "stick" / "backups"


@pytest.mark.parametrize("left", [0, 200_000])
def test_a_full_disk_costs_no_copy_and_leaves_no_part(
    tmp_path: Path, gallery: Gallery, disk: Path, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        enrolled(gallery, f"Anna {number}", *range(40))
    backups = Backups(config(tmp_path, backup={"folder": str(disk), "keep": 1}))
    first = needed(backups.make()).new.copy
    if left:  # what was free is taken by others meanwhile
        monkeypatch.setattr(Backups, "_refuse_without_room", lambda _: None)
    fill(disk)
    if left:
        os.truncate(disk / "fill", (disk / "fill").stat().st_size - left)
    for _ in range(3):
        with pytest.raises(GalleryError, match="full"):
            backups.make()
    assert {path.name for path in disk.iterdir()} == {first.path.name, "fill", ".lock"}
    assert check(first.path, backups.key()).people == 10
    (disk / "fill").unlink()
    assert needed(backups.make()).new.copy.number == 2
    assert not first.path.exists()


KEEP = 3
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["day", "day", "day", "damage the gallery", "mend the gallery", "damage a copy", "no room"]),
        st.integers(0, 9),
    ),
    max_size=14,
)


@settings(max_examples=40)
@given(steps=STEPS)
def test_whatever_fails_the_last_good_copies_stay(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("days")
    gallery = Gallery(folder / "gallery.db", MODEL)
    gallery.enroll("Anna", units(1), [0.8])
    gallery.close()
    whole, place = (folder / "gallery.db").read_bytes(), folder / "gallery.db"
    backups = Backups(config(folder, backup={"keep": KEEP}))
    good: list[int] = []
    sound = True
    for what, which in steps:
        if what == "damage a copy" and good:
            victim = next(copy for copy in backups.find() if copy.number == good[which % len(good)])
            flip(victim.path, sealed_at(victim.path))
            good.remove(victim.number)
        elif what.endswith("the gallery"):
            sound = what.startswith("mend")
            place.write_bytes(whole)
            if not sound:
                damage(place)
        elif what == "no room":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(backup, "ROOM", 2**60)
                with pytest.raises(GalleryError, match="the disk is full"):
                    backups.make()
        elif what == "day" and sound:
            good = [*good, needed(backups.make()).new.copy.number][-KEEP:]
            assert len(good) < KEEP or backups.find()[0].number == good[0]
        elif what == "day":
            with pytest.raises(GalleryError):
                backups.make()
        assert [one.copy.number for one in backups.listing() if one.state == "ok"] == good[::-1]


@given(copies=st.lists(st.booleans(), max_size=30), keep=st.integers(0, 9))
def test_what_is_over_is_older_than_the_good_ones_that_stay(copies: list[Any], keep: int) -> None:
    gone = surplus(list(enumerate(copies)), keep)
    good = [number for number, sound in enumerate(copies) if sound]
    stay = [number for number in good if number not in gone]
    assert stay == good[-keep:]
    assert not gone or max(gone) < min(stay)


DAY = 86400.0


def at(number: int, wall: float) -> Copy:
    return Copy.named(Path("/backups"), "00000000", number, wall)


@st.composite
def life(draw: DrawFn) -> list[tuple[float, list[tuple[float, float]]]]:
    """Runs of a process, each with how long it lives and how the wall's clock is set meanwhile, in seconds."""
    jumps = st.sampled_from([-60 * 365 * DAY, -3 * DAY, -DAY, -3600.0, 0.0, 0.0, 3600.0, DAY, 3 * DAY, 70 * 365 * DAY])
    hours = st.sampled_from([0.2, 2.0, 30.0, 100.0])
    return draw(st.lists(st.tuples(hours, st.lists(st.tuples(st.floats(0, 1), jumps), max_size=3)), min_size=1, max_size=8))


@given(runs=life(), failing=st.booleans())
def test_a_clock_that_jumps_makes_neither_many_copies_nor_none(
    runs: list[tuple[float, list[tuple[float, float]]]], failing: bool
) -> None:
    wall, now, newest, number = 60 * 365 * DAY, 0.0, None, 0
    for hours, jumps in runs:
        schedule, started, made = Schedule(DAY, now), now, []
        end, due = now + 3600 * hours, sorted(jumps)
        while now < end:
            if due and now >= started + due[0][0] * 3600 * hours:
                wall = max(0.0, wall + due.pop(0)[1])
            if schedule.due(newest, now, wall):
                schedule.tried(now)
                made.append(now)
                if not failing:
                    number += 1
                    newest = at(number, wall)
            now, wall = now + 300, wall + 300
        gaps = np.diff(made)
        assert all(gaps >= (RETRY if failing else DAY))
        assert all(moment - started >= SETTLE for moment in made)
        if end - started > DAY + CLOCK + 600:
            assert made
        assert len(made) <= 1 + (end - started) / (RETRY if failing else DAY)


def test_after_a_restart_the_age_is_that_of_the_newest_copy() -> None:
    day = Schedule(DAY, 0.0)
    assert not day.due(at(1, 1e9), SETTLE, 1e9 + DAY / 2)
    assert day.due(at(1, 1e9), SETTLE + 1, 1e9 + DAY)
    assert not Schedule(DAY, 0.0).due(at(1, 1e9), SETTLE - 1, 1e9 + 9 * DAY)
    assert Schedule(DAY, 0.0).due(None, SETTLE, 0.0)
    later = Schedule(DAY, 0.0)  # the clock stands before the newest copy
    assert not later.due(at(1, 1e9), CLOCK - 1, 0.0)
    assert later.due(at(1, 1e9), CLOCK, 0.0)


def test_a_copy_by_somebody_else_counts() -> None:
    schedule = Schedule(DAY, 0.0)
    schedule.due(None, 0.0, 1e9)
    assert not schedule.due(at(1, 1e9), 3600.0, 5e9)
    assert not schedule.due(at(1, 1e9), 3600.0 + DAY - 1, 1e9)
    assert schedule.due(at(1, 1e9), 3600.0 + DAY, 1e9)


def test_a_kill_at_any_moment_leaves_whole_copies(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "gallery.db", MODEL)
    for number in range(10):
        gallery.enroll(f"Anna {number}", units(*range(number, number + 5)), [0.8] * 5)
    gallery.close()
    backups = Backups(config(tmp_path, backup={"keep": 2}))
    backups.make()
    began = time.monotonic()
    backups.make()
    took = time.monotonic() - began
    parts = 0
    for seed in range(30):
        killed(backups.make, random.Random(seed).uniform(0.0, 3 * took))
        parts += bool(list(backups.folder.glob(".gallery-*.part")))
        assert 1 <= states(backups).count("ok") == len(backups.find()) <= 3
        backups.make()
        assert states(backups) == ["ok"] * 2
        assert len(list(backups.folder.iterdir())) == 3  # with the lock
    assert parts  # else it was never killed at work
    assert backups.find()[-1].number > 2 + 30  # some of those that were killed had made one


def test_a_kill_while_somebody_is_erased_leaves_copies_that_open_and_the_next_try_erases_them(tmp_path: Path) -> None:
    gallery = crowd(tmp_path)
    backups = Backups(config(tmp_path))
    backups.make()
    backups.make()
    marks = {person.name: erasure_mark(person.id) for person in gallery.people()}
    gallery.close()
    paths = [copy.path for copy in backups.find()]
    journals = 0
    for seed in range(30):
        erased = {marks[f"P{seed}"]}
        killed(
            lambda: [cleanse(path, erased, backups.key()) for path in paths],  # noqa: B023
            random.Random(seed).uniform(0, 0.02),
        )
        journals += any(path.with_name(f"{path.name}-journal").exists() for path in paths)
        left = [check(path, backups.key()).people for path in paths]
        assert set(left) <= {30 - seed, 29 - seed}
        for path in paths:
            cleanse(path, erased, backups.key())
        assert [check(path, backups.key()).people for path in paths] == [29 - seed] * 2
    assert len(list(backups.folder.iterdir())) == 3
    assert journals


def test_who_is_forgotten_is_erased_from_every_copy_with_what_may_be_their_face(
    tmp_path: Path, gallery: Gallery, backups: Backups
) -> None:
    anna, bert = enrolled(gallery, "Anna", 1, 2), enrolled(gallery, "Bert", 3)
    for face in (near(unit(3), 0.5), near(unit(1), 0.9)):  # a stranger's, and what may be Anna's
        event = gallery.events.find(see(gallery, bert.id, face))
        gallery.learn(event, bert.id, "rejected", keep=True)
    for _ in range(2):
        backups.make()
    before = [copy.path.read_bytes() for copy in backups.find()]
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as file:
        theirs = [row[0] for row in file.execute("SELECT sealed FROM templates WHERE person_id = ?", (anna.id,))]
        theirs += [row[0] for row in file.execute("SELECT sealed FROM people WHERE id = ?", (anna.id,))]
        theirs += [
            row[0] for row in file.execute("SELECT sealed FROM templates WHERE kind = 'negative' ORDER BY id DESC LIMIT 1")
        ]
    assert all(part in data for data in before for part in theirs)
    gallery.forget("Anna")
    assert backups.erase_forgotten() == []
    for copy in backups.find():
        data = copy.path.read_bytes()
        assert not [part for part in theirs if part in data]
        assert anna.id.encode() not in data
        assert people(copy.path, backups) == ["Bert"]
        with closing(sqlite3.connect(copy.path)) as file:
            assert file.execute("SELECT count(*) FROM templates WHERE kind = 'negative'").fetchone()[0] == 1
    assert states(backups) == ["ok"] * 2
    assert not list(backups.folder.glob("*-journal"))


def test_who_is_forgotten_while_a_copy_is_made_is_not_in_it(tmp_path: Path) -> None:
    gallery = crowd(tmp_path)
    backups = Backups(config(tmp_path))
    forgotten: list[Person] = []

    def pause() -> None:
        if not forgotten:
            forgotten.append(gallery.forget("P7"))

    assert needed(needed(backups.make(pause)).new.contents).people == 30 or forgotten
    (copy,) = backups.find()
    assert "P7" not in people(copy.path, backups)
    gallery.close()


def test_who_comes_back_is_nobody_forgotten(tmp_path: Path, gallery: Gallery, backups: Backups) -> None:
    anna = enrolled(gallery, "Anna", 1)
    export = gallery.export()
    backups.make()
    gallery.forget("Anna")
    gallery.import_(export)
    assert gallery.find("Anna").id == anna.id
    assert backups.erase_forgotten() == []
    assert people(backups.find()[0].path, backups) == ["Anna"]


def test_who_is_forgotten_in_a_shared_gallery_is_erased_too(gallery: Gallery, backups: Backups) -> None:
    anna = enrolled(gallery, "Anna", 1)
    enrolled(gallery, "Bert", 2)
    backups.make()
    gallery.exchange(lambda there: {anna.id: None})
    backups.erase_forgotten()
    assert people(backups.find()[0].path, backups) == ["Bert"]


def test_copies_that_cannot_be_changed_now_are_told_and_changed_later(
    tmp_path: Path, gallery: Gallery, backups: Backups
) -> None:
    enrolled(gallery, "Anna", 1)
    enrolled(gallery, "Bert", 2)
    first, second = (needed(backups.make()).new.copy.path for _ in range(2))
    whole = first.read_bytes()
    first.write_bytes(b"SQLite format 3\0" + bytes(100))
    gallery.forget("Anna")
    assert backups.erase_forgotten() == [first.name]
    assert people(second, backups) == ["Bert"]
    first.write_bytes(whole)
    assert people(first, backups) == ["Anna", "Bert"]
    assert backups.erase_forgotten() == []
    assert people(first, backups) == ["Bert"]


def test_kept_faces_go_from_the_copies_once_they_are_not_to_be_kept(tmp_path: Path, gallery: Gallery, backups: Backups) -> None:
    enrolled(gallery, "Anna", 1)
    backups.make()
    backups.erase_forgotten()
    (copy,) = backups.find()

    def faces() -> int:
        with closing(sqlite3.connect(copy.path)) as file:
            return int(file.execute("SELECT count(*) FROM faces").fetchone()[0])

    assert faces() == 1
    Backups(config(tmp_path)).erase_forgotten()
    assert faces() == 0
    assert states(backups) == ["ok"]


def test_others_who_write_without_end_do_not_keep_a_copy_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "PAGES", 1)
    gallery = crowd(tmp_path, 5)
    backups = Backups(config(tmp_path))
    number = 0

    def pause() -> None:
        nonlocal number
        number += 1
        gallery.rename("P0" if number % 2 else "Q0", "Q0" if number % 2 else "P0")

    assert needed(backups.make(pause)).people == 5
    assert 20 < number < 100  # then the rest in one go
    assert states(backups) == ["ok"]
    gallery.close()


def test_two_processes_make_one_copy_after_the_other(tmp_path: Path) -> None:
    crowd(tmp_path).close()
    backups = Backups(config(tmp_path, backup={"keep": 9}))
    threads = [Thread(target=Backups(config(tmp_path, backup={"keep": 9})).make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [copy.number for copy in backups.find()] == [1, 2, 3, 4]
    assert states(backups) == ["ok"] * 4


def test_one_who_waits_too_long_for_another_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(tmp_path).close()
    monkeypatch.setattr(backup, "LOCK_TIMEOUT_S", 0.0)
    backups = Backups(config(tmp_path))
    with backups.lock(), pytest.raises(GalleryError, match="another process is at the backups"):
        backups.make()


def test_a_clock_from_before_the_last_copy_does_not_make_the_new_one_the_oldest(
    gallery: Gallery, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(gallery, "Anna", 1)
    for wall in (4e9, 2e9, 0.0, 1e9):
        monkeypatch.setattr(time, "time", partial(float, wall))
        backups.make()
    assert [copy.wall for copy in backups.find()] == [2e9, 0.0, 1e9]
