"""Restores a backup, the whole gallery or one person; what cannot be done changes nothing, and raises ``GalleryError``."""

import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeface.config.schema import Config
from edgeface.errors import GalleryError
from edgeface.gallery import copies, export
from edgeface.gallery.backup import Backups, flush
from edgeface.gallery.copies import CopyContents, NoCopyError, check, cleanse, erased_in, opened, remember_erased
from edgeface.gallery.file_format import model_of
from edgeface.gallery.migration import reembed
from edgeface.gallery.names import quoted
from edgeface.gallery.sqlite import connect, is_open_elsewhere, remove
from edgeface.vision.model_card import ModelCard, load_card


@dataclass(frozen=True, slots=True)
class Restored:
    """The copy that was restored; ``kept_aside`` is the copy of the gallery before, if there was one."""

    copy: str
    people: int
    templates: int
    kept_aside: str | None


def choose(backups: Backups, reference: str | None) -> tuple[Path, CopyContents]:
    """Return the copy of this name, number or path, or the newest good one, with its contents."""
    if reference is None:
        for copy in reversed(backups.find()):
            with suppress(NoCopyError):
                return copy.path, check(copy.path, backups.key())
        raise GalleryError(f"{backups.folder}: there is no good backup; see edgeface gallery backups")
    path = next((copy.path for copy in backups.find() if reference in (copy.path.name, str(copy.number))), Path(reference))
    if not path.is_file():
        raise GalleryError(f"there is no backup {quoted(reference)}; see edgeface gallery backups")
    try:
        return path, check(path, backups.key())
    except NoCopyError as error:
        raise GalleryError(f"{path}: {error}; edgeface gallery backups has others") from None


def whole(settings: Config, model: Path, reference: str | None) -> Restored:
    """Replace the gallery by a copy, and keep the gallery before as another; people forgotten since then stay forgotten."""
    backups = Backups(settings)
    place = backups.gallery
    path, _ = choose(backups, reference)
    with backups.lock(), _staged(path, place) as staged:
        after = _prepare(backups, staged, path.name, model, settings)
        aside = _put_aside(backups) if place.exists() else None
        for left in ("-wal", "-shm"):  # SQLite must not take the damaged gallery's for the copy's
            place.with_name(place.name + left).unlink(missing_ok=True)
        flush(staged)
        staged.replace(place)
        flush(place.parent)
    return Restored(path.name, after.people, after.templates, aside)


def person(backups: Backups, card: ModelCard, reference: str | None, who: str) -> tuple[str, bytes]:
    """Return the name of a copy, by default the newest good one with the person ``who``, and that person as an export."""
    if reference is None:
        for copy in reversed(backups.find()):
            with suppress(GalleryError):
                return person(backups, card, copy.path.name, who)
        raise GalleryError(f"{backups.folder}: nobody called {quoted(who)} is in a good backup of this model")
    path, contents = choose(backups, reference)
    if contents.model != card.digest:
        cure = "restore it whole, which makes new templates of kept faces, or enroll the person anew"
        raise GalleryError(f"{path.name}: is of the model {contents.model[:19]}…, not of {card.digest[:19]}…: {cure}")
    wanted = unicodedata.normalize("NFC", who.strip())
    with opened(path) as file:
        sealer, _ = copies.sealer_of(file, backups.key())
        there = dict(copies.people(file, sealer))
        found = wanted if wanted in there else next((one for one in there if there[one].name == wanted), None)
        if found is None:
            raise GalleryError(f"{path.name}: nobody called {quoted(who)} is in this backup")
        parts: dict[str, list[export.ExportedTemplate]] = {"template": [], "negative": []}
        for kind, record in copies.templates(file, sealer, found):
            parts[kind].append(export.ExportedTemplate(record.vector, record.quality))
        rules = copies.rules(file, sealer, found)
    name, enrolled = there[found].name, there[found].enrolled
    one = export.ExportedPerson(found, name, enrolled, parts["template"], parts["negative"], rules)
    return path.name, export.encode([one], card.digest, card.identity)


@contextmanager
def _staged(path: Path, place: Path) -> Iterator[Path]:
    """Yield a copy of the copy, in a file beside the gallery that is removed in the end."""
    staged = place.with_name(f".{place.name}.restored")
    try:
        remove(staged)
        with opened(path) as source, closing(connect(staged)) as target:
            source.backup(target)
        yield staged
    except sqlite3.Error as error:
        raise GalleryError(f"{staged}: {error}") from None
    except OSError as error:
        raise GalleryError(f"{error.filename or staged}: {error.strerror or error}") from None
    finally:
        remove(staged)


def _prepare(backups: Backups, staged: Path, name: str, model: Path, settings: Config) -> CopyContents:
    """Erase people forgotten since then from the staged copy, make it one of this model, and return its contents."""
    erased = _erased(backups)
    cleanse(staged, erased, backups.key())
    remember_erased(staged, erased)
    before = str(model_of(staged))
    if before != load_card(model).digest:
        try:
            reembed(staged, settings.key_path, model)
        except GalleryError:
            cure = "restore it with the version of edgeface, or the --model, that made it, or enroll anew"
            lack = "and lacks faces to make new templates of"
            raise GalleryError(f"{name}: is of the model {before[:19]}…, {lack}: {cure}") from None
    return check(staged, backups.key())


def _erased(backups: Backups) -> frozenset[bytes]:
    """Return the marks of forgotten people from the gallery or, if it cannot be read, from the newest copy that can."""
    for path in (backups.gallery, *(copy.path for copy in reversed(backups.find()))):
        with suppress(NoCopyError):
            if path.exists():
                return erased_in(path)
    return frozenset()


def _put_aside(backups: Backups) -> str | None:
    """Keep the gallery as a copy, in whatever state it is; return the copy's name, or ``None`` if nobody is enrolled."""
    if is_open_elsewhere(backups.gallery):
        raise GalleryError(f"{backups.gallery}: another process has the gallery open, such as a daemon: stop it first")
    try:
        made = backups.write()
        return made.copy.path.name if made else None
    except GalleryError:  # it is damaged: byte by byte
        return backups.write_as_it_is().path.name
