"""Signs grants with the device's key, and makes that key."""

import base64
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgeface.config.schema import Config
from edgeface.errors import ConfigError, EdgefaceError
from edgeface.platform.secret_files import SecretFile
from edgeface.types import LivenessClass
from edgeface.wire.events import Event
from edgeface.wire.fields import timestamp
from edgeface.wire.grant import Claims, Granted, GrantRequest

if TYPE_CHECKING:
    from Cryptodome.PublicKey import ECC

SEEN_WITHIN = 1.0
"""Seconds since the latest view of somebody who still stands there."""
NONCES = 1000
"""Nonces that are remembered."""


class Here(NamedTuple):
    """Somebody who is named now: the event of their arrival, whether their face is live, and how live it looks, 0 to 1."""

    arrival: Event
    kind: LivenessClass
    liveness: float | None


class Grants:
    """Signs with the device's key, and refuses a nonce that it has signed. ``here`` returns who is named at any camera now.

    Raises:
        ConfigError: liveness is not to be refused, or there is no key.
    """

    def __init__(self, config: Config, here: Callable[[], Sequence[Here]]) -> None:
        if config.liveness.mode != "refuse":
            raise ConfigError('grant.groups needs [liveness] mode = "refuse": else a photo would be granted')
        self._settings, self._device, self._key, self._here = config.grant, config.device.id, read_key(config), here
        self._used: deque[str] = deque(maxlen=NONCES)

    def find(self, person_id: str) -> Here | None:
        return next((one for one in self._here() if one.arrival.person_id == person_id), None)

    def sign(self, request: GrantRequest, here: Here, wall: float) -> Granted:
        if request.nonce in self._used:
            raise EdgefaceError("this nonce was used; each request needs a new one")
        self._used.append(request.nonce)
        arrival, expires = here.arrival, wall + self._settings.seconds
        claims = Claims(
            v=1,
            device=self._device,
            camera=arrival.camera,
            lock=request.lock,
            nonce=request.nonce,
            person_id=request.person_id,
            name=arrival.name or "",
            event_id=arrival.event_id,
            liveness=round(here.liveness or 0.0, 3),
            issued=round(wall, 3),
            expires=round(expires, 3),
        )
        told = msgspec.json.encode(claims)
        from Cryptodome.Signature import eddsa  # here and below: most daemons sign nothing, and need not the memory

        signature = eddsa.new(self._key, "rfc8032").sign(told)
        return Granted(grant=f"{_base64url(told)}.{_base64url(signature)}", expires=timestamp(expires))


def make_key(config: Config) -> str:
    """Return the public key as PEM, of a key pair that is made if there is none."""
    from Cryptodome.PublicKey import ECC

    file = _file(config)
    if file.find() is None:
        file.make(ECC.generate(curve="ed25519").export_key(format="PEM").encode() + b"\n")
    return str(read_key(config).public_key().export_key(format="PEM"))


def read_key(config: Config) -> "ECC.EccKey":
    from Cryptodome.PublicKey import ECC

    file = _file(config)
    data = file.find()
    if data is None:
        raise ConfigError(f"{file.path}: there is no signing key; edgeface mqtt grant-key makes one")
    try:
        key = ECC.import_key(data)
    except ValueError:
        raise file.refusal("not a key") from None
    if key.curve != "Ed25519" or not key.has_private():
        raise file.refusal("not a private key of Ed25519")
    return key


def _file(config: Config) -> SecretFile:
    return SecretFile(config.grant_key_path, "the signing key", ConfigError, "grant.key_file")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
