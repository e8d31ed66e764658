"""Measures how many later visits of strangers are found, and how many are wrongly joined.

``python tests/revisits.py celeba-dev --people 60``: the folder has a folder of photos for each person. Of each photo but the
first a visit is made, as a cheap camera sees it; the first is searched for in the end. The visits come in random order.
"""

import argparse
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np

from edgeface.config.schema import Config, EventsSettings, GallerySettings
from edgeface.enrollment.enroller import Enroller
from edgeface.errors import ImageError
from edgeface.gallery.open import open_gallery
from edgeface.operations.context import Job, OperationContext
from edgeface.operations.registry import FIND
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.recognition.strangers import Strangers
from edgeface.types import EventType, Frame
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import image_files, load_image
from edgeface.wire.commands import FindRequest
from train.evaluation.visits import play

FRAMES = 12
LIMITS = EventsSettings(max=10_000, keep_strangers=True)


class House:
    """A camera's pipeline with nobody enrolled, and the events that it keeps."""

    def __init__(self, folder: Path) -> None:
        self.config = Config(gallery=GallerySettings(str(folder / "gallery.db")), events=LIMITS)
        embedder = Embedder()
        self.gallery = open_gallery(self.config, embedder.card)
        self.pipeline = Pipeline(self.config, embedder, self.gallery)
        self.strangers = Strangers(self.gallery.events, LIMITS, embedder.card)
        self.context = OperationContext(
            self.config, embedder.card, lambda: self.gallery, lambda: Enroller(self.pipeline, self.gallery)
        )
        self.whose: dict[str, str] = {}
        self.time = 0.0

    def visit(self, person: str, photo: Path) -> tuple[str, int] | None:
        """Play a visit; return the stranger's id and the visit's number, ``None`` if it was not announced."""
        presence, random = Presence(self.config, self.pipeline.embedder.card), np.random.default_rng(len(self.whose))
        for image in play([load_image(photo)], FRAMES, random):
            self.time += 0.1
            frame = Frame(image, self.time, 1e9 + self.time)
            seen = self.pipeline.observe(image)
            for event in self.strangers.tell(presence.update(frame, seen, self.pipeline.matcher)):
                if event.event_type is EventType.UNKNOWN and event.stranger_id and event.visits:
                    self.gallery.events.keep(event, LIMITS)
                    self.whose[event.event_id] = person
                    return event.stranger_id, event.visits
        return None

    def find(self, photo: Path) -> list[tuple[str, bool]]:
        """Search for a photo; return whose each event that is found is, and whether it is sure."""
        job = Job(FIND, FindRequest(), photos=iter([("photo", load_image(photo))]))
        steps = job.steps(self.context)
        try:
            while True:
                next(steps)
        except StopIteration as end:
            return [(self.whose[one.event_id], one.sure) for one in end.value.events]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=60)
    given = parser.parse_args()
    folders = sorted(path for path in given.folder.iterdir() if path.is_dir())[: given.people]
    photos = {folder.name: image_files(folder) for folder in folders}
    order = [(person, photo) for person, several in photos.items() for photo in several[1:]]
    order = [order[index] for index in np.random.default_rng(0).permutation(len(order))]
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder))
        with closing(house.gallery):
            strangers(house, order)
            search(house, {person: several[0] for person, several in photos.items()})


def strangers(house: House, order: list[tuple[str, Path]]) -> None:
    founder: dict[str, str] = {}
    known: set[str] = set()
    later = found = wrong = silent = first = 0
    for person, photo in order:
        told = house.visit(person, photo)
        if told is None:
            silent += 1
            continue
        stranger_id, number = told
        wrong += number > 1 and founder[stranger_id] != person
        found += number > 1 and founder[stranger_id] == person
        later, first = later + (person in known), first + (person not in known)
        founder.setdefault(stranger_id, person)
        known.add(person)
    print(f"{len(order)} visits, {silent} not announced; {first} first visits and {later} later ones of {len(known)} strangers")
    print(f"later visits found: {found} of {later}; visits joined to another stranger: {wrong} of {first + later}")


def search(house: House, photos: dict[str, Path]) -> None:
    """Search for a photo of each person."""
    total, hits, searches = len(house.whose), {True: [0, 0], False: [0, 0]}, 0
    for person, photo in photos.items():
        try:
            found = house.find(photo)
        except ImageError:
            continue
        searches += 1
        for whose, sure in found:
            hits[sure][whose == person] += 1
    theirs = sum(whose in photos for whose in house.whose.values())
    print(f"{searches} searches among {total} events, of which {theirs} are theirs in all")
    for sure, name in ((True, "sure"), (False, "maybe")):
        print(f"{name}: {hits[sure][True]} events of the person, {hits[sure][False]} of others")


if __name__ == "__main__":
    main()
