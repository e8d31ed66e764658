"""Writes the audit log: who did what to the gallery and when, one JSON object a line, never with a name or an embedding."""

import fcntl
import logging
import os
import pwd
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgeface.platform import environment
from edgeface.platform.files import give_to_owner

log = logging.getLogger(__name__)
MAX_BYTES = 2**20
MAX_TEXT = 200
Scalar = str | int | float | bool | None


class Audit:
    """The log in the file ``path``. At one megabyte, the file becomes ``path``.1, in place of the one before."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, action: str, *, by: Mapping[str, Scalar] | None = None, **fields: Scalar) -> bool:
        """Add one line; ``by`` is the actor, by default the user of this process. Warn and return false if that fails.

        Callers note a change of the gallery after it: a full disk then costs a line, and never half of a change. They note
        before what cannot be taken back, such as an export, and do not do it if noting fails.
        """
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = msgspec.json.encode(_bounded({"ts": stamp, "action": action, "by": dict(by or _user()), **fields})) + b"\n"
        try:
            self._append(line)
        except OSError as error:
            log.warning("%s: %s; %s is not in the audit log", self._path, error.strerror or error, action)
            return False
        return True

    def _append(self, line: bytes) -> None:
        while True:
            with open(os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b", buffering=0) as file:  # noqa: PTH123
                fcntl.flock(file, fcntl.LOCK_EX)
                size = os.fstat(file.fileno()).st_size
                if not size:
                    give_to_owner(file.fileno(), self._path.parent)
                if not _is_at(file.fileno(), self._path):
                    continue  # another process has just begun the file anew
                if size and size + len(line) > MAX_BYTES:
                    self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                    continue
                if size and os.pread(file.fileno(), 1, size - 1) != b"\n":  # a line that a power cut has cut short
                    line = b"\n" + line
                if os.write(file.fileno(), line) < len(line):
                    os.ftruncate(file.fileno(), size)
                    raise OSError(None, "no space left")
                os.fsync(file.fileno())
                return


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _bounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _bounded(inner) for key, inner in value.items()}
    return value.encode(errors="replace").decode()[:MAX_TEXT] if isinstance(value, str) else value


def _user() -> Mapping[str, Scalar]:
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = None
    sudo = environment.text("SUDO_USER")
    return {"uid": uid, "user": name} | ({"sudo_user": sudo} if sudo else {})
