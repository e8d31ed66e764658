import base64
import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.galleries import MODEL, OTHER_MODEL, ROOT, changed, enrolled, kept, names, near, one_line, traces, unit, units
from fixtures.optional import needed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.names import clean_name
from edgeface.gallery.store import Gallery, Imported
from edgeface.types import Person, Vector


def test_a_new_gallery_is_empty(gallery: Gallery) -> None:
    assert gallery.people() == []
    found = gallery.templates()
    assert (found.people, found.vectors.shape, len(found.owners)) == ((), (0, 128), 0)


def test_a_gallery_that_begins_anew_beside_its_key_is_told(
    gallery: Gallery, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert "nothing in it" not in caplog.text
    gallery.close()
    path.write_bytes(b"")
    Gallery(path, MODEL).close()
    assert "nothing in it, though its key is there" in caplog.text


def test_who_is_enrolled_stays_enrolled(gallery: Gallery, path: Path) -> None:
    anna = enrolled(gallery, "Anna", 1, 2)
    bert = enrolled(gallery, "Bert", 3)
    gallery.close()
    again = Gallery(path, MODEL)
    assert again.people() == [anna, bert]
    assert (anna.templates, bert.templates) == (2, 1)
    found = again.templates()
    assert [found.people[owner].name for owner in found.owners] == ["Anna", "Anna", "Bert"]
    assert np.array_equal(found.vectors, np.stack(units(1, 2, 3)))
    assert found.vectors.dtype == np.float32


def test_more_views_of_one_name_go_to_one_person(gallery: Gallery) -> None:
    first, second = enrolled(gallery, "Anna", 1), enrolled(gallery, " Anna ", 2, 3)
    assert (second.id, second.templates, second.enrolled) == (first.id, 3, first.enrolled)
    assert names(gallery) == ["Anna"]


def test_the_same_view_twice_is_one_template(gallery: Gallery) -> None:
    assert enrolled(gallery, "Anna", 1, 1, 2).templates == 2
    assert enrolled(gallery, "Anna", 1).templates == 2
    assert enrolled(gallery, "Bert", 1).templates == 1


def test_an_enrollment_is_all_or_nothing(gallery: Gallery) -> None:
    with pytest.raises(ValueError, match="shorter"):
        gallery.enroll("Anna", units(1, 2), [0.5])
    assert gallery.people() == []
    assert enrolled(gallery, "Anna", 1).templates == 1


@pytest.mark.parametrize(
    "vectors",
    [[], [np.zeros(128, np.float32)], [np.full(128, np.nan, np.float32)], [unit(1)[:64]], [unit(1), 3 * unit(2)]],
    ids=["none", "zero", "not a number", "too short", "too long"],
)
def test_what_is_no_template_is_refused_and_leaves_the_gallery_readable(gallery: Gallery, vectors: list[Vector]) -> None:
    with pytest.raises(GalleryError):
        gallery.enroll("Anna", vectors, [0.5] * len(vectors))
    assert gallery.people() == []
    assert len(gallery.templates().vectors) == 0
    enrolled(gallery, "Bert", 3)
    assert gallery.rename("Bert", "Anna").templates == 1  # the name was not taken


def test_people_are_found_by_name_and_by_id(gallery: Gallery) -> None:
    anna = enrolled(gallery, "Zoë", 1)
    assert gallery.find(anna.id) == gallery.find(" Zoë ") == gallery.find(unicodedata.normalize("NFD", "Zoë")) == anna
    with pytest.raises(GalleryError, match="nobody called 'Bert' is enrolled"):
        gallery.find("Bert")
    with pytest.raises(GalleryError, match="nobody called"):
        gallery.find("\ud800")


def test_no_two_names_differ_by_case_alone(gallery: Gallery) -> None:
    bob = enrolled(gallery, "Bob", 1)
    enrolled(gallery, "Anna", 2)
    differs = "'Bob' is enrolled already; 'bob' differs from it only in upper and lower case"
    for change in (
        lambda: enrolled(gallery, "bob", 3),
        lambda: gallery.rename("Anna", "bob"),
        lambda: gallery.check_name("bob"),
    ):
        with pytest.raises(GalleryError, match=differs):
            change()
    with pytest.raises(GalleryError, match="did you mean 'Bob'"):
        gallery.find("bOB")
    assert gallery.rename(bob.id, "BOB").id == bob.id
    assert names(gallery) == ["Anna", "BOB"]


def test_two_names_that_differ_by_case_from_before_stay(gallery: Gallery, tmp_path: Path) -> None:
    other = Gallery(tmp_path / "other.db", MODEL)
    enrolled(other, "bob", 1)
    enrolled(gallery, "Bob", 2)
    gallery.import_(other.export())
    other.close()
    assert enrolled(gallery, "bob", 3).templates == enrolled(gallery, "Bob", 4).templates == 2


def test_a_name_that_is_the_id_of_another_does_not_take_their_place(gallery: Gallery) -> None:
    zoe = enrolled(gallery, "zoë", 1)
    with suppress(GalleryError):
        enrolled(gallery, zoe.id, 2)
    assert gallery.find(zoe.id).name == "zoë"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Anna\n", "Anna"),
        ("Zoe\u0308", "Zoë"),
        ("李小龍", "李小龍"),
        ("محمد", "محمد"),
        ("Anna Maria O'Neill-Łuk", "Anna Maria O'Neill-Łuk"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("a/+/#", "a/+/#"),
        ("🙂", "🙂"),
        ("x" * 100, "x" * 100),
        ("Robert'); DROP TABLE people;--", "Robert'); DROP TABLE people;--"),
        ("ශ්\u200dරී", "ශ්\u200dරී"),  # Sinhala needs the joiner, as Persian needs the non-joiner
        ("می\u200cنو", "می\u200cنو"),
    ],
)
def test_names_are_free_text(gallery: Gallery, given: str, kept: str) -> None:
    assert clean_name(given) == kept
    assert enrolled(gallery, given, 1).name == kept
    assert gallery.find(given).name == kept


