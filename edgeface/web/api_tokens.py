"""Makes, finds and removes the tokens of programs that use the API, and says what each may call."""

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from edgeface.errors import ConfigError, EdgefaceError, os_errors_as
from edgeface.platform.secret_files import SecretFile
from edgeface.wire.fields import timestamp

log = logging.getLogger(__name__)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
FILE = "api-token."
"""Begins the name of a token's file, which ends with the token's name."""
START = "edgeface_"
"""What every token begins with, so that whoever finds one knows what it is."""
MAX_TOKENS = 64


class Scope(StrEnum):
    """What a token may call: each scope includes those before it."""

    READ_ONLY = "read-only"
    ENROLL = "enroll"
    ADMIN = "admin"


GRANTS = {"identify": Scope.READ_ONLY, "people": Scope.READ_ONLY, "status": Scope.READ_ONLY, "enroll": Scope.ENROLL}
"""The least scope that may call each; whatever is not named here needs ``admin``."""


class ApiToken(Struct, frozen=True, kw_only=True):
    """A token as it is kept: of the text that opens the API, only a digest, which opens nothing."""

    name: str
    scope: Scope
    created: str
    sha256: str

    def may(self, call: str) -> bool:
        scopes = list(Scope)
        return scopes.index(self.scope) >= scopes.index(GRANTS.get(call, Scope.ADMIN))


class ApiTokens:
    """The tokens in a folder: a file each, read at every use, so that a new or removed one is in effect at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, scope: Scope) -> str:
        """Make a token, and return its text, which is kept nowhere.

        Raises:
            ConfigError: the name is not usable.
            EdgefaceError: there is one of this name, there are ``MAX_TOKENS``, or the file cannot be written.
        """
        if not NAME.fullmatch(name):
            raise ConfigError(
                "the name of a token has letters, digits, - and _, 64 at most, and begins with neither of the two"
            )
        if len(self.names()) >= MAX_TOKENS:
            raise EdgefaceError(f"there are {MAX_TOKENS} tokens already; remove one that nobody uses")
        text = START + secrets.token_urlsafe(32)
        token = ApiToken(name=name, scope=scope, created=timestamp(time.time()), sha256=_digest(text))
        self._file(name).make(msgspec.json.encode(token))
        if self._read(name) != token:
            raise EdgefaceError(f"there is a token {name!r} already; remove it first, or take another name")
        return text

    def remove(self, name: str) -> None:
        """Remove a token, which opens nothing from then on; raise ``EdgefaceError`` if there is none of this name."""
        if name not in self.names():
            raise EdgefaceError(f"there is no token {name!r}; edgeface web token list has all")
        path = self._folder / f"{FILE}{name}"
        with os_errors_as(EdgefaceError, path):
            path.unlink(missing_ok=True)

    def all(self) -> list[ApiToken]:
        """Return every token; raise ``EdgefaceError`` if one cannot be read."""
        return [self._read(name) for name in self.names()]

    def find(self, given: str) -> ApiToken | None:
        """Return the token of this text, in a time that does not depend on how much of the text is right."""
        digest, found = _digest(given), None
        for token in self._readable():
            if hmac.compare_digest(token.sha256.encode(), digest.encode()):
                found = token
        return found

    def names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        with os_errors_as(EdgefaceError, self._folder):
            names = [file.removeprefix(FILE) for file in os.listdir(self._folder) if file.startswith(FILE)]  # noqa: PTH208
        return sorted(name for name in names if NAME.fullmatch(name))

    def _readable(self) -> Iterator[ApiToken]:
        for name in self.names():
            try:
                yield self._read(name)
            except EdgefaceError as error:
                log.error("%s", error)

    def _read(self, name: str) -> ApiToken:
        file = self._file(name)
        try:
            token = msgspec.json.decode(file.read(), type=ApiToken)
        except (msgspec.MsgspecError, ValueError):
            raise file.refusal(f"not a token; edgeface web token remove {name} removes it") from None
        if token.name != name:
            raise file.refusal(f"the token of {token.name!r} under another name; remove the file")
        return token

    def _file(self, name: str) -> SecretFile:
        return SecretFile(self._folder / f"{FILE}{name}", "a token", EdgefaceError)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
