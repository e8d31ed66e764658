"""Makes codes that sign another browser in, such as a phone's, each once."""

import secrets
import time

from edgeface.web.token import Token

LIFETIME = 600.0
"""Seconds for which a code opens the page."""
MAX_OPEN = 16


class Invitations:
    """The codes that are not used yet. Whoever is signed in may make one, and never learns the token by it.

    A new token ends them all.
    """

    def __init__(self, token: Token) -> None:
        self._token = token
        self._ends: dict[str, float] = {}

    def make(self) -> str:
        """Return a new code; the oldest of ``MAX_OPEN`` gives way to it."""
        code = secrets.token_urlsafe(16)
        self._ends = dict([*self._ends.items()][-MAX_OPEN + 1 :])
        self._ends[self._token.seal(code)] = time.monotonic() + LIFETIME
        return code

    def accept(self, code: str) -> bool:
        """Return whether a code opens the page now; it does so once."""
        return self._ends.pop(self._token.seal(code), 0.0) > time.monotonic()
