"""Find the records of the gallery's file that do not open any more."""

from collections.abc import Mapping
from typing import get_args

from edgeface.gallery.damage import Damage, Kind
from edgeface.gallery.database import Database
from edgeface.gallery.encryption import SealError

_QUERIES: Mapping[str, str] = {
    "people": "SELECT rowid, 'person', id, sealed, 'person', id FROM people",
    "templates": "SELECT id, kind, person_id, sealed, kind, person_id, source FROM templates",
    "events": "SELECT rowid, 'event', '', sealed, 'event', id, ifnull(person_id, '') FROM events",
    "pictures": "SELECT rowid, 'picture', '', sealed, 'picture', event_id FROM pictures",
    "faces": "SELECT template, 'face', person_id, faces.sealed, 'face', person_id, CAST(template AS TEXT) "
    "FROM faces LEFT JOIN templates ON templates.id = template",
    "revisions": "SELECT rowid, 'revision', '', sealed, 'revision', key, name FROM revisions",
}
"""For each table the row, kind, owner and blob of every record, and what it is bound to."""


def scan(database: Database) -> list[Damage]:
    """Try every record of the file, whatever it is."""
    found = []
    for table, query in _QUERIES.items():
        for row, kind, owner, sealed, *bound in database.execute(query).fetchall() if database.has_table(table) else ():
            try:
                database.vault.decrypt(sealed, *bound)
            except SealError:
                found.append(
                    Damage(kind if kind in get_args(Kind) else "template", row, owner if isinstance(owner, str) else "")
                )
    return found
