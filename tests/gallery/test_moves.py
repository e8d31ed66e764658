"""People merge and split, views move and go, and each change is undone as if it had never been."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.backup import config
from fixtures.galleries import MODEL, OTHER_MODEL, WALL, kept, names, near, one_line, traces, unit, units
from fixtures.optional import needed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeface.errors import GalleryError
from edgeface.gallery.backup import Backups
from edgeface.gallery.bin import MAX_CHANGES
from edgeface.gallery.copies import erased_in
from edgeface.gallery.database import Database
from edgeface.gallery.records import erasure_mark
from edgeface.gallery.retention import Clocks
from edgeface.gallery.rules import Rules
from edgeface.gallery.store import Gallery, template_id
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Person, Reason
from edgeface.wire.doubt import Doubt

DAY = 86_400.0
CHIP = np.full((112, 112, 3), 9, np.uint8)


class Clock:
    """A machine's clocks, for a gallery that has been open since then."""

    def __init__(self, gallery: Gallery) -> None:
        self.now, self.error, self.is_set = WALL, 0.0, True
        clocks = Clocks(lambda: self.now - WALL + 100, lambda: self.now + self.error, lambda: "boot", lambda: self.is_set)
        gallery.bin.clocks = gallery.events.clocks = gallery._rules.clocks = clocks


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    opened = Gallery(path, MODEL, keep_faces=True)
    opened.bin.days = 30.0
    yield opened
    opened.close()


@pytest.fixture
def clock(gallery: Gallery) -> Clock:
    return Clock(gallery)


def add(gallery: Gallery, name: str, *seeds: int) -> Person:
    chips = [np.full((112, 112, 3), seed, np.uint8) for seed in seeds]
    return gallery.enroll(name, units(*seeds), [0.5 + seed / 100 for seed in seeds], chips)


def vectors(*seeds: int) -> set[bytes]:
    return {unit(seed).tobytes() for seed in seeds}


def views(gallery: Gallery, person: Person, *numbers: int) -> set[bytes]:
    """The vectors of some views of a person, the oldest being 0."""
    ids = [view.id for view in gallery.views(person.id)]
    return {vector.tobytes() for vector in gallery.owner_of([ids[number] for number in numbers])[1]}


def facts(gallery: Gallery) -> Any:
    """All that is kept of people and events, whatever the order of templates."""
    known = {
        person_id: (person.name, person.enrolled, set(person.templates), set(person.negatives), person.rules)
        for person_id, person in gallery.shared().items()
    }
    faces = {
        (person.id, view.id): gallery.kept_face(person.id, view.id)
        for person in gallery.people()
        for view in gallery.views(person.id)
    }
    events = [(one.event_id, one.person_id, one.verdict, one.doubt) for one in gallery.events.all()]
    return known, faces, events


@pytest.fixture
def family(gallery: Gallery) -> tuple[Person, Person]:
    """Anna, and Ann, who is Anna: with faces, rules, a confirmed and a rejected event each, and a doubt between the two."""
    people = []
    for name, seed, rules in (
        ("Anna", 10, Rules(groups=("family",), ignored=True)),
        ("Ann", 20, Rules(groups=("staff",), hours=("mon 08:00-09:00",), muted_since=1.0)),
    ):
        person = add(gallery, name, seed, seed + 1, seed + 2)
        gallery.learn(kept(gallery, person, unit(seed + 3)), person.id, "confirmed", keep=True)
        gallery.learn(kept(gallery, person, unit(seed + 4)), person.id, "rejected", keep=True)
        kept(gallery, person, unit(seed + 5))
        gallery.rule(person.id, lambda _, rules=rules: rules)  # type: ignore[misc]
        people.append(gallery.find(name))
    anna, ann = people
    doubted = kept(gallery, None, unit(40), EventType.UNKNOWN)
    doubt = Doubt(reason=Reason.LOOKALIKE, person_id=ann.id, other_id=anna.id)
    with gallery._change():
        gallery.events.judge(replace(doubted, doubt=doubt), None, None)
    return anna, ann