@pytest.mark.parametrize(
    "name", ["", " \t\n", "x" * 101, "An\x00na", "An\nna", "An\x1b[31mna", "An\u202ena", "\ud800", "An\x7f"]
)
def test_what_is_no_name_is_refused_in_one_line(gallery: Gallery, name: str) -> None:
    with pytest.raises(GalleryError) as caught:
        enrolled(gallery, name, 1)
    one_line(caught).encode()
    anna = enrolled(gallery, "Anna", 1)
    with pytest.raises(GalleryError):
        gallery.rename("Anna", name)
    assert gallery.people() == [anna]


@given(name=st.text(max_size=120))
def test_any_name_is_kept_clean_or_refused(name: str) -> None:
    try:
        kept = clean_name(name)
    except GalleryError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert clean_name(kept) == kept
        assert 1 <= len(kept) <= 100
        assert unicodedata.is_normalized("NFC", kept)


def test_a_person_keeps_the_id_under_another_name(gallery: Gallery) -> None:
    anna = enrolled(gallery, "Anna", 1)
    renamed = gallery.rename("Anna", "Anne")
    assert (renamed.id, renamed.name, renamed.templates) == (anna.id, "Anne", 1)
    assert gallery.rename(anna.id, "Anne") == renamed
    assert names(gallery) == ["Anne"]


def test_a_taken_name_is_not_given_twice(gallery: Gallery) -> None:
    enrolled(gallery, "Anna", 1)
    enrolled(gallery, "Bert", 2)
    with pytest.raises(GalleryError, match="'Bert' is already enrolled"):
        gallery.rename("Anna", "Bert")
    with pytest.raises(GalleryError, match="nobody called"):
        gallery.rename("Clara", "Dora")
    assert names(gallery) == ["Anna", "Bert"]


