"""Seals a person for other devices, under the key that they share, on a topic that does not tell who it is."""

import hashlib
import hmac
import secrets
from contextlib import suppress
from typing import Annotated, cast

import msgspec
from Cryptodome.Hash import SHA256
from Cryptodome.Protocol.KDF import HKDF
from msgspec import Meta, Struct

from edgeface.config.schema import Config
from edgeface.errors import ConfigError
from edgeface.gallery.aead import KEY_BYTES
from edgeface.gallery.encryption import Key, Sealer
from edgeface.gallery.shared import SharedPerson
from edgeface.gallery.versions import Revision
from edgeface.platform.secret_files import SecretFile
from edgeface.types import MAX_REQUEST_BYTES
from edgeface.wire.fields import SCHEMA, Schema, Time, timestamp


class ForeignKeyError(ValueError):
    """A message from devices that share another key."""


class ForeignModelError(ValueError):
    """A message from a device with another network."""


class SealedPerson(Struct, frozen=True, kw_only=True):
    """One person of the shared gallery, or that they are forgotten: opaque but for the devices that have the key."""

    schema: Schema
    ts: Annotated[Time, Meta(description="when it was sent; nothing depends on it")]
    device: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
            description="`device.id` of the device on which it was edited",
            examples=["door"],
        ),
    ]
    counter: Annotated[
        int, Meta(ge=1, le=2**53, description="of two envelopes that with the greater counter is valid", examples=[7])
    ]
    key: Annotated[str, Meta(pattern="^[0-9a-f]{8}$", description="which shared key it is, not the key", examples=["5b1f03c2"])]
    model: Annotated[str, Meta(description="digest of the network that made the templates", examples=["sha256:95415c0e"])]
    sealed: Annotated[
        bytes,
        Meta(
            description="in base64: a nonce of 12 bytes, the person in AES-256-GCM, a tag of 16 bytes; bound to topic, device, "
            "counter and model",
            examples=["q83vEjRWeJq83vEj"],
        ),
    ]


class _Contents(Struct, frozen=True, array_like=True):
    """The sealed part of a message; without ``person``, the person is forgotten."""

    person_id: Annotated[str, Meta(pattern=r"^(p_[0-9a-f]{16})?\Z")]
    person: SharedPerson | None


def digest(person: SharedPerson | None) -> bytes:
    """Return a digest of a person's content; empty for a forgotten person. Without rules, it is as earlier versions have it."""
    if person is None:
        return b""
    fields = msgspec.structs.astuple(person)
    return hashlib.sha256(msgspec.msgpack.encode(fields[:-1] if person.rules is None else fields)).digest()


class PersonSealer:
    """Seals and opens messages under the shared key ``secret``, for one model, below one topic."""

    def __init__(self, secret: bytes, model: str, topic: str) -> None:
        self._names, sealing, name = (_derived(secret, use) for use in ("names", "sealing", "id"))
        self.topic, self.key, self._model = topic, name[:4].hex(), model
        self._sealer = Sealer(Key(sealing, "the shared key"), model)

    def name(self, person_id: str) -> str:
        """Return the last level of a person's topic: the same on all devices with this key and model, meaningless to others."""
        return hmac.digest(self._names, f"{self._model} {person_id}".encode(), "sha256")[:16].hex()

    def seal(self, name: str, revision: Revision, person_id: str, person: SharedPerson | None, wall: float) -> bytes:
        contents = _Contents(person_id if person else "", person)
        sealed = self._sealer.seal(contents, *self._bound(name, revision.device, revision.counter))
        message = SealedPerson(
            schema=SCHEMA,
            ts=timestamp(wall),
            device=revision.device,
            counter=revision.counter,
            key=self.key,
            model=self._model,
            sealed=sealed,
        )
        return msgspec.json.encode(message)

    def open(self, name: str, payload: bytes) -> tuple[Revision, str, SharedPerson | None]:
        """Return revision, person id (empty of forgotten people) and person.

        Raise ``ForeignKeyError`` or ``ForeignModelError`` if the payload says that it is for other devices, another
        ``ValueError`` if it is no sealed person, is damaged, or belongs elsewhere.
        """
        if len(payload) > MAX_REQUEST_BYTES:
            raise ValueError("too large")
        try:
            message = msgspec.json.decode(payload, type=SealedPerson)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f"no sealed person: {error}") from None
        if message.key != self.key:
            raise ForeignKeyError
        if message.model != self._model:
            raise ForeignModelError
        contents = self._sealer.unseal(message.sealed, _Contents, *self._bound(name, message.device, message.counter))
        if contents.person and self.name(contents.person_id) != name:
            raise ValueError("sealed as somebody else")
        return Revision(message.counter, message.device, digest(contents.person)), contents.person_id, contents.person

    def _bound(self, name: str, device: str, counter: int) -> tuple[str, ...]:
        return "shared", f"{self.topic}/{name}", device, str(counter)


def person_sealer(config: Config, model: str) -> PersonSealer:
    """Return the sealer of these settings. Raise ``ConfigError`` if the shared key is missing, unreadable, open or no key."""
    return PersonSealer(bytes.fromhex(read_key(config)), model, config.sync.topic.strip("/"))


def read_key(config: Config) -> str:
    """Return the shared key, as 64 hexadecimal digits. Raise ``ConfigError`` as ``person_sealer`` does."""
    file = _file(config)
    if (text := file.find()) is None:
        cure = "edgeface gallery key makes one, with --set it takes that of another device"
        raise ConfigError(f"sync.key_file {file.path} is not there: {cure}")
    return _checked(text, str(file.path))


def make_key(config: Config) -> str:
    """Return the shared key, made if there is none. Raise ``ConfigError`` as ``read_key`` does."""
    _file(config).make(f"{secrets.token_hex(KEY_BYTES)}\n".encode())
    return read_key(config)


def take_key(config: Config, text: str) -> None:
    """Replace this device's key by another device's. Raise ``ConfigError`` if the text is no key, or cannot be written."""
    key = _checked(text.encode(errors="replace"), "what came in")
    _file(config).make(f"{key}\n".encode(), replace=True)


def _file(config: Config) -> SecretFile:
    return SecretFile(config.sync_key_path, "the shared key", ConfigError, "sync.key_file")


def _checked(text: bytes, origin: str) -> str:
    with suppress(ValueError):
        key = text.decode("ascii").strip().lower()
        if len(bytes.fromhex(key)) == KEY_BYTES and len(key) == 2 * KEY_BYTES:
            return key
    raise ConfigError(f"{origin}: not the key of a shared gallery, which is {2 * KEY_BYTES} hexadecimal digits")


def _derived(secret: bytes, use: str) -> bytes:
    return cast(bytes, HKDF(secret, KEY_BYTES, b"", SHA256, context=f"edgeface sync {use}".encode()))
