"""Finds the socket of the daemon with given settings, and says why this user may not use it."""

import contextlib
import grp
import os
import pwd
import socket
from collections.abc import Iterator
from hashlib import blake2s
from pathlib import Path

from edgeface.config.schema import Config
from edgeface.errors import EdgefaceError
from edgeface.platform import environment

SERVICE_FOLDER = Path("/run/edgeface")
"""The service's folder for its socket; instances for several cameras have others beside it, such as edgeface-front."""
MAX_ADDRESS = 107
"""Bytes of a socket's path, at most; see unix(7)."""
TIMEOUT = 2.0
"""Seconds that the server waits for a request, and to send a line."""


def dial(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(TIMEOUT + 1)
    try:
        with socket_address(path) as address:
            client.connect(address)
    except BaseException:
        client.close()
        raise
    return client


def refuse_another(config: Config) -> None:
    """Raise ``EdgefaceError`` if a daemon with these settings runs, wherever it listens."""
    client, _ = reach(config)
    if client:
        with client:
            raise EdgefaceError(f"another daemon with these settings is running: it answers at {client.getpeername()}")


def answers(config: Config, *, strict: bool = False) -> bool:
    """Return whether a daemon answers; with ``strict``, raise ``EdgefaceError`` if its folder may be closed to this user."""
    client, closed = reach(config)
    if client:
        client.close()
    elif closed and strict and for_a_group(closed):
        raise EdgefaceError(closed_to_us(closed))
    return client is not None


def closed_to_us(folder: Path) -> str:
    """Say that a daemon's folder is closed to this user, and the cure."""
    as_its_user = "do it as its user: sudo -u edgeface edgeface ..."
    if not for_a_group(folder):
        return f"you may not ask the daemon ({folder} is closed to you); {as_its_user}"
    group, user = folder.stat().st_gid, user_name(os.geteuid()) or os.geteuid()
    with contextlib.suppress(KeyError):
        return (
            f"you may not ask the daemon ({folder} is for the group {grp.getgrgid(group).gr_name}): "
            f"sudo usermod -aG {grp.getgrgid(group).gr_name} {user}, then log out and back in; or {as_its_user}"
        )
    return f"you may not ask the daemon ({folder} is for the group {group}); {as_its_user}"


def for_a_group(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & 0o010)
    except OSError:
        return False


def user_name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def reach(config: Config) -> tuple[socket.socket | None, Path | None]:
    """Connect to the daemon with these settings; else return a closed folder in which its socket may be."""
    closed = None
    for folder in (*folders(config), SERVICE_FOLDER, *sorted(SERVICE_FOLDER.parent.glob("edgeface-*"))):
        try:
            return dial(folder / socket_name(config)), None
        except OSError as error:
            if isinstance(error, PermissionError) and (closed is None or for_a_group(folder)):
                closed = folder
    return None, closed


def socket_path(config: Config) -> Path:
    """Return the path at which the daemon with these settings listens; several daemons may share its folder."""
    return folders(config)[0] / socket_name(config)


def folders(config: Config) -> list[Path]:
    """Return the folders in which the daemon with these settings may have its socket; it listens in the first."""
    return [*environment.runtime_folders(), config.gallery_path.parent]


def socket_name(config: Config) -> str:
    gallery = config.gallery.path and str(config.gallery_path.absolute())
    key = "\0".join((config.device.id, config.camera.name, gallery))
    return f"edgeface-{blake2s(key.encode(), digest_size=6).hexdigest()}.sock"


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Yield an address by which the system can open a socket, even if its path is longer than ``MAX_ADDRESS``."""
    if len(os.fsencode(path)) <= MAX_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
