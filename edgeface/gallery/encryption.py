"""Finds the gallery's key, and seals records under it, each bound to its owner and kind."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from edgeface.errors import GalleryError
from edgeface.gallery import aead
from edgeface.gallery.aead import KEY_BYTES
from edgeface.gallery.sqlite import refuse_for_good
from edgeface.platform.files import clear_away
from edgeface.platform.secret_files import SecretFile, credential

CREDENTIAL = "gallery-key"
Record = TypeVar("Record")


class SealError(ValueError):
    """A record is damaged, was sealed with another key, or belongs elsewhere."""


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """256 bits; ``origin`` says in messages where they were read."""

    secret: bytes
    origin: str


def find_key(key_file: Path, *, create: bool) -> Key | None:
    """Return systemd's credential ``gallery-key``, or else the key in ``key_file``, made of 32 random bytes if ``create``.

    Without a key, and without ``create``, return ``None``. Raise ``GalleryError`` if the file cannot be read or made, is open
    to others, or holds no key, ``ConfigError`` if there can never be a file at this path.
    """
    given = credential(CREDENTIAL)
    if not given:
        refuse_for_good(key_file, "gallery.key_file", longest=os.pathconf("/", "PC_PATH_MAX"))
    file = SecretFile(given or key_file, "the gallery's key", GalleryError)
    if create and not given:
        file.make(secrets.token_bytes(KEY_BYTES))
    if (secret := file.find()) is None:
        return None
    if not given:
        clear_away(key_file)
    if len(secret) != KEY_BYTES:
        raise file.refusal(f"not the key of a gallery: {len(secret)} bytes, not {KEY_BYTES}")
    return Key(secret, str(file.path))


class Sealer:
    """Seals and opens records of one model under one key; a record that is moved to another place does not open."""

    def __init__(self, key: Key, model: str) -> None:
        self._secret, self.origin, self._model = key.secret, key.origin, model

    def seal(self, record: object, *bound: str) -> bytes:
        return aead.seal(self._secret, msgspec.msgpack.encode(record), self._associated(bound))

    def decrypt(self, sealed: bytes | None, *bound: str) -> bytes:
        """Decrypt a record, and leave it encoded. Raise ``SealError`` as ``unseal`` does."""
        try:
            return aead.unseal(self._secret, sealed or b"", self._associated(bound))
        except (ValueError, TypeError):
            raise SealError("a record does not belong where it stands") from None

    def opens(self, sealed: bytes | None, *bound: str) -> bool:
        try:
            self.decrypt(sealed, *bound)
        except SealError:
            return False
        return True

    def unseal(self, sealed: bytes, kind: type[Record], *bound: str) -> Record:
        """Decrypt a record sealed with the same ``bound``. Raise ``SealError`` if it is damaged, or key or place are others."""
        try:
            return msgspec.msgpack.decode(self.decrypt(sealed, *bound), type=kind)
        except msgspec.MsgspecError:
            raise SealError("a record does not belong where it stands") from None

    def _associated(self, bound: tuple[str, ...]) -> bytes:
        return msgspec.json.encode(["edgeface", 2, self._model, *bound])