def change(gallery: Gallery, what: str, anna: Person, ann: Person) -> str | None:
    if what == "merge":
        return gallery.moves.merge(ann.id, anna.id)
    if what == "move":
        return gallery.moves.move(ann.id, views(gallery, ann, 0, 3), anna.id)
    if what == "split":
        return gallery.moves.split(ann.id, views(gallery, ann, 0, 3), "Carl")
    return gallery.drop(gallery.views(ann.id)[3].id)[1]


@pytest.mark.parametrize("what", ["merge", "move", "split", "drop"])
def test_a_change_that_is_undone_has_never_been(gallery: Gallery, family: tuple[Person, Person], what: str) -> None:
    before = facts(gallery)
    change_id = needed(change(gallery, what, *family))
    assert facts(gallery) != before
    assert [one.id for one in gallery.bin.changes()] == [change_id]
    assert gallery.moves.undo(change_id).lost == 0
    assert facts(gallery) == before
    assert gallery.bin.changes() == []
    assert gallery.damage() == []


def test_who_is_merged_has_all_of_both_and_the_rules_of_who_stays(gallery: Gallery, family: tuple[Person, Person]) -> None:
    anna, ann = family
    gallery.moves.merge(ann.id, anna.id)
    (known,), faces, events = facts(gallery)[0].values(), gallery.faces(), gallery.events.all()
    assert names(gallery) == ["Anna"]
    assert {one.vector for one in known[2]} > vectors(10, 11, 12, 20, 21, 22)
    assert (len(known[2]), len(known[3])) == (8, 2)
    assert faces == 6
    assert known[4] == Rules(groups=("family", "staff"), ignored=True, hours=("mon 08:00-09:00",))
    assert {event.person_id for event in events} == {anna.id, None}
    assert sorted(str(event.verdict) for event in events if event.person_id) == [
        *["None"] * 2,
        *["confirmed"] * 2,
        *["rejected"] * 2,
    ]
    assert {needed(event.doubt).person_id for event in events if event.doubt} == {anna.id}


def test_a_face_that_was_rejected_as_one_of_the_two_and_is_the_other_is_rejected_no_more(gallery: Gallery) -> None:
    anna, ann = add(gallery, "Anna", 1, 2), add(gallery, "Ann", 3, 4)
    seen, other = kept(gallery, ann, unit(5)), kept(gallery, ann, unit(6))
    gallery.learn(seen, ann.id, "rejected", keep=True)
    gallery.learn(gallery.events.find(seen.event_id), anna.id, "confirmed", keep=True)
    gallery.learn(other, ann.id, "rejected", keep=True)
    before = facts(gallery)
    gallery.moves.merge(ann.id, anna.id, contradicted=[other.embedding.tobytes()])
    assert len(gallery.templates().negatives) == 0
    assert gallery.events.find(other.event_id).verdict is None
    gallery.moves.undo(None)
    assert facts(gallery) == before


def test_what_has_come_since_stays_when_a_change_is_undone(gallery: Gallery, family: tuple[Person, Person]) -> None:
    anna, ann = family
    gallery.moves.merge(ann.id, anna.id)
    add(gallery, "Anna", 30)
    seen = kept(gallery, gallery.find("Anna"), unit(31))
    gallery.rule(anna.id, lambda _: Rules(groups=("others",)))
    gallery.moves.undo(None)
    known, _, _ = facts(gallery)
    assert {one.vector for one in known[anna.id][2]} > vectors(10, 11, 12, 30)
    assert len(known[anna.id][2]) == 5
    assert gallery.events.find(seen.event_id).person_id == anna.id
    assert known[anna.id][4] == Rules(groups=("others",))


def test_a_view_that_was_judged_anew_since_is_not_brought_back(gallery: Gallery) -> None:
    anna, bert = add(gallery, "Anna", 1, 2), add(gallery, "Bert", 3, 4)
    seen = kept(gallery, anna, unit(5))
    gallery.learn(seen, anna.id, "confirmed", keep=True)
    gallery.moves.move(anna.id, views(gallery, anna, 0, 2), bert.id)
    assert gallery.events.find(seen.event_id).person_id == bert.id
    gallery.learn(gallery.events.find(seen.event_id), bert.id, "rejected", keep=True)
    assert (gallery.moves.undo(None).back, gallery.find("Anna").templates) == (1, 2)
    gallery.learn(gallery.events.find(seen.event_id), anna.id, "confirmed", keep=True)
    gallery.drop(gallery.views(anna.id)[2].id)
    gallery.learn(gallery.events.find(seen.event_id), bert.id, "confirmed", keep=True)
    with pytest.raises(GalleryError, match="has been changed again since") as caught:
        gallery.moves.undo(None)
    one_line(caught)
    assert len(gallery.bin.changes()) == 1


