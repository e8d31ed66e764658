"""One bit of a gallery's file is flipped, in a kind of place that is chosen first: nothing is lost but what stood there."""

import base64
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from random import Random
from typing import NamedTuple

from fixtures.galleries import unit

from edgeface.errors import GalleryError
from edgeface.gallery.store import Gallery

from .house import CHIP, Facts, Seen, facts, furnished, opened

SEALED = ("people", "templates", "events", "pictures", "faces", "revisions")


class Place(NamedTuple):
    """Bytes of the file, and how many records damage to one of them may cost."""

    start: int
    end: int
    records: float


def attack(dice: Random, folder: Path, kind: str | None = None) -> str:
    path = furnished(folder) / "gallery.db"
    with opened(folder) as gallery:
        before, ids = facts(gallery), {person.id: person.name for person in gallery.people()}
    data, places = bytearray(path.read_bytes()), classes(path)
    kind = kind or dice.choice(sorted(places))
    place = dice.choice(places[kind])
    at, bit = dice.randrange(place.start, place.end), dice.randrange(8)
    data[at] ^= 1 << bit
    path.write_bytes(data)
    told = None
    try:
        with opened(folder) as gallery:
            damage = gallery.damage()
            lost = _lost(gallery, before, ids)
            gallery.enroll("Guest", [unit(950)], [0.8], [CHIP])
            gallery.forget("Guest")
    except GalleryError as error:
        told = str(error)
    except AssertionError as error:
        raise AssertionError(f"{kind}, byte {at}, bit {bit}: {error}") from None
    what = f"{kind}, byte {at}, bit {bit}"
    if told is not None:
        assert len(told.splitlines()) == 1, (what, told)
        assert not kind.startswith("a sealed"), (what, told)
        return "unreadable, told"
    assert lost <= place.records, f"{what}: {lost} records are lost"
    assert len(damage) == 1 or not kind.startswith("a sealed"), (what, damage)
    return "damage told" if damage else "lost untold" if lost else "harmless"


def _lost(gallery: Gallery, before: Facts, ids: dict[str, str]) -> int:
    """How many records of the kind that lost most; see that nobody has anything of others, or that was not there."""
    (people, events, faces), (whole, all_events, all_faces) = facts(gallery), before
    vectors = {name: {base64.b64decode(one) for one in templates} for name, (templates, _) in whole.items()}
    known = gallery.templates()
    for owner, vector in zip(known.owners, known.vectors, strict=True):
        person = known.people[owner]
        name = ids.get(person.id)
        assert person.name in (name, person.id), f"{person.name} is somebody else"
        assert name is None or vector.tobytes() in vectors[name], f"{name} has a template of somebody else"
    everything, there = _vectors(whole), _vectors(people)
    assert set(there) <= set(everything)
    assert set(events) <= set(all_events) | {(*one[:3], False) for one in all_events}  # without its picture
    return max(
        len(everything) - len(there),
        len(whole.keys() - people.keys()),
        all_events.total() - events.total(),
        _pictures(all_events) - _pictures(events),
        all_faces - faces,
    )


def _vectors(people: dict[str, tuple[list[str], list[str]]]) -> list[str]:
    return [vector for templates, negatives in people.values() for vector in templates + negatives]


def _pictures(events: Counter[Seen]) -> int:
    return sum(count for (*_, pictured), count in events.items() if pictured)


def classes(path: Path) -> dict[str, list[Place]]:
    """The places in the file by what they are: SQLite itself tells of each page whose it is."""
    found: dict[str, list[Place]] = defaultdict(list)
    data = path.read_bytes()
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as file:
        pages = file.execute("SELECT name, pagetype, ncell, pgoffset, pgsize FROM dbstat").fetchall()
        indexes = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
        sealed = {table: file.execute(f"SELECT sealed FROM {table}").fetchall() for table in SEALED}
    found["the file's header"].append(Place(0, 100, 0))
    for name, pagetype, cells, start, size in pages:
        records = 0 if name in indexes else cells
        if pagetype == "overflow":
            found[f"{name}: overflow"].append(Place(start, start + size, 1))
            continue
        if pagetype == "internal" or name in ("sqlite_schema", "people"):  # other records hang on them
            records = float("inf")
        head = start + (100 if start == 0 else 0)
        pointers = head + (12 if pagetype == "internal" else 8)
        content = start + (int.from_bytes(data[head + 5 : head + 7], "big") or 65536)
        parts = {
            "a page's head": (head, pointers, records),
            "where its rows are": (pointers, pointers + 2 * cells, records),
            "unused": (pointers + 2 * cells, content, 0),
            "rows": (content, start + size, records),
        }
        for part, place in parts.items():
            if place[0] < place[1]:
                found[f"{name}: {part}"].append(Place(*place))
    for table, records in sealed.items():
        for (record,) in records:
            if (at := data.find(record)) >= 0:  # else it goes on in an overflow page
                found[f"a sealed record of {table}"].append(Place(at, at + len(record), 1))
    free = set(range(0, len(data), 4096)) - {start for *_, start, _ in pages}
    if free:
        found["a free page"] = [Place(start, start + 4096, 0) for start in sorted(free)]
    return dict(found)