def test_who_is_forgotten_in_the_same_moment_gets_no_new_name(
    gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = enrolled(gallery, "Anna", 1)
    gallery.forget("Anna")
    monkeypatch.setattr(gallery, "find", lambda _: anna)
    with pytest.raises(GalleryError, match="no longer enrolled"):
        gallery.rename("Anna", "Anne")
    assert sealed(path, anna) == []


def test_who_is_forgotten_is_gone_and_the_others_are_not(gallery: Gallery) -> None:
    anna, bert = enrolled(gallery, "Anna", 1, 2), enrolled(gallery, "Bert", 3)
    assert gallery.forget("Anna") == anna
    assert gallery.people() == [bert]
    assert len(gallery.templates().vectors) == 1
    with pytest.raises(GalleryError, match="nobody called"):
        gallery.forget("Anna")
    assert enrolled(gallery, "Anna", 1).id != anna.id


def sealed(path: Path, person: Person) -> list[Any]:
    """Every sealed record of a person, as SQLite finds it."""
    database = sqlite3.connect(path)
    try:
        columns = {"people": "id", "templates": "person_id", "events": "person_id"}
        queries = [f"SELECT sealed FROM {table} WHERE {column} = ?" for table, column in columns.items()]
        return [blob for query in queries for (blob,) in database.execute(query, (person.id,))]
    finally:
        database.close()


def test_no_byte_of_who_is_forgotten_stays_on_disk(gallery: Gallery, path: Path) -> None:
    watching = Gallery(path, MODEL)
    seeds: dict[str, list[int]] = {f"P{number}": [] for number in range(12)}
    for round_ in range(3):
        for number, name in enumerate(seeds):
            seeds[name] += [base := 1000 * round_ + 10 * number, base + 1, base + 2]
            person = enrolled(gallery, name, *seeds[name][-3:])
            event = kept(gallery, person, near(unit(base), 0.8))
            gallery.learn(event, person.id, "rejected", keep=True)
            watching.templates()
    victim, other = gallery.find("P5"), gallery.find("P6")
    gallery.rename("P5", "Rumpelstilzchen")
    theirs, others = sealed(path, victim), sealed(path, other)
    assert len(theirs) == len(others) == 1 + 9 + 3 + 3
    assert traces(path.parent, theirs) >= 16 * 16 - 2
    gallery.forget("Rumpelstilzchen")
    assert traces(path.parent, theirs) == 0
    assert sealed(path, victim) == []
    assert sealed(path, other) == others
    watching.close()


def test_forget_does_not_claim_what_a_long_reader_prevents(
    gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = sealed(path, enrolled(gallery, "Anna", 1))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM templates").fetchone()
    monkeypatch.setattr("edgeface.gallery.sqlite.LOCK_TIMEOUT_S", 0.05)
    try:
        gallery.forget("Anna")
        told = False
    except GalleryError:
        told = True
    assert told or traces(path.parent, theirs) == 0
    reader.close()


def test_the_files_are_the_owners_alone(gallery: Gallery, path: Path) -> None:
    enrolled(gallery, "Anna", 1)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert files == dict.fromkeys(["gallery.db", "gallery.db-wal", "gallery.db-shm", "gallery.key"], 0o600)


def test_another_model_is_refused_by_name(gallery: Gallery, path: Path) -> None:
    enrolled(gallery, "Anna", 1)
    with pytest.raises(GalleryError, match=r"sha256:a.* not .*sha256:b") as caught:
        Gallery(path, OTHER_MODEL)
    one_line(caught)
    assert names(gallery) == ["Anna"]


@pytest.mark.parametrize("data", [b"hello, I am no database\n" * 100, b"SQLite format 3\x00" + b"\xff" * 4080, b"xyz"])
def test_what_is_no_database_is_refused_and_left_alone(path: Path, data: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(GalleryError, match=r"gallery\.db: not a gallery, or damaged") as caught:
        Gallery(path, MODEL)
    one_line(caught)
    assert path.read_bytes() == data


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.commit()
    other.close()
    data = path.read_bytes()
    with pytest.raises(GalleryError, match="not an edgeface gallery"):
        Gallery(path, MODEL)
    assert path.read_bytes() == data


def test_a_folder_or_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        Gallery(tmp_path, MODEL)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/gallery\.db: "):
        Gallery(tmp_path / "file" / "gallery.db", MODEL)


def test_a_later_format_is_refused(gallery: Gallery, path: Path) -> None:
    gallery.close()
    changed(path, "PRAGMA user_version=3")
    with pytest.raises(GalleryError, match="format 3, this one reads 2"):
        Gallery(path, MODEL)


@pytest.mark.parametrize(
    ("statement", "people", "templates"),
    [
        ("UPDATE templates SET sealed = x'00' WHERE id = 1", ["Anna", "Bert"], 2),
        ("UPDATE templates SET sealed = zeroblob(550) WHERE id = 1", ["Anna", "Bert"], 2),
        ("UPDATE templates SET sealed = 'text' WHERE id = 1", ["Anna", "Bert"], 2),
        ("UPDATE people SET sealed = 5 WHERE rowid = 1", ["Bert", "p_"], 3),
        ("UPDATE templates SET person_id = 'p_0000000000000000' WHERE id = 1", ["Anna", "Bert", "p_"], 2),
        ("UPDATE templates SET kind = 'temqlate' WHERE id = 1", ["Anna", "Bert"], 2),
        ("UPDATE people SET id = x'01' WHERE rowid = 1", ["Bert", "p_"], 3),
        ("DELETE FROM people WHERE rowid = 1", ["Bert", "p_"], 3),
        ("DELETE FROM meta", ["Anna", "Bert"], 3),
    ],
)
def test_a_damaged_record_costs_that_record(
    gallery: Gallery, path: Path, statement: str, people: list[str], templates: int
) -> None:
    enrolled(gallery, "Anna", 1, 2)
    enrolled(gallery, "Bert", 3)
    gallery.close()
    changed(path, statement)
    again = Gallery(path, MODEL)
    found = again.templates()
    assert sorted(person.name[: 2 if person.name.startswith("p_") else None] for person in found.people) == people
    assert len(found.vectors) == templates
    assert bool(again.damage()) == ("meta" not in statement)
    assert enrolled(again, "Carl", 4).templates == 1
    again.forget("Bert")
    assert "Bert" not in names(again)
    again.close()


@pytest.mark.parametrize("statement", ["DROP TABLE meta", "DROP TABLE templates"])
def test_a_damaged_gallery_is_told_in_one_line(gallery: Gallery, path: Path, statement: str) -> None:
    enrolled(gallery, "Anna", 1)
    gallery.close()
    changed(path, statement)
    with pytest.raises(GalleryError) as caught:
        Gallery(path, MODEL).templates()
    one_line(caught)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_overwritten_bytes_are_told_or_harmless(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    path = tmp_path_factory.mktemp("damage") / "gallery.db"
    gallery = Gallery(path, MODEL)
    for number in range(6):
        enrolled(gallery, f"P{number}", 2 * number, 2 * number + 1)
    gallery.close()
    randomly = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(randomly.randint(1, 40)):
        data[randomly.randrange(len(data))] = randomly.randrange(256)
    path.write_bytes(data)
    try:
        found = Gallery(path, MODEL)
        found.people()
        found.templates()
        found.export()
    except GalleryError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


WORKER = """
import sys
from pathlib import Path
import numpy as np
from edgeface.gallery.store import Gallery
gallery, name, count = Gallery(Path(sys.argv[1]), sys.argv[2]), sys.argv[3], int(sys.argv[4])
rng = np.random.default_rng()
print("ready", flush=True)
for number in range(count):
    vectors = rng.normal(size=(5, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gallery.enroll(f"{name} {number}", list(vectors), [0.5] * 5)
    print(f"enrolled {name} {number}", flush=True)
    if number % 3 == 2:
        gallery.forget(f"{name} {number - 1}")
        print(f"forgot {name} {number - 1}", flush=True)
"""


def worker(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, path, MODEL, name, str(count)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_changes_of_this_and_of_another_process_change_the_version(gallery: Gallery, path: Path) -> None:
    before = gallery.version
    assert gallery.version == before
    enrolled(gallery, "Anna", 1)
    own = gallery.version
    assert own != before
    gallery.rename("Anna", "Anne")
    renamed = gallery.version
    assert renamed != own
    with worker(path, "Bert", 1) as other:
        other.communicate(timeout=60)
    assert gallery.version != renamed
    assert names(gallery) == ["Anne", "Bert 0"]
    forgotten = gallery.version
    gallery.forget("Anne")
    assert gallery.version != forgotten
    gallery.templates()
    gallery.people()
    gallery.export()
    assert gallery.version == gallery.version


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_whole_people(path: Path) -> None:
    kills = int(os.environ.get("EDGEFACE_KILLS", "25"))
    moments = random.Random(2024)
    there: set[str] = set()
    for number in range(kills):
        with worker(path, f"k{number}", 10_000) as victim:
            assert needed(victim.stdout).readline() == "ready\n"
            try:
                victim.wait(moments.uniform(0.0, 0.06))
            except subprocess.TimeoutExpired:
                victim.send_signal(signal.SIGKILL)
            told = needed(victim.stdout).read().splitlines()
        assert victim.returncode == -signal.SIGKILL
        gallery = Gallery(path, MODEL)
        found = {person.name: person.templates for person in gallery.people()}
        assert set(found.values()) <= {5}
        assert len(gallery.templates().vectors) == 5 * len(found)
        # Nobody was half forgotten: a template without a person would make templates() fail.
        for line in told:
            verb, _, name = line.partition(" ")
            (there.add if verb == "enrolled" else there.discard)(name)
        # One change may have been committed and not yet told.
        assert len(there ^ set(found)) <= 1
        there = set(found)
        if number % 5 == 4:
            for name in sorted(there)[:-3]:
                gallery.forget(name)
            there = set(names(gallery))
        gallery.close()
    assert kills == 0 or there


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Gallery]:
    opened = Gallery(tmp_path / "other" / "gallery.db", MODEL)
    yield opened
    opened.close()


def test_an_export_brings_everybody_to_another_gallery(gallery: Gallery, other: Gallery) -> None:
    anna, bert = enrolled(gallery, "Anna", 1, 2), enrolled(gallery, "李", 3)
    assert other.import_(gallery.export()) == [Imported(anna, new=True, added=2), Imported(bert, new=True, added=1)]
    assert other.people() == gallery.people()
    assert np.array_equal(other.templates().vectors, gallery.templates().vectors)
    assert other.export() == gallery.export()


def test_an_export_of_nobody_can_be_imported(gallery: Gallery, other: Gallery) -> None:
    assert other.import_(gallery.export()) == []


def test_an_import_twice_changes_nothing(gallery: Gallery, other: Gallery) -> None:
    enrolled(gallery, "Anna", 1, 2)
    other.import_(gallery.export())
    before = other.people()
    assert other.import_(gallery.export()) == [Imported(before[0], new=False, added=0)]
    assert other.people() == before


def test_an_import_adds_the_templates_that_are_new(gallery: Gallery, other: Gallery) -> None:
    enrolled(gallery, "Anna", 1, 2)
    other.import_(gallery.export())
    enrolled(gallery, "Anna", 3)
    other.rename("Anna", "Anne")
    (merged,) = other.import_(gallery.export())
    assert (merged.person.name, merged.person.templates) == ("Anne", 3)
    assert (merged.new, merged.added) == (False, 1)


def test_an_import_changes_the_version(gallery: Gallery, other: Gallery) -> None:
    enrolled(gallery, "Anna", 1)
    before = other.version
    other.import_(gallery.export())
    assert other.version != before


def test_a_name_taken_by_another_person_stops_the_whole_import(gallery: Gallery, other: Gallery) -> None:
    enrolled(gallery, "Aaron", 1)
    enrolled(gallery, "Bert", 2)
    bert = enrolled(other, "Bert", 3)
    with pytest.raises(GalleryError, match="'Bert' is already enrolled as another person"):
        other.import_(gallery.export())
    assert other.people() == [bert]


def test_an_export_of_another_model_is_refused(gallery: Gallery, tmp_path: Path) -> None:
    enrolled(gallery, "Anna", 1)
    stranger = Gallery(tmp_path / "b.db", OTHER_MODEL)
    with pytest.raises(GalleryError, match="export is of the model 'sha256:a"):
        stranger.import_(gallery.export())
    assert stranger.people() == []


def document(**changes: Any) -> bytes:
    person = {"id": "p_0123456789abcdef", "name": "Anna", "enrolled": 1.0, "templates": [template(1)]}
    whole = {"edgeface_gallery": 1, "model": MODEL, "dimensions": 128, "people": [person]}
    for key, value in changes.items():
        (person if key in person else whole)[key] = value
    return json.dumps(whole).encode()


def template(seed: int = 1, vector: Vector | None = None, quality: float = 0.5) -> dict[Any, Any]:
    return {"vector": base64.b64encode((unit(seed) if vector is None else vector).tobytes()).decode(), "quality": quality}


def test_a_document_made_by_hand_is_an_export(gallery: Gallery) -> None:
    (anna,) = (one.person for one in gallery.import_(document()))
    assert (anna.id, anna.name, anna.templates, anna.enrolled) == ("p_0123456789abcdef", "Anna", 1, 1.0)


HOSTILE = {
    "empty": b"",
    "text": b"hello",
    "not utf-8": b"\xff\xfe",
    "list": b"[]",
    "deep": b"[" * 100_000,
    "deep people": document().replace(b'"Anna"', b"[" * 100_000),
    "version": document(edgeface_gallery=2),
    "id": document(id="../../x"),
    "id with a line break": document(id="p_0123456789abcdef\n"),
    "no name": document(name=" "),
    "name with control": document(name="An\x1b[0mna"),
    "name with half a character": document(name="\ud800"),
    "long name": document(name="x" * 101),
    "number as name": document(name=5),
    "no templates": document(templates=[]),
    "quality": document(templates=[template(quality=2)]),
    "no base64": document(templates=[{"vector": "!!!!", "quality": 0.5}]),
    "not ascii": document(templates=[{"vector": "éééé", "quality": 0.5}]),
    "odd bytes": document(templates=[template(vector=np.zeros(3, np.uint8))]),
    "short": document(templates=[template(vector=unit(1)[:64])]),
    "long": document(templates=[template(vector=np.concatenate([unit(1), unit(2)]))]),
    "zero": document(templates=[template(vector=np.zeros(128, np.float32))]),
    "nan": document(templates=[template(vector=np.full(128, np.nan, np.float32))]),
    "infinite": document(templates=[template(vector=np.full(128, np.inf, np.float32))]),
    "not of unit length": document(templates=[template(vector=2 * unit(1))]),
    "one bad of two": document(templates=[template(1), template(vector=2 * unit(1))]),
    "infinite time": document(enrolled=float("inf")),
    "model with a line break": document(model="a\nb\nc"),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_export_is_refused_in_one_line_and_leaves_nothing(gallery: Gallery, data: bytes) -> None:
    with pytest.raises(GalleryError) as caught:
        gallery.import_(data)
    one_line(caught)
    assert gallery.people() == []
    assert gallery.version[1] == 0


def test_one_person_twice_in_a_document_is_one_person(gallery: Gallery) -> None:
    whole = json.loads(document())
    whole["people"].append(whole["people"][0] | {"templates": [template(2)]})
    gallery.import_(json.dumps(whole).encode())
    assert [(person.name, person.templates) for person in gallery.people()] == [("Anna", 2)]


def test_an_export_of_a_later_format_says_so(gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match="another version of edgeface \\(export 2, this one reads 1\\)"):
        gallery.import_(document(edgeface_gallery=2))


@st.composite
def mangled(draw: DrawFn) -> bytes:
    data = bytearray(document())
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda value: st.lists(value, max_size=3)
)
FIELDS = st.sampled_from(["edgeface_gallery", "model", "dimensions", "people", "id", "name", "enrolled", "templates"])


@given(data=st.binary() | mangled() | st.dictionaries(FIELDS, JSON, min_size=1, max_size=2).map(lambda d: document(**d)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_import_is_taken_whole_or_refused_in_one_line(gallery: Gallery, data: bytes) -> None:
    try:
        imported = gallery.import_(data)
    except GalleryError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert all(one.person.templates > 0 for one in imported)
    assert len(gallery.templates().vectors) == sum(person.templates for person in gallery.people())
