"""Taking a backup back: the whole gallery, or one person of it."""

import base64
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeface.config.schema import Config
from edgeface.errors import GalleryError
from edgeface.gallery.backup import Backups, flush, flush_folder
from edgeface.gallery.copies import Contents, NoCopyError, check, cleanse, erased_in, open_vault, opened, people
from edgeface.gallery.database import TemplateRecord, need
from edgeface.gallery.migration import reembed
from edgeface.gallery.names import quoted
from edgeface.gallery.sqlite import connect
from edgeface.gallery.store import EXPORT_VERSION
from edgeface.vision.model_card import ModelCard, load_card


@dataclass(frozen=True, slots=True)
class Restored:
    """What was taken back, and where the gallery of before is now, if there was one."""

    copy: str
    people: int
    templates: int
    kept_aside: str | None


def choose(backups: Backups, reference: str | None) -> tuple[Path, Contents]:
    """The copy of this name, number or path, or the newest good one, and what it holds.

    Raises:
        GalleryError: there is none, or it is no good copy.
    """
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
    """Put a copy in the place of the gallery, which is kept aside as a copy first; who was forgotten since stays so.

    Raises:
        GalleryError: another process has the gallery open, there is no such copy, or it cannot be written. The gallery is then
            as it was.
    """
    backups = Backups(settings)
    place = backups.gallery
    path, contents = choose(backups, reference)
    with backups.lock(), _staged(path, place) as staged:
        after = _prepare(backups, staged, path.name, contents, model, settings.key_path)
        aside = _put_aside(backups) if place.exists() else None
        for left in ("-wal", "-shm"):  # of a damaged gallery: they must not be taken for those of the copy
            place.with_name(place.name + left).unlink(missing_ok=True)
        flush(staged)
        staged.replace(place)
        flush_folder(place.parent)
    return Restored(path.name, after.people, after.templates, aside)


def person(backups: Backups, card: ModelCard, reference: str | None, who: str) -> tuple[str, bytes]:
    """The name of the copy, and somebody in it, by name or id, as ``Gallery.import_`` takes them.

    Without a reference it is the newest good copy that has them.

    Raises:
        GalleryError: there is no such copy or person, or it is of another model.
    """
    if reference is None:
        for copy in reversed(backups.find()):
            with suppress(GalleryError):
                return person(backups, card, copy.path.name, who)
        raise GalleryError(f"{backups.folder}: nobody called {quoted(who)} is in a good backup of this model")
    path, contents = choose(backups, reference)
    if contents.model != card.digest:
        raise GalleryError(
            f"{path.name}: is of the model {contents.model[:19]}…, not of {card.digest[:19]}…: restore it whole, which makes "
            "new templates of kept faces, or enroll the person anew"
        )
    wanted = unicodedata.normalize("NFC", who.strip())
    with opened(path) as file:
        vault, _ = open_vault(file, backups.key())
        there = dict(people(file, vault))
        found = wanted if wanted in there else next((one for one in there if there[one].name == wanted), None)
        if found is None:
            raise GalleryError(f"{path.name}: nobody called {quoted(who)} is in this backup")
        parts: dict[str, list[dict[str, object]]] = {"template": [], "negative": []}
        rows = "SELECT kind, source, sealed FROM templates WHERE person_id = ? ORDER BY id"
        for kind, source, sealed in file.execute(rows, (found,)):
            record = vault.unseal(sealed, TemplateRecord, kind, found, source)
            parts[kind].append({"vector": base64.b64encode(record.vector).decode(), "quality": record.quality})
    one = {"id": found, "name": there[found].name, "enrolled": there[found].enrolled}
    document = {
        "edgeface_gallery": EXPORT_VERSION,
        "model": card.digest,
        "dimensions": card.identity,
        "people": [one | {"templates": parts["template"], "negatives": parts["negative"]}],
    }
    return path.name, msgspec.json.encode(document)


@contextmanager
def _staged(path: Path, place: Path) -> Iterator[Path]:
    """A copy of the copy, in a file beside the gallery that is gone in the end."""
    staged = place.with_name(f".{place.name}.restored")
    try:
        _remove(staged)
        with opened(path) as source, closing(connect(staged)) as target:
            source.backup(target)
        yield staged
    except sqlite3.Error as error:
        raise GalleryError(f"{staged}: {error}") from None
    except OSError as error:
        raise GalleryError(f"{error.filename or staged}: {error.strerror or error}") from None
    finally:
        _remove(staged)


def _remove(staged: Path) -> None:
    for part in ("", "-journal", "-wal", "-shm"):
        staged.with_name(staged.name + part).unlink(missing_ok=True)


def _prepare(backups: Backups, staged: Path, name: str, contents: Contents, model: Path, key_file: Path) -> Contents:
    """Erase from the staged copy who was forgotten since, and have it of this model; what it holds then."""
    erased = _erased(backups)
    cleanse(staged, erased, backups.key())
    with opened(staged) as file:
        file.execute("BEGIN")
        file.execute("DROP TABLE IF EXISTS erased")
        need(file, "erased")
        file.executemany("INSERT INTO erased VALUES (?)", [(mark,) for mark in sorted(erased)])
        file.execute("COMMIT")
    if contents.model != load_card(model).digest:
        try:
            reembed(staged, key_file, model)
        except GalleryError:
            raise GalleryError(
                f"{name}: is of the model {contents.model[:19]}…, and lacks faces to make new templates of: restore "
                "it with the version of edgeface, or the --model, that made it, or enroll anew"
            ) from None
    return check(staged, backups.key())


def _erased(backups: Backups) -> frozenset[bytes]:
    """Who was forgotten: as the gallery says, or, where it cannot be read, the newest copy that can."""
    for path in (backups.gallery, *(copy.path for copy in reversed(backups.find()))):
        with suppress(NoCopyError):
            if path.exists():
                return erased_in(path)
    return frozenset()


def _put_aside(backups: Backups) -> str | None:
    """Keep the gallery that is there as a copy, whatever state it is in; its name, or none if nobody is enrolled.

    Raises:
        GalleryError: another process has the gallery open, or there is no room.
    """
    _refuse_others(backups.gallery)
    try:
        made = backups.write()
        return made.copy.path.name if made else None
    except GalleryError:  # it is damaged: byte by byte
        return backups.write_as_it_is().path.name


def _refuse_others(place: Path) -> None:
    """Make sure that no other process has the gallery open, and that all of it is in one file.

    Raises:
        GalleryError: one has.
    """
    try:
        with closing(connect(place)) as gallery:
            gallery.execute("PRAGMA journal_mode=DELETE").fetchall()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise GalleryError(f"{place}: another process has the gallery open, such as a daemon: stop it first") from None
