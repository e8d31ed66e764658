"""Keeps the sessions of browsers that are signed in to the page."""

import logging
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeface.errors import EdgefaceError
from edgeface.platform.files import write_whole
from edgeface.web.token import Token

MAX_SESSIONS = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """The proof that a browser is signed in: a ``key`` in the path of every address of the page, a ``secret`` in a cookie.

    A browser may send the cookie to another port of the same host, since cookies know no ports, but never the key.
    """

    key: str
    secret: str

    @property
    def root(self) -> str:
        return f"/~{self.key}"


class Sessions:
    """The sessions that a token has opened; a new token ends them all.

    With ``path`` they are stored in that file, as digests that open nothing, and outlast the process.
    """

    def __init__(self, token: Token, path: Path | None = None) -> None:
        self._token, self._path = token, path
        self._clock = time.time if path else time.monotonic
        self._ends: dict[str, float] = {}
        if path:
            try:
                self._ends = msgspec.json.decode(path.read_bytes(), type=dict[str, float])
            except FileNotFoundError:
                pass
            except (OSError, msgspec.MsgspecError, ValueError) as error:
                log.warning("%s: %s; everybody has to sign in again", path, error)

    def open(self, seconds: float) -> Session:
        """Open a session that ends when unused for ``seconds``, or when ``MAX_SESSIONS`` others would end later."""
        session = Session(secrets.token_urlsafe(16), secrets.token_urlsafe(32))
        now = self._clock()
        alive = sorted((end, proof) for proof, end in self._ends.items() if end > now)
        self._ends = {proof: end for end, proof in alive[-MAX_SESSIONS + 1 :]}
        self._ends[self._proof(session)] = now + seconds
        self._save()
        return session

    def admits(self, session: Session) -> bool:
        return self._ends.get(self._proof(session), 0.0) > self._clock()

    def renew(self, session: Session, seconds: float) -> bool:
        """Extend an open session to ``seconds`` from now; return whether its browser needs a new cookie."""
        proof, end = self._proof(session), self._clock() + seconds
        if end - self._ends[proof] < seconds / 16:
            return False
        self._ends[proof] = end
        self._save()
        return True

    def end(self, session: Session) -> None:
        if self._ends.pop(self._proof(session), None):
            self._save()

    def _proof(self, session: Session) -> str:
        return self._token.seal(f"{session.key}.{session.secret}")

    def _save(self) -> None:
        if not self._path:
            return
        try:
            write_whole(self._path, msgspec.json.encode(self._ends), 0o600)
        except (OSError, EdgefaceError) as error:
            log.warning(
                "%s: %s; who is signed in is forgotten at the next start", self._path, getattr(error, "strerror", error)
            )
