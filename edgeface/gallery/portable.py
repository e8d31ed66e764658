"""Seals an export under a passphrase: scrypt derives the key, AES-256-GCM encrypts, and the parameters stand beside."""

import hashlib
import secrets
import unicodedata
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery import aead
from edgeface.platform.secret_files import SecretFile

SEALED_VERSION = 1
MIN_LENGTH = 8
COST, BLOCK, LANES = 2**16, 8, 2  # 64 MB, and most of a second on a desktop; from OWASP's Password Storage Cheat Sheet
MAX_MEMORY = 256 * 2**20
PURPOSE = b"edgeface export"


class _Sealed(Struct, frozen=True):
    edgeface_sealed: Literal[1]
    kdf: Literal["scrypt"]
    n: Annotated[int, Meta(ge=2**10, le=2**20)]
    r: Annotated[int, Meta(ge=1, le=32)]
    p: Annotated[int, Meta(ge=1, le=16)]
    salt: Annotated[bytes, Meta(min_length=16, max_length=64)]
    nonce: Annotated[bytes, Meta(min_length=12, max_length=12)]
    sealed: bytes


class _Header(Struct, frozen=True):
    edgeface_sealed: int | None = None


def seal(data: bytes, passphrase: str) -> bytes:
    """Encrypt ``data``, and return a JSON document."""
    salt = secrets.token_bytes(16)
    sealed = aead.seal(_key(passphrase, salt, COST, BLOCK, LANES), data, PURPOSE)
    box = _Sealed(1, "scrypt", COST, BLOCK, LANES, salt, sealed[: aead.NONCE_BYTES], sealed[aead.NONCE_BYTES :])
    return msgspec.json.format(msgspec.json.encode(box), indent=1)


def is_sealed(data: bytes) -> bool:
    try:
        return msgspec.json.decode(data, type=_Header).edgeface_sealed is not None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False


def unseal(data: bytes, passphrase: str) -> bytes:
    """Decrypt a document of ``seal``. Raise ``GalleryError`` if it is none, is damaged, or the passphrase is another."""
    try:
        version = msgspec.json.decode(data, type=_Header).edgeface_sealed
        if version is not None and version != SEALED_VERSION:
            raise GalleryError(f"sealed by another version of edgeface (format {version}, this one opens {SEALED_VERSION})")
        box = msgspec.json.decode(data, type=_Sealed)
        if 128 * box.n * box.r > MAX_MEMORY or box.n & (box.n - 1):
            raise ValueError(f"scrypt with n = {box.n} and r = {box.r}")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise GalleryError(f"not an encrypted export: {error}") from None
    try:
        return aead.unseal(_key(passphrase, box.salt, box.n, box.r, box.p), box.nonce + box.sealed, PURPOSE)
    except ValueError:
        raise GalleryError("the passphrase is wrong, or the export is damaged") from None


def checked(passphrase: str) -> str:
    """Return a passphrase if it is long enough to seal with. Raise ``ConfigError`` if it is not."""
    if len(passphrase) < MIN_LENGTH:
        raise ConfigError(f"the passphrase needs {MIN_LENGTH} characters or more")
    return passphrase


def read_passphrase(path: Path) -> str:
    """Return the first line of a file. Raise ``ConfigError`` if the file cannot be read, or others may read it."""
    return SecretFile(path, "the passphrase", ConfigError, pipe=True).first_line()


def _key(passphrase: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    # One letter may be typed composed or decomposed.
    text = unicodedata.normalize("NFC", passphrase).encode(errors="surrogateescape")
    room = 2 * MAX_MEMORY  # over OpenSSL's own limit of 32 MB
    return hashlib.scrypt(text, salt=salt, n=cost, r=block, p=lanes, maxmem=room, dklen=aead.KEY_BYTES)
