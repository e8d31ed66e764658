"""Writing files so that a reader finds the old one or the new one, never a part."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write ``data`` to ``path``, with ``mode`` less the umask, by way of a temporary file beside it.

    A link stays one, and what is no file, such as a pipe, is written to.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = path.resolve()
    part = _beside(path, "part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:  # noqa: PTH123
            give_to_owner(stream.fileno(), path.parent)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write ``data`` to ``path`` unless there is a file already; of several writers one wins, whole and durable.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    if path.exists():
        return
    part = _beside(path, "new")
    try:
        write_whole(part, data, mode)
        with suppress(FileExistsError):
            path.hardlink_to(part)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def give_to_owner(descriptor: int, folder: Path) -> None:
    """Let a file that root has just made in somebody's folder be theirs: sudo is not to shut the service out."""
    if os.geteuid() == 0:
        owner = folder.stat()
        with suppress(OSError):  # root of a container may not
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _beside(path: Path, suffix: str) -> Path:
    """A name that what a power cut has left does not have."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{suffix}")
