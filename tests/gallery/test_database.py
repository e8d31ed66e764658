import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from hashlib import blake2s
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.galleries import MODEL, OTHER_MODEL, ROOT, changed, enrolled, kept, names, near, one_line, traces, unit, units
from fixtures.optional import needed
from fixtures.plain_gallery import plain_gallery

from edgeface.errors import GalleryError
from edgeface.gallery import file_format
from edgeface.gallery.file_format import SCHEMA, need
from edgeface.gallery.store import Gallery


def contents(folder: Path) -> dict[Any, Any]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def values(path: Path, query: str) -> list[Any]:
    database = sqlite3.connect(path)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


# In the clear and not


def test_neither_names_nor_vectors_stand_in_the_file(gallery: Gallery, path: Path) -> None:
    anna = enrolled(gallery, "Rumpelstilzchen", 1, 2)
    event = kept(gallery, anna, unit(3))
    gallery.learn(event, anna.id, "rejected", keep=True)
    assert traces(path.parent, [vector.tobytes() for vector in units(1, 2, 3)]) == 0
    assert b"Rumpelstilzchen" not in b"".join(contents(path.parent).values())
    assert anna.id.encode() in path.with_name("gallery.db-wal").read_bytes()


def test_a_gallery_in_the_clear_is_encrypted_and_no_plain_byte_is_left(path: Path) -> None:
    people = {f"Person {number}": units(*range(10 * number, 10 * number + 5)) for number in range(20)}
    database = plain_gallery(path, people)
    vectors = [vector.tobytes() for some in people.values() for vector in some]
    assert traces(path.parent, vectors) == 100 * 16
    database.execute("DELETE FROM people WHERE name = 'Person 3'")  # a trace that was there before
    database.close()
    del people["Person 3"]
    gallery = Gallery(path, MODEL)
    assert traces(path.parent, vectors) == 0
    assert b"Person " not in b"".join(contents(path.parent).values())
    assert {person.name: person.templates for person in gallery.people()} == dict.fromkeys(people, 5)
    found = gallery.templates()
    for name, some in people.items():
        index = [person.name for person in found.people].index(name)
        assert np.array_equal(found.vectors[found.owners == index], np.stack(some))
    assert gallery.find("Person 1").enrolled == 1001.0
    assert gallery.export().count(b"0.75") == 95
    gallery.close()
    assert names(Gallery(path, MODEL)) == sorted(people)


def test_a_gallery_in_the_clear_of_another_model_is_left_as_it_is(path: Path) -> None:
    plain_gallery(path, {"Anna": units(1)}, OTHER_MODEL).close()
    before = contents(path.parent)
    with pytest.raises(GalleryError, match="is of the model sha256:b"):
        Gallery(path, MODEL)
    assert contents(path.parent) == before


@pytest.mark.parametrize("damage", ["DROP TABLE templates", "UPDATE templates SET vector = 'text'", "DELETE FROM people"])
def test_a_damaged_gallery_in_the_clear_is_told_and_not_lost(path: Path, damage: str) -> None:
    plain_gallery(path, {"Anna": units(1)}).close()
    changed(path, damage)
    refused(path)


OPEN = "import sys; from pathlib import Path; from edgeface.gallery.store import Gallery; print('ready', flush=True); "
UPGRADE = f"{OPEN}Gallery(Path(sys.argv[1]), sys.argv[2])"