def test_later_changes_of_the_same_people_are_undone_first(gallery: Gallery, family: tuple[Person, Person]) -> None:
    anna, ann = family
    bert = add(gallery, "Bert", 50, 51)
    before = facts(gallery)
    first = gallery.moves.move(ann.id, vectors(20), anna.id)
    second = gallery.moves.merge(ann.id, anna.id)
    unrelated = gallery.drop(template_id(bert.id, unit(50)))[1]
    with pytest.raises(GalleryError, match=f"undo {second} first"):
        gallery.moves.undo(first)
    with pytest.raises(GalleryError, match="no change 'c_0'"):
        gallery.moves.undo("c_0")
    for one in (second, first, unrelated):
        gallery.moves.undo(one)
    assert facts(gallery) == before
    with pytest.raises(GalleryError, match="nothing to undo"):
        gallery.moves.undo(None)


def test_a_name_that_is_taken_meanwhile_is_not_given_twice(gallery: Gallery, family: tuple[Person, Person]) -> None:
    gallery.moves.merge(family[1].id, family[0].id)
    add(gallery, "ann", 60)
    with pytest.raises(GalleryError, match="'Ann' is enrolled anew meanwhile"):
        gallery.moves.undo(None)
    gallery.rename("ann", "Zoe")
    gallery.moves.undo(None)
    assert names(gallery) == ["Ann", "Anna", "Zoe"]


def test_who_was_split_off_and_comes_back_leaves_their_visits(gallery: Gallery) -> None:
    anna = add(gallery, "Anna", 1, 2, 3)
    gallery.moves.split(anna.id, vectors(3), "Bert")
    bert = gallery.find("Bert")
    seen = kept(gallery, bert, unit(4))
    gallery.moves.undo(None)
    assert (names(gallery), gallery.events.find(seen.event_id).person_id) == (["Anna"], anna.id)
    assert erasure_mark(bert.id) in erased_in(gallery._path)
    with pytest.raises(GalleryError, match="already enrolled"):
        gallery.moves.split(anna.id, vectors(3), "Anna")


def test_with_no_days_nothing_is_kept_and_who_is_merged_is_erased_from_backups(gallery: Gallery) -> None:
    gallery.bin.days = 0.0
    anna, bert = add(gallery, "Anna", 1, 2), add(gallery, "Bert", 3, 4)
    assert gallery.moves.merge(bert.id, anna.id) is None
    assert gallery.drop(template_id(anna.id, unit(1)))[1] is None
    assert not gallery._database.has_table("bin")
    assert erasure_mark(bert.id) in erased_in(gallery._path)


@pytest.mark.parametrize(
    ("what", "who"),
    [("merge", "Anna"), ("move", "Anna"), ("move", "Ann"), ("split", "Ann"), ("split", "Carl"), ("drop", "Ann")],
)
def test_who_is_forgotten_is_in_the_bin_no_more(
    path: Path, gallery: Gallery, family: tuple[Person, Person], what: str, who: str
) -> None:
    change(gallery, what, *family)
    with closing(sqlite3.connect(path)) as database:
        blobs = [blob for (blob,) in database.execute("SELECT sealed FROM bin")]
    gallery._database.wipe_log()
    assert traces(path.parent, blobs)
    gallery.forget(who)
    assert gallery.bin.count() == 0
    assert traces(path.parent, blobs) == 0
    if what == "merge":
        assert erasure_mark(family[1].id) in erased_in(path)


