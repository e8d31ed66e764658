"""What is read of a gallery's file costs what has changed: records that are decrypted are counted, and statements explained."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from fixtures.galleries import MODEL, changed, enrolled, keeping, kept, near, unit, units
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.errors import GalleryError
from edgeface.gallery.contents import Templates
from edgeface.gallery.encryption import Sealer
from edgeface.gallery.records import TemplateRecord
from edgeface.gallery.store import Gallery
from edgeface.types import EventType, Person

T = TypeVar("T")


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    """One with 30 people of three templates each, which it has read."""
    opened = Gallery(path, MODEL)
    for number in range(30):
        enrolled(opened, f"P{number:02}", *range(10 * number, 10 * number + 3))
    opened.templates()
    yield opened
    opened.close()


@pytest.fixture
def other(gallery: Gallery, path: Path) -> Iterator[Gallery]:
    """The same gallery, as another process has it."""
    opened = Gallery(path, MODEL)
    yield opened
    opened.close()


@pytest.fixture
def decrypted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is decrypted from now on."""
    kinds, unseal = [], Sealer.unseal

    def counting(sealer: Sealer, sealed: bytes, kind: type[Any], *bound: str) -> Any:
        kinds.append(bound[0])
        return unseal(sealer, sealed, kind, *bound)

    monkeypatch.setattr(Sealer, "unseal", counting)
    return kinds


def reading(gallery: Gallery, decrypted: list[str], read: Callable[[Gallery], T]) -> tuple[T, list[str]]:
    """What some reading decrypts."""
    decrypted.clear()
    result = read(gallery)
    return result, sorted(decrypted)


def same(gallery: Gallery, path: Path) -> bool:
    """Whether a gallery knows what one that is opened anew reads."""
    fresh = Gallery(path, MODEL)
    try:
        known, read = gallery.templates(), fresh.templates()
        for found in (known, read):
            assert len(found.owners) == len(found.vectors)
            assert sum(person.templates for person in found.people) == len(found.vectors)
        return facts(known) == facts(read) and gallery.people() == fresh.people() and gallery.export() == fresh.export()
    finally:
        fresh.close()


def facts(templates: Templates) -> tuple[list[Person], list[tuple[str, float]], list[tuple[Any, Any]], list[tuple[Any, Any]]]:
    whose = [templates.people[owner] for owner in templates.owners]
    not_whose = [templates.people[owner] for owner in templates.not_owners]
    lengths = [(person.id, round(float(length), 3)) for person, length in zip(templates.people, templates.lengths, strict=True)]
    vectors = [(person.id, vector.tobytes()) for person, vector in zip(whose, templates.vectors, strict=True)]
    negatives = [(person.id, vector.tobytes()) for person, vector in zip(not_whose, templates.negatives, strict=True)]
    return sorted(templates.people, key=lambda person: person.id), sorted(lengths), sorted(vectors), sorted(negatives)


def test_what_another_process_changes_is_read_and_nothing_else(
    gallery: Gallery, other: Gallery, path: Path, decrypted: list[str]
) -> None:
    anna = other.rename("P07", "Anna")
    matrix = gallery.templates().vectors
    found, kinds = reading(gallery, decrypted, Gallery.templates)
    assert kinds == []
    assert "Anna" in [person.name for person in found.people]
    for change, wanted in (
        (lambda: other.rename("Anna", "Anne"), ["person"] + 3 * ["template"]),
        (lambda: other.enroll("Anne", units(900), [0.5]), ["person"] + 4 * ["template"]),
        (lambda: other.enroll("Zoe", units(901, 902), [0.5, 0.6]), ["person"] + 2 * ["template"]),
        (
            lambda: other.learn(kept(other, anna, unit(903)), anna.id, "rejected", keep=True),
            ["negative", "person"] + 4 * ["template"],
        ),
        (lambda: other.forget("P08"), []),
        (lambda: kept(other, anna, unit(904)), []),
    ):
        change()
        _, kinds = reading(gallery, decrypted, Gallery.templates)
        assert kinds == wanted
        assert same(gallery, path)
    assert matrix is not gallery.templates().vectors


def test_a_name_that_changes_leaves_the_matrix_as_it_is_and_nothing_leaves_the_object(gallery: Gallery, other: Gallery) -> None:
    before = gallery.templates()
    assert gallery.templates() is before
    other.rename("P03", "Anna")
    after = gallery.templates()
    assert after is not before
    assert after.vectors is before.vectors
    kept(other, None, unit(5), EventType.UNKNOWN)
    assert gallery.templates() is after


def test_by_name_they_are_the_same_templates(gallery: Gallery, other: Gallery) -> None:
    other.rename("P29", "Anna")
    other.learn(kept(other, other.find("P05"), unit(903)), other.find("P05").id, "rejected", keep=True)
    templates = gallery.templates()
    ordered = templates.by_name()
    assert [person.name for person in ordered.people] == ["Anna", *(f"P{number:02}" for number in range(29))]
    assert facts(ordered) == facts(templates)
    assert ordered.vectors is templates.vectors


def test_templates_are_in_memory_once(gallery: Gallery) -> None:
    vectors = gallery.templates().vectors
    contents = gallery._contents
    assert all(np.shares_memory(contents.faces(held)[0].vectors, vectors) for held in contents._held.values())


def test_one_person_is_found_without_anybody_s_templates(gallery: Gallery, path: Path, decrypted: list[str]) -> None:
    fresh = Gallery(path, MODEL)
    _, kinds = reading(fresh, decrypted, lambda one: (one.find("P05"), one.people()))
    assert kinds == 30 * ["person"]
    fresh.close()


