"""Read and make files that are for their owner alone: keys, tokens, passphrases, passwords."""

import logging
from dataclasses import dataclass
from pathlib import Path

from edgeface.platform import environment
from edgeface.platform.files import read_small, write_new, write_whole

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file at ``path``; messages name ``what`` it holds and the ``setting`` for its path.

    Every fault raises ``error`` with one line. A file that others may read is refused. A ``shared`` file may be read by its
    group, and only logs a warning if everybody may read it.
    """

    path: Path
    what: str
    error: type[Exception]
    setting: str = ""
    shared: bool = False
    pipe: bool = False  # whether a pipe may stand in its place, for which to wait

    def find(self) -> bytes | None:
        try:
            data, mode = read_small(self.path, pipe=self.pipe)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.refusal(error.strerror or str(error)) from None
        # systemd guards its credentials by an access list, whose mask shows as rights of the group.
        if mode & (0o007 if self.shared else 0o077) and not is_credential(self.path):
            advice = f"others may read {self.what} ({mode:04o}); chmod {'o=' if self.shared else '0600'} {self.path}"
            if not self.shared:
                raise self.refusal(advice)
            _log.warning("%s: %s", self._place, advice)
        return data

    def read(self) -> bytes:
        if (data := self.find()) is None:
            raise self.refusal("No such file or directory")
        return data

    def first_line(self) -> str:
        try:
            return self.read().partition(b"\n")[0].rstrip(b"\r").decode()
        except UnicodeDecodeError:
            raise self.refusal("not UTF-8") from None

    def make(self, data: bytes, *, replace: bool = False) -> None:
        """Write the file, and its folder, unless it is there; with ``replace``, even then."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (write_whole if replace else write_new)(self.path, data, 0o600)
        except OSError as error:
            raise self.refusal(error.strerror or str(error)) from None

    def refusal(self, reason: str) -> Exception:
        return self.error(f"{self._place}: {reason}")

    @property
    def _place(self) -> str:
        return f"{self.setting} {self.path}".strip()


def credential(name: str) -> Path | None:
    folder = environment.credentials()
    try:
        return folder / name if folder and (folder / name).exists() else None
    except OSError:  # a folder that is closed to us
        return None


def is_credential(path: Path) -> bool:
    """Return whether systemd hands this file to the service."""
    folder = environment.credentials()
    return bool(folder) and path.is_relative_to(folder or "/")