def test_a_chain_of_merges_is_forgotten_with_the_last_of_it(gallery: Gallery) -> None:
    people = [add(gallery, name, 10 * seed, 10 * seed + 1) for seed, name in enumerate(("Anna", "Bert", "Carl", "Dora"))]
    for one, other in ((3, 2), (2, 1)):
        gallery.moves.merge(people[one].id, people[other].id)
    alike = near(unit(0), 0.9)
    gallery.enroll("Anna", [alike], [0.8], [CHIP])
    gallery.drop(template_id(people[0].id, alike))
    gallery.forget("Bert")
    assert [kept.change.what for kept in gallery.bin.changes()] == ["dropped"]
    assert {erasure_mark(person.id) for person in people[1:]} <= erased_in(gallery._path)


def test_a_deleted_view_that_looks_like_who_is_forgotten_goes_with_them(gallery: Gallery) -> None:
    anna, _ = add(gallery, "Anna", 1, 2, 7), add(gallery, "Bert", 3, 4)
    gallery.enroll("Anna", [near(unit(3), 0.8)], [0.8], [CHIP])
    gallery.drop(template_id(anna.id, near(unit(3), 0.8)))
    gallery.drop(template_id(anna.id, unit(7)))
    gallery.forget("Bert")
    (left,) = gallery.bin.changes()
    assert left.change.templates[0].record.vector == unit(7).tobytes()


def test_time_and_a_request_empty_the_bin(path: Path, gallery: Gallery, clock: Clock, family: tuple[Person, Person]) -> None:
    anna, ann = family
    gallery.moves.merge(ann.id, anna.id)
    assert erasure_mark(ann.id) not in erased_in(path)
    clock.now += 29 * DAY
    gallery.drop(template_id(anna.id, unit(10)))
    clock.error = -4000 * DAY  # set back
    gallery.expire_bin()
    assert gallery.bin.count() == 2
    clock.now += 1.5 * DAY
    gallery.expire_bin()
    assert [kept.change.what for kept in gallery.bin.changes()] == ["dropped"]
    assert erasure_mark(ann.id) in erased_in(path)
    with pytest.raises(GalleryError, match="there is no change"):
        gallery.moves.undo("c_00000000")
    with closing(sqlite3.connect(path)) as database:
        blobs = [blob for (blob,) in database.execute("SELECT sealed FROM bin")]
    assert gallery.moves.empty_bin() == 1
    assert traces(path.parent, blobs) == 0
    assert gallery.moves.empty_bin() == 0


def test_fewer_days_in_the_settings_count_for_what_is_kept_already(gallery: Gallery, clock: Clock) -> None:
    anna = add(gallery, "Anna", 1, 2, 3)
    gallery.drop(template_id(anna.id, unit(1)))
    clock.now += 3 * DAY
    gallery.bin.days = 2.0
    add(gallery, "Bert", 5)
    assert gallery.bin.count() == 0


def test_a_guest_who_was_merged_away_is_erased_when_their_time_comes(gallery: Gallery, clock: Clock) -> None:
    anna, guest = add(gallery, "Anna", 1, 2), add(gallery, "Guest", 3, 4)
    gallery.rule("Guest", lambda _: Rules(expires=WALL + 3 * DAY))
    gallery.moves.merge(guest.id, anna.id)
    assert gallery.rules().get(anna.id) is None
    clock.now += 2 * DAY
    gallery.expire_bin()
    assert gallery.bin.count() == 1
    clock.is_set, clock.error, clock.now = False, -4000 * DAY, clock.now + 2 * DAY
    gallery.expire_bin()
    assert gallery.bin.count() == 0
    assert names(gallery) == ["Anna"]


def test_the_bin_is_sealed_and_in_no_backup(tmp_path: Path, gallery: Gallery, family: tuple[Person, Person]) -> None:
    anna, ann = family
    gallery.moves.merge(ann.id, anna.id)
    assert traces(gallery._path.parent, [unit(20).tobytes(), b"Ann was merged"]) == 0
    backups = Backups(config(tmp_path, gallery={"path": str(gallery._path), "keep_faces": True}))
    copy = needed(backups.make()).new.copy.path
    with closing(sqlite3.connect(copy)) as database:
        assert not database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'bin'").fetchone()[0]


