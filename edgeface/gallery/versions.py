"""Decides which of two copies of a person is the later one, without a clock, and stores that in the gallery's file."""

from collections.abc import Mapping
from typing import NamedTuple

from edgeface.gallery.damage import Damage
from edgeface.gallery.database import Database
from edgeface.gallery.file_format import need

FORGETTING, LEAP = 2**20, 2**32
"""Edits as which a forgetting counts: it wins over edits made elsewhere meanwhile, and an import after it wins over it. And the
edits by which a copy may be ahead of ours, four thousand forgettings: nobody could edit a copy with the greatest counter."""


class Revision(NamedTuple):
    """A copy's place in the order of all copies of one person: the greater one is valid.

    ``counter`` is one more than that of the copy that was edited. Of copies edited at the same time, one wins by ``device``,
    and between devices of one name by ``digest``, that of the content. Forgotten people have no content, and an empty digest.
    """

    counter: int
    device: str
    digest: bytes

    def next(self, device: str, digest: bytes) -> "Revision":
        """Return the revision of an edit of this copy, made on ``device``."""
        return Revision(self.counter + (1 if digest else FORGETTING), device, digest)


NEVER = Revision(0, "", b"")


def merge(one: Mapping[str, Revision], other: Mapping[str, Revision]) -> dict[str, Revision]:
    """Return the valid revision of each person. The order of messages does not matter: merging commutes, and is idempotent."""
    return {person: max(one.get(person, NEVER), other.get(person, NEVER)) for person in one.keys() | other.keys()}


class RevisionStore:
    """People's revisions, by their shared names: all that is kept of forgotten people. Called within transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._opened: dict[str, tuple[bytes, Revision]] = {}

    def all(self, key: str) -> dict[str, Revision]:
        """Return the revisions under the shared key with this id; only those written since the last call are decrypted."""
        need(self._database, "revisions")
        self._database.look_anew("revision")
        before, self._opened = self._opened, {}
        rows = self._database.execute("SELECT rowid, name, sealed FROM revisions WHERE key = ?", (key,))
        for row, name, sealed in rows:  # a damaged revision is left out: the broker has it, or the person counts as edited
            known = before.get(name)
            if known is None or known[0] != sealed:
                revision = self._database.opened(Damage("revision", row, ""), sealed, Revision, "revision", key, name)
                known = (sealed, revision) if revision else None
            if known:
                self._opened[name] = known
        return {name: revision for name, (_, revision) in self._opened.items()}

    def put(self, key: str, name: str, revision: Revision) -> None:
        sealed = self._database.sealer.seal(revision, "revision", key, name)
        self._database.execute("INSERT OR REPLACE INTO revisions VALUES (?, ?, ?)", (name, key, sealed))
        self._opened[name] = sealed, revision
