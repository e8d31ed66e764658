"""Opens a gallery, and reads people and templates."""

import unicodedata
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edgeface.errors import GalleryError
from edgeface.gallery.bin import Bin
from edgeface.gallery.contents import Contents, Templates
from edgeface.gallery.damage import Damage, summary
from edgeface.gallery.database import Database
from edgeface.gallery.event_store import EventStore
from edgeface.gallery.names import clean_name, other_case, quoted
from edgeface.gallery.rule_store import RuleStore
from edgeface.gallery.rules import Rules
from edgeface.gallery.shared import SharedPeople, SharedPerson
from edgeface.gallery.sqlite import FULL, READ_ONLY, is_read_only, lacks_room
from edgeface.gallery.versions import RevisionStore
from edgeface.health import GalleryHealth
from edgeface.types import Person


class GalleryReader:
    """The gallery in the file ``path``, made with its folder if missing, for templates of ``model`` alone.

    Records are encrypted with the key in ``key_file`` (by default gallery.key beside it), which is made together with a new
    gallery, or with systemd's credential ``gallery-key``. With ``keep_faces`` the chips of enrolled people are kept, too, for
    ``reembed``. A damaged record is left out, and ``damage`` returns it. A ``serving`` gallery is open for long: if it cannot
    be opened now, it is opened as soon as it can be, and every method raises until then. Opening raises ``GalleryError`` as
    ``Database`` does, and ``ConfigError`` if there can never be a file at this path, or at that of the key.
    """

    def __init__(
        self,
        path: Path,
        model: str,
        dimensions: int = 128,
        key_file: Path | None = None,
        *,
        keep_faces: bool = False,
        serving: bool = False,
    ) -> None:
        self._path, self._model, self._dimensions, self._keep_faces = path, model, dimensions, keep_faces
        self.serving = serving
        self._own_changes = 0
        self._database = Database(path, model, key_file or path.parent / "gallery.key", serving=serving)
        self._contents = Contents(self._database, dimensions)
        self.events = EventStore(self._database)
        self.revisions = RevisionStore(self._database)
        self._rules = RuleStore(self._database)
        self.bin = Bin(self._database)

    def close(self) -> None:
        self._database.close()

    @property
    def version(self) -> tuple[int, int]:
        """Two numbers that change whenever the gallery does, by this process or another."""
        return self._database.foreign_changes, self._own_changes

    @property
    def health(self) -> GalleryHealth:
        """The state of the gallery, as far as it was read."""
        with suppress(OSError):
            if lacks_room(self._path):
                return GalleryHealth("full", FULL)
            if is_read_only(self._path):
                return GalleryHealth("read_only", READ_ONLY)
        damaged = self._database.damaged
        return GalleryHealth("damaged", summary(damaged)) if damaged else GalleryHealth()

    def let_go(self, error: GalleryError) -> None:
        """Close the file because of an error, and open it anew later."""
        self._database.let_go(error)

    def damage(self) -> list[Damage]:
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._damage()

    def _damage(self) -> list[Damage]:
        self._database.people()  # notes people who have templates and no record
        found = set(self._database.scan())
        owners = {damage.owner for damage in found if damage.kind == "template"}
        nameless = {one for one in self._database.damaged if one.kind == "person" and (one.row or one.owner not in owners)}
        return sorted(found | nameless)

    def people(self) -> list[Person]:
        """Return everybody who has a template, a damaged one too, by name."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._people()

    def _people(self) -> list[Person]:
        counts, known = self._database.counts(), self._contents.people().items()
        people = [held.person if held.read else replace(held.person, templates=counts[i]) for i, held in known if i in counts]
        return sorted(people, key=lambda person: (person.name, person.id))

    def templates(self) -> Templates:
        """Return every template, read in one snapshot; the same object while nothing changes."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._contents.templates()

    def catch_up(self, most: int) -> bool:
        """Read the changed templates of ``most`` people at most; return false if more have changed."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._contents.read(most)

    def rules(self) -> Mapping[str, Rules]:
        """Return the rules of everybody who has some, by id; the same object while nothing changes."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._rules.all()

    def templates_before(self, event_id: str, person_id: str) -> Templates:
        """Return every template but those that ``learn`` would take back, given a verdict on this event about this person."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._contents.templates_without(event_id, person_id)

    def find(self, reference: str) -> Person:
        """Return the person with this id or name. Raise ``GalleryError`` if there is none."""
        wanted = unicodedata.normalize("NFC", reference.strip())
        with self._database.errors(), self._database.transaction("DEFERRED"):
            held = self._contents.people()
            named = (person_id for person_id, one in held.items() if one.person.name == wanted)
            person_id = wanted if wanted in held else min(named, default="")
            if number := self._database.count(person_id):
                return replace(held[person_id].person, templates=number)
        meant = other_case(wanted, (one.person.name for one in held.values()))
        cure = f"did you mean {quoted(meant)}?" if meant else "see the list of people"
        raise GalleryError(f"nobody called {quoted(reference)} is enrolled; {cure}")

    def check_name(self, name: str) -> str:
        """Return a name as kept. Raise ``GalleryError`` if it is not usable, or differs from another one by case alone."""
        name = clean_name(name)
        with self._database.errors(), self._database.transaction("DEFERRED"):
            self._check_case(name, {held.person.name: person_id for person_id, held in self._contents.people().items()})
        return name

    @staticmethod
    def _check_case(name: str, names: Mapping[str, str], person_id: str | None = None) -> None:
        """See that a name, new to the person of ``person_id``, differs from all ``names`` by more than the case of letters."""
        if name not in names and (other := other_case(name, (one for one in names if names[one] != person_id))):
            raise GalleryError(
                f"{quoted(other)} is enrolled already; {quoted(name)} differs from it only in upper and lower case"
            )

    def faces(self) -> int:
        """Return how many templates' faces are kept."""
        with self._database.errors():
            return self._database.count_faces()

    def shared(self, people: Collection[str] | None = None) -> dict[str, SharedPerson]:
        """Return everybody by id, or those of these people who are there, as other devices get them."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            there = SharedPeople(self._contents, self._rules.all())
            return {person_id: there[person_id] for person_id in (there if people is None else people) if person_id in there}

    @property
    def broken(self) -> set[str]:
        """The ids of people of whom something was damaged when they were read last; of everybody, if its owner is unknown."""
        return self._contents.broken

    def check(self, person: SharedPerson) -> None:
        """See that a person from another device could be one of ours. Raise ``GalleryError`` if not."""
        if clean_name(person.name) != person.name:
            raise GalleryError("a name that is not as it is kept")
        self._contents.unit_vectors([template.vector for template in (*person.templates, *person.negatives)])

    def wipe(self, *, whatever: bool = False) -> bool:
        """Empty the write-ahead log, in which erased records linger; return false while another process reads it.

        Do nothing if this process has erased nothing; with ``whatever``, empty the log also of what others have erased.
        """
        with self._database.errors():
            return not (whatever or self._database.unwiped) or self._database.wipe_log()
