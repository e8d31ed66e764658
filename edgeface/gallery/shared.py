"""Defines people as other devices get them."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from edgeface.gallery.contents import Contents
from edgeface.gallery.rules import Moment, Rules
from edgeface.wire.fields import ULID


class SharedTemplate(Struct, frozen=True, array_like=True, order=True):
    """A template: the unit vector as little-endian float32, and the id of the event that it came from, or an empty text."""

    vector: Annotated[bytes, Meta(max_length=8192)]
    quality: Annotated[float, Meta(ge=0, le=1)]
    source: Annotated[str, Meta(pattern=rf"^({ULID})?\Z")]


class SharedPerson(Struct, frozen=True, array_like=True):
    """A person with all that is kept of them; templates in the order of their bytes.

    Without ``rules``, which an earlier version does not send, the person keeps those that they have.
    """

    name: str
    enrolled: Moment
    templates: Annotated[tuple[SharedTemplate, ...], Meta(min_length=1, max_length=10_000)]
    negatives: Annotated[tuple[SharedTemplate, ...], Meta(max_length=10_000)]
    rules: Rules | None = None


class SharedPeople(Mapping[str, SharedPerson]):
    """Everybody by id, without people of whom something is damaged; each is made when asked for, within a transaction."""

    def __init__(self, contents: Contents, rules: Mapping[str, Rules]) -> None:
        self._rules = rules
        self._contents, everybody = contents, contents.everybody()
        self._everybody = {person_id: held for person_id, held in everybody.items() if person_id not in contents.broken}

    def __getitem__(self, person_id: str) -> SharedPerson:
        held = self._everybody[person_id]
        templates, negatives = (
            tuple(sorted(SharedTemplate(record.vector, record.quality, source) for _, record, source in faces))
            for faces in self._contents.faces(held)
        )
        return SharedPerson(held.person.name, held.person.enrolled, templates, negatives, self._rules.get(person_id))

    def __contains__(self, person_id: object) -> bool:
        return person_id in self._everybody

    def __iter__(self) -> Iterator[str]:
        return iter(self._everybody)

    def __len__(self) -> int:
        return len(self._everybody)

    def name(self, person_id: str) -> str:
        return self._everybody[person_id].person.name

    def stamp(self, person_id: str) -> bytes:
        """Return bytes that change with whatever is kept of a person."""
        return self._everybody[person_id].sealed
