"""The key of a gallery, and what is kept of a face sealed under it, to whom and to what it belongs."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from edgeface.errors import GalleryError
from edgeface.gallery import aead
from edgeface.gallery.aead import KEY_BYTES
from edgeface.gallery.sqlite import refuse_for_good
from edgeface.platform.files import clear_away
from edgeface.platform.secret_files import SecretFile, credential

CREDENTIAL = "gallery-key"
Record = TypeVar("Record", bound=Struct)


class SealError(ValueError):
    """A record is damaged, was sealed with another key, or belongs elsewhere."""


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """256 bits, and where they were read, for messages."""

    secret: bytes
    origin: str


def find_key(key_file: Path, *, create: bool) -> Key | None:
    """The credential ``gallery-key`` where systemd gave one, else ``key_file``, made of 32 random bytes if ``create``.

    Returns ``None`` if there is no key and none was to be made.

    Raises:
        GalleryError: it cannot be read or made, is open to others, or is no key.
        ConfigError: its path can never be one.
    """
    given = credential(CREDENTIAL)
    if not given:
        refuse_for_good(key_file, "gallery.key_file", longest=os.pathconf("/", "PC_PATH_MAX"))
    file = SecretFile(given or key_file, "the gallery's key", GalleryError)
    if create and not given:
        file.make(secrets.token_bytes(KEY_BYTES))
    secret = file.find()
    if secret is None:
        return None
    if not given:
        clear_away(key_file)
    if len(secret) != KEY_BYTES:
        raise file.refusal(f"not the key of a gallery: {len(secret)} bytes, not {KEY_BYTES}")
    return Key(secret, str(file.path))


class Vault:
    """Seals and opens records of one model under one key.

    The associated data are the format, the model's digest and ``bound``: a record put in the place of another does not open.
    """

    def __init__(self, key: Key, model: str) -> None:
        self._secret, self._model = key.secret, model

    def seal(self, record: Struct, *bound: str) -> bytes:
        """Encrypt a record, bound to what it is and whose."""
        return aead.seal(self._secret, msgspec.msgpack.encode(record), self._associated(bound))

    def decrypt(self, sealed: bytes | None, *bound: str) -> bytes:
        """Decrypt what ``seal`` gave for the same ``bound``, and leave it encoded.

        Raises:
            SealError: as ``unseal``.
        """
        try:
            return aead.unseal(self._secret, sealed or b"", self._associated(bound))
        except (ValueError, TypeError):
            raise SealError("a record does not belong where it stands") from None

    def unseal(self, sealed: bytes, kind: type[Record], *bound: str) -> Record:
        """Decrypt what ``seal`` gave for the same ``bound``.

        Raises:
            SealError: the key is another, or the record is damaged, or belongs elsewhere.
        """
        try:
            return msgspec.msgpack.decode(self.decrypt(sealed, *bound), type=kind)
        except msgspec.MsgspecError:
            raise SealError("a record does not belong where it stands") from None

    def _associated(self, bound: tuple[str, ...]) -> bytes:
        return msgspec.json.encode(["edgeface", 2, self._model, *bound])