def test_what_another_program_writes_without_a_word_is_noticed_all_the_same(gallery: Gallery, path: Path) -> None:
    """An earlier version sealed nobody anew."""
    person = gallery.find("P03")
    record = TemplateRecord(unit(700).astype("<f4").tobytes(), 0.5)
    sealed = gallery._database.sealer.seal(record, "template", person.id, "")
    with sqlite3.connect(path) as file:
        file.execute("INSERT INTO templates VALUES (NULL, ?, 'template', '', ?)", (person.id, sealed))
    file.close()
    assert len(gallery.templates().vectors) == 91
    assert same(gallery, path)
    changed(path, f"DELETE FROM templates WHERE id IN (SELECT id FROM templates WHERE person_id = '{person.id}' LIMIT 1)")
    assert len(gallery.templates().vectors) == 90
    assert same(gallery, path)


def test_much_that_another_process_has_changed_is_read_in_parts(
    gallery: Gallery, other: Gallery, path: Path, decrypted: list[str]
) -> None:
    before = gallery.templates()
    for number in range(30):
        other.rename(f"P{number:02}", f"Q{number:02}")
    for left in (18, 6):
        finished, kinds = reading(gallery, decrypted, lambda one: one.catch_up(12))
        assert not finished
        assert kinds.count("template") == 36
        assert left == sum(not held.read for held in gallery._contents._held.values())
    finished, kinds = reading(gallery, decrypted, lambda one: one.catch_up(12))
    assert finished
    assert kinds.count("template") == 18
    after, kinds = reading(gallery, decrypted, Gallery.templates)
    assert kinds == []
    assert after.vectors is before.vectors
    assert same(gallery, path)


def test_a_change_that_fails_leaves_nothing_in_memory(gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(gallery, "_clear_away", lambda: gallery._database.execute("no statement"))
        changes: tuple[Callable[[], object], ...] = (
            lambda: gallery.enroll("P03", units(800), [0.5]),
            lambda: gallery.enroll("New", units(801), [0.5]),
            lambda: gallery.rename("P04", "Other"),
            lambda: gallery.forget("P05"),
        )
        for change in changes:
            with pytest.raises(GalleryError):
                change()
    assert same(gallery, path)
    gallery.enroll("P03", units(802), [0.5])
    assert same(gallery, path)


scripts = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(["enroll", "rename", "forget", "reject", "confirm", "put", "look", "catch up"]),
        st.integers(0, 4),
        st.integers(0, 4),
    ),
    max_size=20,
)


@given(scripts)
@settings(max_examples=40, deadline=None)
def test_whatever_two_processes_do_both_know_what_the_file_says(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[bool, str, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("pair") / "gallery.db"
    pair = [Gallery(path, MODEL), Gallery(path, MODEL)]
    for number, (which, verb, first, second) in enumerate(script):
        one = pair[which]
        try:
            if verb == "enroll":
                one.enroll(f"P{first}", [near(unit(first), 0.9, number)], [0.5])
            elif verb == "rename":
                one.rename(f"P{first}", f"P{second}")
            elif verb == "forget":
                one.forget(f"P{first}")
            elif verb in ("reject", "confirm"):
                person = one.find(f"P{first}")
                event = kept(one, person, near(unit(second), 0.8, number))
                one.learn(event, person.id, "rejected" if verb == "reject" else "confirmed", keep=True)
                if second == 4:  # a verdict on the verdict
                    one.learn(one.events.find(event.event_id), person.id, "confirmed", keep=True)
            elif verb == "put":
                copies = one.shared()
                person_id = one.find(f"P{first}").id
                wanted = {person_id: copies[person_id] if second else None}
                one.exchange(lambda _: wanted)  # noqa: B023
            elif verb == "look":
                one.templates()
            else:
                one.catch_up(1)
        except GalleryError as refused:
            assert "P" in str(refused)  # noqa: PT017
    assert same(pair[0], path)
    assert same(pair[1], path)
    for one in pair:
        one.close()


WHOLE = {
    "SELECT id FROM people NOT INDEXED",
    "SELECT rowid, id, sealed FROM people",
    "SELECT person_id, count(*) FROM templates WHERE kind != ? GROUP BY person_id",
}
"""The statements that go through all people by design, and those for the list of them."""


def test_every_statement_about_one_person_asks_an_index(gallery: Gallery, path: Path) -> None:
    said = set()
    gallery._database._connection.set_trace_callback(lambda statement: said.add(" ".join(statement.split())))
    anna = gallery.enroll("Anna", units(500, 501), [0.5, 0.6])
    gallery.rename("Anna", "Anne")
    event = kept(gallery, anna, near(unit(500), 0.8))
    gallery.learn(event, anna.id, "rejected", keep=True)
    gallery.learn(gallery.events.find(event.event_id), anna.id, "confirmed", keep=True)
    copies = gallery.shared()
    gallery.exchange(lambda _: {anna.id: copies[anna.id]})
    gallery.templates()
    gallery.import_(gallery.export())
    gallery.events.expire("front", keeping())
    gallery.exchange(lambda there: {next(iter(there)): None})
    gallery.forget("Anne")
    gallery.revisions.all("key")
    gallery._database._connection.set_trace_callback(None)
    scans = {}
    for statement in said:
        if not re.match("SELECT|INSERT|UPDATE|DELETE", statement) or "sqlite_master" in statement:
            continue
        plan = gallery._database.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        scanned = [row[3] for row in plan if re.match("SCAN (people|templates|faces)", row[3])]
        if any("COVERING INDEX" not in line for line in scanned):
            scans[re.sub(r"'[^']*'|x'[0-9A-Fa-f]*'", "?", statement)] = scanned
    assert {statement: lines for statement, lines in scans.items() if statement not in WHOLE} == {}
    assert len(said) > 15
