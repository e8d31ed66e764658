"""Writing files so that a reader finds the old one or the new one, never a part."""

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write ``data`` to ``path``, with ``mode`` less the umask, by way of a temporary file beside it.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:  # noqa: PTH123
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write ``data`` to ``path`` unless there is a file already; of several writers one wins, whole and durable.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    if path.exists():
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.new")
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