def test_a_backup_of_before_a_merge_is_rid_of_who_is_forgotten(tmp_path: Path, gallery: Gallery) -> None:
    anna, ann = add(gallery, "Anna", 1, 2), add(gallery, "Ann", 3, 4)
    backups = Backups(config(tmp_path, gallery={"path": str(gallery._path), "keep_faces": True}))
    copy = needed(backups.make()).new.copy.path

    def people() -> set[str]:
        backups.erase_forgotten()
        with closing(sqlite3.connect(copy)) as database:
            return {person for (person,) in database.execute("SELECT id FROM people")}

    gallery.moves.merge(ann.id, anna.id)
    assert people() == {anna.id, ann.id}
    gallery.forget("Anna")
    assert people() == set()


def test_faces_in_the_bin_go_with_the_setting(gallery: Gallery) -> None:
    anna = add(gallery, "Anna", 1, 2)
    gallery.drop(template_id(anna.id, unit(1)))
    assert gallery.bin.changes()[0].change.templates[0].face
    gallery.erase_faces()
    assert not gallery.bin.changes()[0].change.templates[0].face
    gallery.moves.undo(None)
    assert (gallery.find("Anna").templates, gallery.faces()) == (2, 0)


def test_another_network_cannot_read_the_bin(path: Path, gallery: Gallery, family: tuple[Person, Person]) -> None:
    gallery.moves.merge(family[1].id, family[0].id)
    gallery.close()
    with closing(Database(path, MODEL, path.with_name("gallery.key"), alone=True)) as database:
        with database.change():
            database.adopt(OTHER_MODEL, {})
        assert database.bin_rows() == []
    assert erasure_mark(family[1].id) in erased_in(path)


def test_the_bin_does_not_grow_without_end(gallery: Gallery) -> None:
    anna, bert = add(gallery, "Anna", 1, 2), add(gallery, "Bert", 3)
    with gallery._change():
        for _ in range(MAX_CHANGES + 3):
            gallery.moves.keep_dropped(anna.id, 1)
    gallery.moves.move(anna.id, vectors(1), bert.id)
    assert gallery.bin.count() == MAX_CHANGES
    assert gallery.bin.changes()[-1].change.what == "moved"


def test_people_of_whom_something_is_damaged_are_not_merged(path: Path, gallery: Gallery) -> None:
    anna, bert = add(gallery, "Anna", 1, 2), add(gallery, "Bert", 3, 4)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE templates SET sealed = x'00' WHERE id = 3")
        database.execute("UPDATE people SET sealed = sealed WHERE id = ?", (bert.id,))
    with closing(Gallery(path, MODEL)) as again:
        with pytest.raises(GalleryError, match=f"something of {bert.id} is damaged"):
            again.moves.merge(bert.id, anna.id)
        assert [person.templates for person in again.people()] == [2, 2]


@given(
    st.lists(st.tuples(st.sampled_from(["merge", "move", "split", "drop"]), st.integers(0, 9), st.integers(0, 9)), max_size=6)
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changes_undone_in_reverse_order_leave_nothing(tmp_path: Path, steps: list[tuple[str, int, int]]) -> None:
    with closing(Gallery(tmp_path / new_event_id(WALL) / "gallery.db", MODEL, keep_faces=True)) as gallery:
        gallery.bin.days = 30.0
        for seed in range(3):
            person = add(gallery, f"Person {seed}", *range(10 * seed, 10 * seed + 3))
            gallery.learn(kept(gallery, person, unit(100 + seed)), person.id, "rejected", keep=True)
            gallery.learn(kept(gallery, person, unit(200 + seed)), person.id, "confirmed", keep=True)
        before, done = facts(gallery), 0
        for what, one, other in steps:
            people = gallery.people()
            origin, target = people[one % len(people)], people[other % len(people)]
            views = gallery.views(origin.id)
            some = {np.asarray(vector, "<f4").tobytes() for vector in gallery.owner_of([views[other % len(views)].id])[1]}
            if what not in {"split", "drop"} and origin == target:
                continue
            if what != "merge" and len(views) < 2:
                continue
            if what == "merge":
                gallery.moves.merge(origin.id, target.id)
            elif what == "move":
                gallery.moves.move(origin.id, some, target.id)
            elif what == "split":
                gallery.moves.split(origin.id, some, f"Split {done}")
            else:
                gallery.drop(views[other % len(views)].id)
            done += 1
        for _ in range(done):
            gallery.moves.undo(None)
        assert facts(gallery) == before
