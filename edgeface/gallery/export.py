"""Writes and reads the JSON document of an export."""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.errors import GalleryError
from edgeface.gallery.rules import Moment, Rules

MAX_IMPORT_BYTES = 256 * 2**20
VERSION = 1


class ExportedTemplate(Struct, frozen=True):
    """A template; the unit vector as little-endian float32, in base64."""

    vector: Annotated[bytes, Meta(max_length=6144)]
    quality: Annotated[float, Meta(ge=0, le=1)]


class ExportedPerson(Struct, frozen=True):
    id: Annotated[str, Meta(pattern=r"^p_[0-9a-f]{16}\Z")]
    name: str
    enrolled: Moment
    templates: Annotated[list[ExportedTemplate], Meta(min_length=1, max_length=10_000)]
    negatives: Annotated[list[ExportedTemplate], Meta(max_length=10_000)] = []
    rules: Rules | UnsetType = UNSET


class _Header(Struct, frozen=True):
    edgeface_gallery: int | None = None


class _Export(Struct, frozen=True):
    edgeface_gallery: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    model: str
    dimensions: Annotated[int, Meta(ge=8, le=2048)]
    people: list[ExportedPerson]


def encode(people: Iterable[ExportedPerson], model: str, dimensions: int) -> bytes:
    """Return the document of these people, by name; ``model`` is the digest of the network that made the templates."""
    ordered = sorted(people, key=lambda person: (person.name, person.id))
    return msgspec.json.format(msgspec.json.encode(_Export(VERSION, model, dimensions, ordered)), indent=2)


def decode(data: bytes, model: str) -> list[ExportedPerson]:
    """Return the people of a document. Raise ``GalleryError`` if it is no such document, or is of another model."""
    if len(data) > MAX_IMPORT_BYTES:
        raise GalleryError(f"the export is over {MAX_IMPORT_BYTES // 2**20} MB")
    try:
        version = msgspec.json.decode(data, type=_Header).edgeface_gallery
        if version is not None and version != VERSION:
            raise GalleryError(f"written by another version of edgeface (export {version}, this one reads {VERSION})")
        document = msgspec.json.decode(data, type=_Export)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise GalleryError(f"not an export of a gallery: {error}") from None
    if document.model != model:
        raise GalleryError(f"the export is of the model {document.model[:19]!r}, this gallery of {model[:19]!r}")
    return document.people
