"""Which of two copies of a person is the later one, without a clock; and where the gallery's file keeps that."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from edgeface.gallery.database import Database, need

FORGETTING, LEAP = 2**20, 2**32
"""Edits as which a forgetting counts: it wins over what was edited elsewhere meanwhile, and an import after it over it. And
edits by which a copy may be ahead of ours: four thousand forgettings. One that had the greatest counter there is could never be
edited again, by anybody."""


class Revision(NamedTuple):
    """A copy's place in the order of all copies of one person: the greater one is valid.

    ``counter`` is one more than that of the copy that was edited; of copies edited at the same time on several devices, one
    wins by ``device``, and ``digest``, that of the content, tells apart what two devices of one name did. Forgotten people have
    no content, and an empty digest.
    """

    counter: int
    device: str
    digest: bytes

    def next(self, device: str, digest: bytes) -> "Revision":
        """That of an edit of this copy, made on a device."""
        return Revision(self.counter + (1 if digest else FORGETTING), device, digest)

    def leaps(self, known: "Revision") -> bool:
        """Whether this is too far ahead of what is known to be honest."""
        return self.counter - known.counter > LEAP


NEVER = Revision(0, "", b"")


def merge(one: Mapping[str, Revision], other: Mapping[str, Revision]) -> dict[str, Revision]:
    """The valid revision of each person: commutative, associative and idempotent, so no order of messages matters."""
    return {person: max(one.get(person, NEVER), other.get(person, NEVER)) for person in one.keys() | other.keys()}


class _Record(Struct, frozen=True, array_like=True):
    counter: int
    device: str
    digest: bytes


class RevisionStore:
    """The revisions in a gallery's file, by the name under which a person is shared: nothing else stays of the forgotten.

    Its methods are called within a transaction of the caller.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._opened: dict[str, tuple[bytes, Revision]] = {}

    def all(self, key: str) -> dict[str, Revision]:
        """Those under the shared key with this id; only what was written since the last time is decrypted."""
        need(self._database, "revisions")
        self._database.look_anew("revision")
        before, self._opened = self._opened, {}
        rows = self._database.execute("SELECT rowid, name, sealed FROM revisions WHERE key = ?", (key,))
        for row, name, sealed in rows:  # a damaged one is as none: the broker has it, or the person counts as edited
            known = before.get(name)
            if known is None or known[0] != sealed:
                record = self._database.opened("revision", row, "", sealed, _Record, "revision", key, name)
                known = (sealed, Revision(record.counter, record.device, record.digest)) if record else None
            if known:
                self._opened[name] = known
        return {name: revision for name, (_, revision) in self._opened.items()}

    def put(self, key: str, name: str, revision: Revision) -> None:
        """Keep a person's revision in place of the one before."""
        sealed = self._database.vault.seal(_Record(*revision), "revision", key, name)
        self._database.execute("INSERT OR REPLACE INTO revisions VALUES (?, ?, ?)", (name, key, sealed))
        self._opened[name] = sealed, revision
