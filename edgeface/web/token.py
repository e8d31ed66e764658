"""The token that opens the page: a file of random text, beside the gallery."""

import hmac
import secrets
from pathlib import Path

from edgeface.config.schema import WebSettings
from edgeface.errors import EdgefaceError
from edgeface.platform.secret_files import SecretFile

BYTES = 32


class Token:
    """The token in the file ``path``, which is made when missing and read at every use, so that a new one holds at once.

    Raises:
        EdgefaceError: it cannot be made or read, or others may read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = SecretFile(path, "the page's token", EdgefaceError)
        self._file.make(_new())
        self.text()

    def text(self) -> str:
        """The token.

        Raises:
            EdgefaceError: it cannot be read, or others may read it, too.
        """
        try:
            text = self._file.read().decode("ascii").strip()
        except UnicodeDecodeError:
            raise self._file.refusal("not a token; remove it, and a new one is made") from None
        if len(text) < BYTES:
            raise self._file.refusal("too short for a token; remove it, and a new one is made")
        return text

    def renew(self) -> None:
        """Put a new token in its place: every browser is shut out until it is given the new one.

        Raises:
            EdgefaceError: it cannot be written.
        """
        self._file.replace(_new())

    def opens(self, given: str) -> bool:
        """Whether ``given`` is the token; the time that it takes does not tell how much of it is right."""
        return hmac.compare_digest(self.text().encode(), given.encode())

    def seal(self, text: str) -> str:
        """A digest of some text that only this token gives."""
        return hmac.new(self.text().encode(), text.encode(), "sha256").hexdigest()


def _new() -> bytes:
    return secrets.token_urlsafe(BYTES).encode()


def address(web: WebSettings) -> str:
    """Where the page is, as a browser on this machine, or in its network, is to be told."""
    scheme = "https" if web.tls_cert else "http"
    host = web.hosts[0] if web.hosts else {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(web.address, web.address)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{web.port}/"
