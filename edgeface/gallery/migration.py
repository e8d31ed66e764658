"""A gallery of another model -> the same people for this one: templates are made anew of the faces that were kept."""

import logging
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeface.errors import GalleryError
from edgeface.gallery.database import Database, TemplateRecord, model_of
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import decode_image
from edgeface.vision.model_card import load_card

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reembedded:
    """How many people were taken over with how many templates; templates whose faces were not kept; who was lost with them."""

    people: int
    templates: int
    lost: int
    dropped: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = f"people taken over: {self.people}, with templates made anew of their faces: {self.templates}"
        if self.lost:
            told += f"; gone, for want of a face: {self.lost}"
        return told + (f"; to be enrolled again: {', '.join(self.dropped)}" if self.dropped else "")


def reembed(
    path: Path,
    key_file: Path,
    model: Path,
    *,
    drop: bool = False,
    names: bool = True,
    alive: Callable[[], None] = lambda: None,
) -> Reembedded | None:
    """Make the gallery in the file ``path`` one of the folder ``model``; ``None`` if it is, or if there is no gallery.

    All of it or nothing, and not while somebody else has the gallery open. Names, ids and faces stay; templates come from kept
    faces alone, so that what people confirmed or rejected goes, and so do events, which only the other model could read.
    ``alive`` is called at every face; without ``names`` an error tells how many people would be lost, and not who.

    Raises:
        GalleryError: no face is kept of somebody who is not to be forgotten (``drop``), somebody else has the gallery open, or
            it cannot be written.
    """
    digest, before = load_card(model).digest, model_of(path)
    if before is None or before == digest:
        return None
    with suppress(GalleryError), closing(Database(path, digest, key_file)):  # what says of which model it is, is damaged
        return None
    embedder = Embedder(model)
    with closing(Database(path, before, key_file, alone=True)) as database, database.errors():
        with database.change():
            rows = database.execute("SELECT id, kind, person_id FROM templates").fetchall()  # damaged ones, too
            owners = {row: owner for row, kind, owner in rows if kind != "negative"}
            remade = {}
            for row, png in database.faces():
                vector = embedder.template(decode_image(png, f"{path}: a kept face")).vector
                remade[row.row] = TemplateRecord(vector.astype("<f4").tobytes(), row.record.quality)
                alive()
            taken = {owners[row] for row in remade}
            missing, people = set(owners.values()) - taken, database.people()
            dropped = sorted(people[person_id].name if person_id in people else str(person_id) for person_id in missing)
            if missing and not drop:
                who = ", ".join(dropped) if names else f"{len(dropped)} of its people, whom edgeface doctor names"
                raise GalleryError(
                    f"{path}: is of the model {before[:19]}…, not of {digest[:19]}…, and no faces are kept of "
                    f"{who}: enroll them anew, with gallery.keep_faces, while the other version runs, or go on "
                    "without them by edgeface gallery reembed --drop"
                )
            database.adopt(digest, remade)
            for person_id in missing:
                database.erase_person(person_id)
        database.wipe_log()
    done = Reembedded(len(taken), len(remade), len(rows) - len(remade), tuple(dropped))
    log.warning("%s: %d templates made anew for the model %s…, %d are gone", path, done.templates, digest[:19], done.lost)
    return done
