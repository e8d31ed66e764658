"""Takes over a gallery of another model: makes templates for this model from the kept faces."""

import logging
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeface.errors import GalleryError
from edgeface.gallery.database import Database
from edgeface.gallery.file_format import model_of
from edgeface.gallery.records import TemplateRecord
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import decode_image
from edgeface.vision.model_card import load_card

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reembedded:
    """How many people and templates were taken over, how many templates were lost for want of a face, and who with them."""

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
    path: Path, key_file: Path, model: Path, *, drop: bool = False, names: bool = True, alive: Callable[[], None] = lambda: None
) -> Reembedded | None:
    """Make the gallery in the file ``path`` one of the model in the folder ``model``; ``None`` if there is nothing to do.

    All of it or nothing, and not while another process has the gallery open. Names, ids and faces stay. Templates come from
    kept faces alone: confirmed and rejected views are lost, and so are events, which only the other model could read. ``alive``
    is called at every face; without ``names`` an error tells how many people would be lost, and not who. Raise ``GalleryError``
    if no face is kept of somebody, without ``drop``, if another process has the gallery open, or if it cannot be written.
    """
    digest, before = load_card(model).digest, model_of(path)
    if before is None or before == digest:
        return None
    with suppress(GalleryError), closing(Database(path, digest, key_file)):  # only the name of its model is damaged
        return None
    embedder = Embedder(model)
    with closing(Database(path, before, key_file, alone=True)) as database, database.errors():
        with database.change():
            owners = database.owners()
            remade: dict[int, TemplateRecord] = {}
            for row, png in database.faces():
                vector = embedder.template(decode_image(png, f"{path}: a kept face")).vector
                remade[row.row] = TemplateRecord(vector.astype("<f4").tobytes(), row.record.quality)
                alive()
            missing, people = set(owners.values()) - {owners[row] for row in remade}, database.people()
            dropped = sorted(people[person_id].name if person_id in people else str(person_id) for person_id in missing)
            if missing and not drop:
                who = ", ".join(dropped) if names else f"{len(dropped)} of its people, whom edgeface doctor names"
                raise GalleryError(
                    f"{path}: is of the model {before[:19]}…, not of {digest[:19]}…, and no faces are kept of "
                    f"{who}: enroll them anew, with gallery.keep_faces, while the other version runs, or go on "
                    "without them by edgeface gallery reembed --drop"
                )
            lost = database.row_sums(by_index=False)[0] - len(remade)
            database.adopt(digest, remade)
            for person_id in missing:
                database.erase_person(person_id)
        database.wipe_log()
    done = Reembedded(len(set(owners.values())) - len(missing), len(remade), lost, tuple(dropped))
    log.warning("%s: %d templates made anew for the model %s…, %d are gone", path, done.templates, digest[:19], done.lost)
    return done
