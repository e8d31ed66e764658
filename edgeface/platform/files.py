"""Writes files whole: a reader finds the old one or the new one, never a part."""

import errno
import glob
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LARGEST = 4 * 2**20  # bytes of a small file at most; the certificates that a system trusts take a quarter of a megabyte


def read_small(path: Path, *, pipe: bool = False) -> tuple[bytes, int]:
    """Return bytes and mode of a file; wait for a ``pipe`` only if asked. Raise ``OSError`` if it is none, or too large."""
    with open(os.open(path, os.O_RDONLY | (0 if pipe else os.O_NONBLOCK)), "rb") as stream:  # noqa: PTH123
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) and not (pipe and stat.S_ISFIFO(status.st_mode)):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST // 2**20} MB", str(path))
    return data, stat.S_IMODE(status.st_mode)


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write ``data`` to ``path``, with ``mode`` less the umask, by way of a temporary file beside it.

    A link stays a link. A pipe or device is written to, unless another user has put it there. Raise ``OSError`` if the file
    cannot be written; nothing is left behind.
    """
    with suppress(FileNotFoundError):
        path.stat()  # raises at a loop of links, which would take long below
    _distrust(path)
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = path.resolve()
    with _part(path, "part", data, mode) as part:
        part.replace(path)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file, whole and durable, unless it exists; of several writers one wins. Raise ``OSError``, and leave nothing."""
    if path.exists():
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            nameless = os.open(path.parent, os.O_WRONLY | os.O_TMPFILE, mode)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
                raise
            # The file system has no files without a name.
            with _part(path, "new", data, mode) as part, suppress(FileExistsError):
                path.hardlink_to(part)
        else:
            with open(nameless, "wb") as stream:  # noqa: PTH123
                _fill(stream, data, path.parent)
                with suppress(FileExistsError):  # with dst_dir_fd Python calls linkat(2), which follows links
                    os.link(f"/proc/self/fd/{nameless}", path.name, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _part(path: Path, suffix: str, data: bytes, mode: int) -> Iterator[Path]:
    """Write ``data`` beside ``path`` under a random name, which no file from before a power cut has; remove it in the end."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.{suffix}")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:  # noqa: PTH123
            _fill(stream, data, path.parent)
        yield part
    finally:
        part.unlink(missing_ok=True)


def clear_away(path: Path) -> None:
    """Remove second copies of a file that killed writers have left. Call this only once the file itself is there."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{8 * '[0-9a-f]'}.new"):
        with suppress(OSError):
            left.unlink()


def _fill(stream: BinaryIO, data: bytes, folder: Path) -> None:
    give_to_owner(stream.fileno(), folder)
    stream.write(data)
    stream.flush()
    os.fsync(stream.fileno())


def _distrust(path: Path) -> None:
    """Raise ``PermissionError`` at another user's link, as ``fs.protected_symlinks`` does, or another user's pipe."""
    ours = {0, os.geteuid()}
    path = path.absolute()
    for place in (*reversed(path.parents), path):
        try:
            status = place.lstat()
        except OSError:  # not there, or closed to us: writing will say which
            return
        leads = stat.S_ISLNK(status.st_mode) or stat.S_ISFIFO(status.st_mode)
        if leads and status.st_uid not in ours:
            raise PermissionError(errno.EPERM, f"{place} is another user's link or pipe", str(path))
        if stat.S_ISLNK(status.st_mode) and place.parent != Path("/proc/self/fd"):
            _distrust(place.parent / place.readlink())


def give_to_owner(descriptor: int, folder: Path) -> None:
    """Give a file that root has just made to the owner of its folder: sudo must not shut the service out."""
    if os.geteuid() == 0:
        owner = folder.stat()
        with suppress(OSError):  # a container's root may not
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
