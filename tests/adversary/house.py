"""A gallery with records of every kind on many pages, what is kept in it, and every kind of change that is made to one."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fixtures.backup import config
from fixtures.galleries import keeping, near, unit, units

from edgeface.gallery import restore
from edgeface.gallery.backup import Backups
from edgeface.gallery.event_store import Verdict
from edgeface.gallery.shared import SharedPerson, SharedTemplate
from edgeface.gallery.store import Gallery, template_id
from edgeface.gallery.versions import Revision
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Vector
from edgeface.vision.model_card import SHIPPED, load_card
from edgeface.wire.events import Event

MODEL = load_card(SHIPPED).digest
PEOPLE = ("Anna", "Bert", "Carl", "Dora", "Emil", "Fritz", "Gerda", "Hans")
CHIP = np.full((112, 112, 3), 100, np.uint8)
WALL = 1_700_000_000.0

Seen = tuple[str, Verdict | None, bytes, bool]
"""Of an event: its kind, the verdict on it, the face, whether there is a picture."""
Facts = tuple[dict[str, tuple[list[str], list[str]]], Counter[Seen], int]


def opened(folder: Path) -> closing[Gallery]:
    return closing(Gallery(folder / "gallery.db", MODEL, keep_faces=True))


@cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="edgeface-house-"))
    with opened(folder) as gallery:
        for number, name in enumerate(PEOPLE):
            gallery.enroll(name, units(*range(10 * number, 10 * number + 4)), [0.8] * 4, [CHIP] * 4)
        for number, name in enumerate(PEOPLE[:3]):
            person = gallery.find(name)
            event = see(gallery, near(unit(10 * number), 0.5), person.id)
            gallery.learn(gallery.events.find(event), person.id, "rejected", keep=True)
            see(gallery, unit(500 + number))
        gallery.exchange(lambda _: _share(gallery))
    Backups(config(folder)).make()
    return folder


def _share(gallery: Gallery) -> dict[str, SharedPerson | None]:
    gallery.revisions.all("k")
    gallery.revisions.put("k", "name", Revision(1, "door", b"digest"))
    return {}


def see(gallery: Gallery, face: Vector, person_id: str | None = None) -> str:
    """Keep an event with its picture; gives its id."""
    kind = EventType.RECOGNIZED if person_id else EventType.UNKNOWN
    event = Event(kind, new_event_id(WALL), WALL, 0.0, "front", person_id=person_id, score=0.6, quality=0.8, embedding=face)
    gallery.events.keep(event, keeping(), b"a picture of a face " * 50)
    return event.event_id


def furnished(folder: Path) -> Path:
    """The folder, with such a gallery in it, its key and a backup."""
    shutil.copytree(_made(), folder, dirs_exist_ok=True)
    return folder


def facts(gallery: Gallery) -> Facts:
    """What is kept of whom, whatever the ids."""
    people = {
        person["name"]: (
            sorted(template["vector"] for template in person["templates"]),
            sorted(template["vector"] for template in person["negatives"]),
        )
        for person in json.loads(gallery.export())["people"]
    }
    events = Counter(
        (event.event_type, event.verdict, event.embedding.tobytes(), bool(gallery.events.picture(event.event_id)))
        for event in gallery.events.all()
    )
    return people, events, gallery.faces()


class Change(NamedTuple):
    """Something that can be done to a gallery in a folder, and what takes it back."""

    do: Callable[[Path], object]
    undo: Callable[[Path], object]


def _on_gallery(work: Callable[[Gallery], object]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with opened(folder) as gallery:
            gallery.bin.days = 30.0
            work(gallery)

    return change


def _import(gallery: Gallery) -> None:
    document = json.loads(gallery.export())
    document["people"] = [document["people"][0] | {"id": "p_00000000000000aa", "name": "Guest"}]
    gallery.import_(json.dumps(document).encode())


def _share_fewer(gallery: Gallery) -> None:
    bert, there = gallery.find("Bert").id, gallery.shared()
    gallery.exchange(lambda _: {bert: _with(there[bert], there[bert].templates[:2])})


def _share_all(gallery: Gallery) -> None:
    bert, there = gallery.find("Bert").id, gallery.shared()
    everything = {trait.vector: trait for trait in there[bert].templates}
    for vector in units(10, 11, 12, 13):
        everything.setdefault(vector.astype("<f4").tobytes(), type(there[bert].templates[0])(vector.tobytes(), 0.8, ""))
    gallery.exchange(lambda _: {bert: _with(there[bert], tuple(sorted(everything.values())))})


def _with(copy: SharedPerson, templates: tuple[SharedTemplate, ...]) -> SharedPerson:
    return type(copy)(copy.name, copy.enrolled, templates, copy.negatives)


def _judge(verdict: Verdict) -> Callable[[Gallery], None]:
    def work(gallery: Gallery) -> None:
        event = max((one for one in gallery.events.all() if one.event_type == EventType.UNKNOWN), key=lambda one: one.event_id)
        gallery.learn(event, gallery.find("Dora").id, verdict, keep=True)

    return work


def _merge(gallery: Gallery) -> None:
    gallery.moves.merge(gallery.find("Bert").id, gallery.find("Anna").id)


def _split(gallery: Gallery) -> None:
    gallery.moves.split(gallery.find("Carl").id, {unit(20).tobytes(), unit(21).tobytes()}, "Guest")


def _dismiss(gallery: Gallery) -> None:
    gallery.events.dismiss([event.event_id for event in gallery.events.all() if np.allclose(event.embedding, unit(900))])


_forget_guest = _on_gallery(lambda gallery: gallery.forget("Guest"))
CHANGES = {
    "enroll and forget": Change(
        _on_gallery(lambda gallery: gallery.enroll("Guest", units(*range(800, 805)), [0.8] * 5, [CHIP] * 5)), _forget_guest
    ),
    "add a view and drop it": Change(
        _on_gallery(lambda gallery: gallery.enroll("Bert", units(810), [0.8], [CHIP])),
        _on_gallery(lambda gallery: gallery.drop(template_id(gallery.find("Bert").id, unit(810)))),
    ),
    "merge and undo": Change(_on_gallery(_merge), _on_gallery(lambda gallery: gallery.moves.undo(None))),
    "split off and undo": Change(_on_gallery(_split), _on_gallery(lambda gallery: gallery.moves.undo(None))),
    "rename": Change(
        _on_gallery(lambda gallery: gallery.rename("Anna", "Anne")), _on_gallery(lambda gallery: gallery.rename("Anne", "Anna"))
    ),
    "import and forget": Change(_on_gallery(_import), _forget_guest),
    "take over another device's": Change(_on_gallery(_share_fewer), _on_gallery(_share_all)),
    "a verdict and its contrary": Change(_on_gallery(_judge("confirmed")), _on_gallery(_judge("rejected"))),
    "keep an event and dismiss it": Change(_on_gallery(lambda gallery: see(gallery, unit(900))), _on_gallery(_dismiss)),
    "restore a backup": Change(
        _on_gallery(lambda gallery: gallery.enroll("Guest", units(820), [0.8], [CHIP])),
        lambda folder: restore.whole(config(folder), SHIPPED, "1"),
    ),
}
"""By what is done; the second part takes the first back, but for what a backup has not."""


def around(folder: Path, change: Change) -> tuple[Facts, Facts]:
    """What is kept after the change is taken back, and after it is made; it is taken back in the end."""
    change.do(folder)
    change.undo(folder)
    states = []
    for step in (change.do, change.undo):
        step(folder)
        with opened(folder) as gallery:
            states.append(facts(gallery))
    made, back = states
    assert made != back
    return back, made
