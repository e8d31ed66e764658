"""Name the records of the gallery's file that do not open any more, and the command that cures each."""

from collections import Counter
from collections.abc import Collection, Mapping
from hashlib import blake2s
from typing import Literal, NamedTuple

from edgeface.gallery.names import argument

Kind = Literal["person", "template", "negative", "event", "picture", "face", "rule", "change", "revision"]


class Damage(NamedTuple):
    """The place of a record that does not open; ``owner`` is the id of the person to whom it belongs, or empty."""

    kind: Kind
    row: int
    owner: str

    @property
    def id(self) -> str:
        """Eight digits that name the record to ``edgeface gallery drop``."""
        return blake2s(f"{self.table}/{self.row}".encode(), digest_size=4).hexdigest()

    @property
    def table(self) -> str:
        return KINDS[self.kind][0]


KINDS: Mapping[Kind, tuple[str, str]] = {
    "person": ("people", "the name of {name}"),
    "template": ("templates", "a template of {name}"),
    "negative": ("templates", "a face that was taken for {name}"),
    "event": ("events", "an event"),
    "picture": ("pictures", "the picture of an event"),
    "face": ("faces", "a kept face of {name}"),
    "rule": ("rules", "the rules of {name}"),
    "change": ("bin", "a change that could be undone"),
    "revision": ("revisions", "the revision of somebody in the shared gallery"),
}
"""The table of each kind of record, and the words for one."""


def summary(damaged: Collection[Damage]) -> str:
    """Say in one line, without names, how much is damaged and what helps."""
    kinds = Counter(damage.kind for damage in damaged)
    told = ", ".join(f"{count} {'name' if kind == 'person' else kind}{'s' * (count > 1)}" for kind, count in kinds.items())
    return f"damaged: {told}; edgeface gallery check lists what cures each, edgeface gallery restore brings a copy back"


def cure(damage: Damage, known: bool, name: str, sound: int) -> str:
    """Return the command that mends a record; ``sound`` is how many whole templates its person, if ``known``, has."""
    if damage.kind == "person" and known:
        return f"edgeface people rename {damage.owner} NAME"
    drop = f"edgeface gallery drop {damage.id}"
    lonely = damage.kind == "template" and known and not sound and name != damage.owner
    return f"edgeface enroll {argument(name)} && {drop}" if lonely else drop
