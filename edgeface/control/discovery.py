"""Finds the socket of the daemon with these settings, and tells why it may not be asked."""

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
"""Of the service edgeface; its instances for several cameras have one each, beside it, such as edgeface-front."""
MAX_ADDRESS = 107
PATIENCE = 2.0


def dial(place: Path) -> socket.socket:
    """Connect to a socket."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE + 1)
    try:
        with socket_address(place) as address:
            client.connect(address)
    except BaseException:
        client.close()
        raise
    return client


def refuse_another(config: Config) -> None:
    """Make sure that no daemon with these settings answers, wherever it listens.

    Raises:
        EdgefaceError: one does.
    """
    client, _ = reach(config)
    if client:
        with client:
            raise EdgefaceError(f"another daemon with these settings is running: it answers at {client.getpeername()}")


def answers(config: Config, *, strict: bool = False) -> bool:
    """Whether a daemon with these settings answers.

    Raises:
        EdgefaceError: there may be one that this user must not ask (if ``strict``).
    """
    client, closed = reach(config)
    if client:
        client.close()
    elif closed and strict and for_a_group(closed):
        raise EdgefaceError(closed_to_us(closed))
    return client is not None


def closed_to_us(folder: Path) -> str:
    """What to do about a folder of the daemon that is closed to this user."""
    as_its_user = "do it as its user: sudo -u edgeface edgeface ..."
    if not for_a_group(folder):
        return f"you may not ask the daemon ({folder} is closed to you); {as_its_user}"
    group, user = folder.stat().st_gid, user_name(os.geteuid()) or os.geteuid()
    with contextlib.suppress(KeyError):
        return (
            f"you may not ask the daemon ({folder} is for the group {grp.getgrgid(group).gr_name}): "
            f"sudo usermod -aG {grp.getgrgid(group).gr_name} {user}, and log in anew; or {as_its_user}"
        )
    return f"you may not ask the daemon ({folder} is for the group {group}); {as_its_user}"


def for_a_group(folder: Path) -> bool:
    """Whether the folder is open to its group."""
    try:
        return bool(folder.stat().st_mode & 0o010)
    except OSError:
        return False


def user_name(uid: int) -> str | None:
    """The name of a user, if there is one."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def reach(config: Config) -> tuple[socket.socket | None, Path | None]:
    """A connection to the daemon with these settings; else a folder that is closed to us, where it may be."""
    closed = None
    for folder in (*folders(config), SERVICE_FOLDER, *sorted(SERVICE_FOLDER.parent.glob("edgeface-*"))):
        try:
            return dial(folder / socket_name(config)), None
        except OSError as error:
            if isinstance(error, PermissionError) and (closed is None or for_a_group(folder)):
                closed = folder
    return None, closed


def socket_path(config: Config) -> Path:
    """Where the daemon with these settings listens: its file name is its own, so that several share a folder."""
    return folders(config)[0] / socket_name(config)


def folders(config: Config) -> list[Path]:
    """The folders in which the daemon with these settings may have its socket, the first where it makes one."""
    return [*environment.runtime_folders(), config.gallery_path.parent]


def socket_name(config: Config) -> str:
    """The file name of the socket of the daemon with these settings."""
    gallery = config.gallery.path and str(config.gallery_path.absolute())
    key = "\0".join((config.device.id, config.camera.name, gallery))
    return f"edgeface-{blake2s(key.encode(), digest_size=6).hexdigest()}.sock"


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """What the system takes as the address of a socket, however long its path is: 107 bytes are the most."""
    if len(os.fsencode(path)) <= MAX_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
