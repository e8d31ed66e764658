"""Read the environment variables of systemd, the shell and the user; nothing else in edgeface does."""

import os
from pathlib import Path


def config_file() -> Path | None:
    return _path("EDGEFACE_CONFIG")


def state_folder() -> Path | None:
    return _path("STATE_DIRECTORY", separator=":")


def runtime_folders() -> list[Path]:
    """Return the folders for sockets: the service's, then the session's of the user."""
    return [folder for folder in (_path("RUNTIME_DIRECTORY", separator=":"), _path("XDG_RUNTIME_DIR")) if folder]


def credentials() -> Path | None:
    return _path("CREDENTIALS_DIRECTORY")


def notify_socket() -> str:
    return os.environ.get("NOTIFY_SOCKET", "")


def journal() -> str:
    """Return "device:inode" of the stream that goes to the journal."""
    return os.environ.get("JOURNAL_STREAM", "")


def sudo_user() -> str:
    return os.environ.get("SUDO_USER", "")


def completing_shell() -> str:
    """Return the instruction of the shell that completes a command line, such as "complete_zsh"."""
    return os.environ.get("_EDGEFACE_COMPLETE", "")


def advise(**values: str) -> None:
    """Set variables that a library reads when it is loaded, except those that the user has set."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def force(name: str, value: str) -> bool:
    """Set a variable, and return whether that changed it."""
    before = os.environ.get(name)
    os.environ[name] = value
    return before != value


def _path(name: str, separator: str | None = None) -> Path | None:
    """Return the path that a variable holds, the first where there may be several."""
    first = os.environ.get(name, "")
    if separator:
        first = first.split(separator)[0]
    return Path(first) if first else None