def test_a_kill_during_the_change_of_format_loses_nobody(path: Path) -> None:
    moments = random.Random(7)
    for number in range(int(os.environ.get("EDGEFACE_KILLS", "5"))):
        folder = path.parent / str(number)
        folder.mkdir(parents=True)
        plain_gallery(folder / "gallery.db", {f"P{n}": units(n, n + 50) for n in range(40)}).close()
        with subprocess.Popen(
            [sys.executable, "-c", UPGRADE, folder / "gallery.db", MODEL], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as victim:
            assert needed(victim.stdout).readline() == "ready\n"
            with suppress(subprocess.TimeoutExpired):
                victim.wait(moments.uniform(0.0, 0.04))
            victim.send_signal(signal.SIGKILL)
        gallery = Gallery(folder / "gallery.db", MODEL)
        assert {person.templates for person in gallery.people()} == {2}
        assert len(gallery.people()) == 40
        gallery.close()
        assert traces(folder, [unit(n).tobytes() for n in range(90)]) == 0


FOUND = f"{OPEN}sys.stdin.readline(); Gallery(Path(sys.argv[1]), sys.argv[2]).find(sys.argv[3])"


def test_of_several_that_found_a_gallery_at_once_each_finds_the_same_key(path: Path) -> None:
    others = [
        subprocess.Popen(
            [sys.executable, "-c", FOUND, path, MODEL, f"x{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for other in others:
        assert needed(other.stdout).readline() == "ready\n"
    for other in others:
        needed(other.stdin).write("\n")
        needed(other.stdin).flush()
    for other in others:
        _, told = other.communicate(timeout=60)
        assert "nobody called" in told  # and nothing about keys
    assert Gallery(path, MODEL).people() == []


# Records that stand in the wrong place


def swap(path: Path, table: str, first: str, second: str) -> None:
    (one,), (other,) = (values(path, f"SELECT sealed FROM {table} WHERE {where}")[0] for where in (first, second))
    database = sqlite3.connect(path)
    for blob, where in ((one, second), (other, first)):
        database.execute(f"UPDATE {table} SET sealed = ? WHERE {where}", (blob,))
    database.commit()
    database.close()


def refused(path: Path, model: str = MODEL) -> str:
    def read() -> None:
        gallery = Gallery(path, model)
        gallery.templates()
        gallery.events.all()

    with pytest.raises(GalleryError) as caught:
        read()
    return one_line(caught)


def damaged(path: Path) -> list[Any]:
    """What does not open in a gallery whose other records are all there."""
    gallery = Gallery(path, MODEL)
    found, templates = gallery.damage(), gallery.templates()
    gallery.close()
    for owner, vector in zip(templates.owners, templates.vectors, strict=True):
        seed = {"Anna": 1, "Bert": 2}.get(templates.people[owner].name)
        assert seed is None or np.array_equal(vector, unit(seed))
    return [damage.kind for damage in found]


@pytest.mark.parametrize(("table", "kind"), [("people", "person"), ("templates", "template"), ("events", "event")])
def test_records_cannot_be_swapped_between_people(gallery: Gallery, path: Path, table: str, kind: str) -> None:
    anna, bert = enrolled(gallery, "Anna", 1), enrolled(gallery, "Bert", 2)
    kept(gallery, anna, unit(3))
    kept(gallery, bert, unit(4))
    gallery.close()
    column = "id" if table == "people" else "person_id"
    swap(path, table, f"{column} = '{anna.id}'", f"{column} = '{bert.id}'")
    assert damaged(path) == [kind, kind]
    swap(path, table, f"{column} = '{anna.id}'", f"{column} = '{bert.id}'")
    assert names(Gallery(path, MODEL)) == ["Anna", "Bert"]


def test_a_negative_template_cannot_become_a_template(gallery: Gallery, path: Path) -> None:
    anna = enrolled(gallery, "Anna", 1)
    gallery.learn(kept(gallery, anna, unit(2)), anna.id, "rejected", keep=True)
    gallery.close()
    changed(path, "UPDATE templates SET kind = 'template'")
    assert damaged(path) == ["template"]


def test_records_of_two_kinds_cannot_be_swapped(gallery: Gallery, path: Path) -> None:
    anna = enrolled(gallery, "Anna", 1)
    gallery.learn(kept(gallery, anna, unit(2)), anna.id, "rejected", keep=True)
    gallery.close()
    swap(path, "templates", "kind = 'template'", "kind = 'negative'")
    assert damaged(path) == ["negative", "template"]


def test_an_event_cannot_be_laid_to_another_person(gallery: Gallery, path: Path) -> None:
    anna, bert = enrolled(gallery, "Anna", 1), enrolled(gallery, "Bert", 2)
    kept(gallery, anna, unit(3))
    gallery.close()
    changed(path, f"UPDATE events SET person_id = '{bert.id}'")
    assert damaged(path) == ["event"]


def test_a_record_cannot_be_brought_from_the_gallery_of_another_model(gallery: Gallery, path: Path) -> None:
    anna = enrolled(gallery, "Anna", 1)
    gallery.close()
    other = Gallery(path.with_name("other.db"), OTHER_MODEL)
    other.import_(gallery_export(path).replace(MODEL.encode(), OTHER_MODEL.encode()))
    other.close()
    (foreign,) = values(path.with_name("other.db"), "SELECT sealed FROM templates")[0]
    database = sqlite3.connect(path)
    database.execute("UPDATE templates SET sealed = ? WHERE person_id = ?", (foreign, anna.id))
    database.commit()
    database.close()
    assert damaged(path) == ["template"]


def gallery_export(path: Path) -> bytes:
    gallery = Gallery(path, MODEL)
    try:
        return gallery.export()
    finally:
        gallery.close()


def test_a_gallery_cannot_be_said_to_be_of_another_model(gallery: Gallery, path: Path) -> None:
    enrolled(gallery, "Anna", 1)
    gallery.close()
    changed(path, f"UPDATE meta SET model = '{OTHER_MODEL}'")
    assert "not encrypted with the key" in refused(path, OTHER_MODEL)


# Keys


def test_without_its_key_a_gallery_is_refused_and_left_alone(gallery: Gallery, path: Path) -> None:
    enrolled(gallery, "Anna", 1)
    gallery.close()
    key = path.with_name("gallery.key").rename(path.with_name("aside"))
    before = contents(path.parent)
    assert "its key is missing" in refused(path)
    assert contents(path.parent) == before
    key.rename(path.with_name("gallery.key"))
    assert names(Gallery(path, MODEL)) == ["Anna"]


def test_with_another_key_a_gallery_is_refused_and_left_alone(gallery: Gallery, path: Path) -> None:
    enrolled(gallery, "Anna", 1)
    gallery.close()
    key = path.with_name("gallery.key")
    own = key.read_bytes()
    key.write_bytes(bytes(32))
    before = path.read_bytes()
    assert f"not encrypted with the key in {key}" in refused(path)
    assert path.read_bytes() == before
    assert key.read_bytes() == bytes(32)
    key.write_bytes(own)
    assert names(Gallery(path, MODEL)) == ["Anna"]


def test_the_key_may_lie_elsewhere(tmp_path: Path, path: Path) -> None:
    gallery = Gallery(path, MODEL, key_file=tmp_path / "elsewhere" / "my.key")
    enrolled(gallery, "Anna", 1)
    gallery.close()
    assert not path.with_name("gallery.key").exists()
    assert "its key is missing" in refused(path)
    assert names(Gallery(path, MODEL, key_file=tmp_path / "elsewhere" / "my.key")) == ["Anna"]


def test_a_credential_is_the_key_of_a_new_gallery_and_no_file_is_made(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gallery-key").write_bytes(bytes(range(32)))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    gallery = Gallery(path, MODEL)
    enrolled(gallery, "Anna", 1)
    gallery.close()
    assert not path.with_name("gallery.key").exists()
    assert names(Gallery(path, MODEL)) == ["Anna"]
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert "its key is missing" in refused(path)


def test_no_key_is_made_for_what_is_no_gallery(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 100)
    refused(path)
    assert [file.name for file in path.parent.iterdir()] == ["gallery.db"]


def test_records_of_one_person_are_told_apart_by_nothing_but_the_key(gallery: Gallery, path: Path) -> None:
    """The same vector for two people, and twice for one under different events, leaves no equal bytes."""
    anna, bert = enrolled(gallery, "Anna", 1), enrolled(gallery, "Bert", 1)
    for person in (anna, bert):
        gallery.learn(kept(gallery, person, near(unit(1), 0.5)), person.id, "rejected", keep=True)
    blobs = [blob for (blob,) in values(path, "SELECT sealed FROM templates")]
    assert len({blob[start : start + 16] for blob in blobs for start in range(12, 500, 16)}) == 4 * 31


# A full disk

FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from edgeface.errors import GalleryError
from edgeface.gallery.store import Gallery
gallery = Gallery(Path(sys.argv[1]), sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
vectors = np.random.default_rng(5).normal(size=(50, 128)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
try:
    gallery.enroll("Bert", list(vectors), [0.5] * 50)
    print("enrolled")
except GalleryError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 5_000, 15_000, 30_000, 10**9])
def test_an_enrollment_into_a_full_disk_is_whole_or_not_at_all(gallery: Gallery, path: Path, room: int) -> None:
    enrolled(gallery, "Anna", 1)
    gallery.close()
    done = subprocess.run(
        [sys.executable, "-c", FULL, path, MODEL, str(room)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    found = {person.name: person.templates for person in Gallery(path, MODEL).people()}
    assert found == {"Anna": 1} | ({"Bert": 50} if done.stdout == "enrolled\n" else {})
    assert (done.stdout == "enrolled\n") == (room == 10**9)


# The format of the file


BASE = {"meta", "people", "templates", "templates_of_person", "events"}
LAZY = {"faces", "pictures", "erased", "retention", "kept", "revisions", "rules", "unsure", "bin"}


def test_a_new_gallery_has_the_tables_of_the_format_and_the_others_once_they_are_needed(tmp_path: Path) -> None:
    with closing(Gallery(tmp_path / "gallery.db", MODEL)) as gallery:
        gallery.people()
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as file:
        names = "SELECT name FROM sqlite_master WHERE sql IS NOT NULL"
        assert {name for (name,) in file.execute(names)} == BASE
        need(file, *LAZY)
        need(file, *LAZY)
        assert {name for (name,) in file.execute(names)} == BASE | LAZY == SCHEMA.keys()
        older = f"{names.replace('name', 'sql', 1)} AND name NOT IN ('rules', 'bin') ORDER BY name"
        made = "\n".join(sql for (sql,) in file.execute(older))
    # What older versions have made: a gallery goes to and fro between versions.
    assert blake2s(made.encode(), digest_size=8).hexdigest() == "0eb043ae8e05ed50"


def test_no_other_module_makes_a_table() -> None:
    package = Path(file_format.__file__).parent.parent
    makes = {
        str(file.relative_to(package))
        for file in package.rglob("*")
        if file.suffix in {".py", ".sql"} and re.search(r"CREATE (TABLE|INDEX)", file.read_text())
    }
    assert makes == {"gallery/schema/v2.sql"}


def test_sql_stands_in_the_modules_of_files_and_tables() -> None:
    package = Path(file_format.__file__).parent.parent
    sql = re.compile(r"\"(SELECT|INSERT|UPDATE|DELETE FROM|PRAGMA|BEGIN|CREATE|DROP) ")
    found = {str(file.relative_to(package)) for file in package.rglob("*.py") if sql.search(file.read_text())}
    files = {"sqlite", "database_file", "file_format", "copies"}
    tables = {"bin", "database", "event_store", "retention", "versions"}
    assert found == {f"gallery/{name}.py" for name in files | tables}
