"""Defines the records that the gallery's file holds sealed."""

from hashlib import blake2s
from typing import Literal, NamedTuple

from msgspec import Struct

TemplateKind = Literal["template", "negative"]
TEMPLATE_KINDS: tuple[TemplateKind, ...] = ("template", "negative")


class PersonRecord(Struct, frozen=True, array_like=True):
    """A person; ``enrolled`` is seconds since the Unix epoch."""

    name: str
    enrolled: float


class TemplateRecord(Struct, frozen=True, array_like=True):
    """A template: the unit vector as little-endian float32, and the quality, 0 to 1."""

    vector: bytes
    quality: float


class ImageRecord(Struct, frozen=True, array_like=True):
    """A kept face, which is an aligned chip as a PNG, or the picture of an event, a JPEG."""

    data: bytes


class TemplateRow(NamedTuple):
    """A template and its place; ``source`` is the id of the event that it came from, or empty."""

    row: int
    owner: str
    source: str
    record: TemplateRecord


def erasure_mark(person_id: str) -> bytes:
    """Return the digest of a random id: all that the file keeps of a forgotten person."""
    return blake2s(person_id.encode(), digest_size=16).digest()
