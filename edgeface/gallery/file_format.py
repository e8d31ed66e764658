"""Creates the tables of the gallery's file, and checks to which model and key a file belongs."""

import logging
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from edgeface.errors import GalleryError
from edgeface.gallery.database_file import DatabaseFile
from edgeface.gallery.encryption import Sealer
from edgeface.gallery.sqlite import connect_to_read, refuse_for_good

log = logging.getLogger(__name__)
VERSION = 2
PLAIN = 1  # the first format, which kept names and vectors in the clear
APPLICATION = 0x45464731  # "EFG1": tells our files from other SQLite files
_SQL = Path(__file__).with_name("schema") / f"v{VERSION}.sql"
SCHEMA = {name: make for make, name in re.findall(r"^(CREATE \w+ (?:IF NOT EXISTS )?(\w+)[^;]+)", _SQL.read_text(), re.M)}
"""Each table and index, and the statement that makes it; with IF NOT EXISTS, only when it is first needed."""
STRANGE = """
SELECT type, name FROM sqlite_master
WHERE type IN ('trigger', 'view') OR type = 'index' AND sql IS NOT NULL AND name != 'templates_of_person'
"""
"""Finds what no version of edgeface makes, and what could keep records that are to be erased."""
SEALED: Mapping[str, str] = {
    "people": "SELECT rowid, 'person', id, sealed, 'person', id FROM people",
    "templates": "SELECT id, kind, person_id, sealed, kind, person_id, source FROM templates",
    "events": "SELECT rowid, 'event', '', sealed, 'event', id, ifnull(person_id, '') FROM events",
    "pictures": "SELECT rowid, 'picture', '', sealed, 'picture', event_id FROM pictures",
    "faces": "SELECT template, 'face', person_id, faces.sealed, 'face', person_id, CAST(template AS TEXT) "
    "FROM faces LEFT JOIN templates ON templates.id = template",
    "rules": "SELECT rowid, 'rule', person_id, sealed, 'rule', person_id FROM rules",
    "bin": "SELECT rowid, 'change', '', sealed, 'change', id FROM bin",
    "revisions": "SELECT rowid, 'revision', '', sealed, 'revision', key, name FROM revisions",
}
"""For each table the row, kind, owner and sealed bytes of every record, and to what it is bound."""


def need(file: DatabaseFile | sqlite3.Connection, *tables: str) -> None:
    """Make tables that are made only when they are first needed, unless they are there."""
    for table in tables:
        file.execute(SCHEMA[table])


def version_of(file: DatabaseFile) -> int:
    """Return the format of a file; 0 if it is empty yet. Raise ``GalleryError`` if it is no gallery, or of a later version."""
    if not file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return 0
    if file.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise GalleryError(f"{file.path}: a database, but not an edgeface gallery")
    version = max(1, int(file.execute("PRAGMA user_version").fetchone()[0]))
    if version > VERSION:
        raise GalleryError(f"{file.path}: written by another version of edgeface (format {version}, this one reads {VERSION})")
    return version


def create(file: DatabaseFile, sealer: Sealer, model: str) -> None:
    for statement in SCHEMA.values():
        if "IF NOT EXISTS" not in statement:
            file.execute(statement)
    describe(file, sealer, model)
    file.execute(f"PRAGMA application_id={APPLICATION}")
    file.execute(f"PRAGMA user_version={VERSION}")


def check_model(file: DatabaseFile, model: str) -> None:
    """See that a file says that it belongs to a model. Raise ``GalleryError`` if it does not."""
    row = file.execute("SELECT model FROM meta").fetchone()
    if row is None:
        raise GalleryError(f"{file.path}: not a gallery, or damaged (it does not say of which model it is)")
    if row[0] != model:
        raise GalleryError(
            f"{file.path}: is of the model {str(row[0])[:19]}…, not of {model[:19]}…; edgeface gallery reembed takes "
            "over whose faces are kept, or enroll anew into another gallery.path"
        )


def prove(file: DatabaseFile, sealer: Sealer, model: str) -> None:
    """See that a file belongs to a model and key.

    The file's own description may be damaged. Any record that opens proves as much, and the description is written anew. Raise
    ``GalleryError`` if nothing in it opens.
    """
    said, proof = file.execute("SELECT model, proof FROM meta").fetchone() or (model, None)
    queries = SEALED["people"], SEALED["templates"]
    if sealer.opens(proof, "proof"):
        if said == model:
            return
    elif not any(sealer.opens(sealed, *bound) for query in queries for _, _, _, sealed, *bound in file.execute(query)):
        check_model(file, model)
        cure = "put its own key back, or enroll anew into another gallery.path"
        raise GalleryError(f"{file.path}: not encrypted with the key in {sealer.origin}; {cure}")
    log.warning("%s: its own description was damaged, and is written anew", file.path)
    with suppress(sqlite3.OperationalError), file.transaction():  # else at the next start: it may be read-only
        describe(file, sealer, model)


def describe(file: DatabaseFile, sealer: Sealer, model: str) -> None:
    """Write that a file belongs to a model and key, in place of what it said before."""
    file.execute("DELETE FROM meta")
    file.execute("INSERT INTO meta VALUES (?, ?)", (model, sealer.seal([], "proof")))  # no content: only the right key opens it


def model_of(path: Path) -> str | None:
    """Return the digest of a file's model; ``None`` if it cannot tell. Raise ``ConfigError`` if there can never be a file."""
    refuse_for_good(path, "gallery.path")
    with suppress(OSError, ValueError, sqlite3.Error):
        if path.exists():
            with closing(connect_to_read(path)) as connection:
                return str(connection.execute("SELECT model FROM meta").fetchone()[0])
    return None
