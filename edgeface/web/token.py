"""Makes and reads the token that opens the page: a file of random text, beside the gallery."""

import hmac
import secrets
from pathlib import Path

from edgeface.errors import EdgefaceError
from edgeface.platform.secret_files import SecretFile

BYTES = 32


class Token:
    """The token in the file ``path``, made if missing, and read at every use so that a new one is in effect at once.

    Raises:
        EdgefaceError: the file cannot be made or read, or other users may read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = SecretFile(path, "the page's token", EdgefaceError)
        self._file.make(_new())
        self.text()

    def text(self) -> str:
        """Return the token; raise ``EdgefaceError`` if the file cannot be read, or other users may read it."""
        try:
            text = self._file.read().decode("ascii").strip()
        except UnicodeDecodeError:
            raise self._file.refusal("not a token; remove it, and a new one is made") from None
        if len(text) < BYTES:
            raise self._file.refusal("too short for a token; remove it, and a new one is made")
        return text

    def renew(self) -> None:
        """Replace the token, which shuts out every browser; raise ``EdgefaceError`` if the file cannot be written."""
        self._file.make(_new(), replace=True)

    def opens(self, given: str) -> bool:
        """Return whether ``given`` is the token, in a time that does not depend on how much of it is right."""
        return hmac.compare_digest(self.text().encode(), given.encode())

    def seal(self, text: str) -> str:
        """Return a digest of a text that only this token gives."""
        return hmac.new(self.text().encode(), text.encode(), "sha256").hexdigest()


def _new() -> bytes:
    return secrets.token_urlsafe(BYTES).encode()
