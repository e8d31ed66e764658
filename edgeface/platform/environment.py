"""Reads the environment variables of systemd, the shell and the user; nothing else in edgeface does."""

import os
from pathlib import Path


def text(name: str) -> str:
    return os.environ.get(name, "")


def path(name: str, separator: str | None = None) -> Path | None:
    """Return the path that a variable holds, the first where there may be several."""
    first = text(name).split(separator)[0] if separator else text(name)
    return Path(first) if first else None


def runtime_folders() -> list[Path]:
    return [folder for folder in (path("RUNTIME_DIRECTORY", separator=":"), path("XDG_RUNTIME_DIR")) if folder]


def credentials() -> Path | None:
    return path("CREDENTIALS_DIRECTORY")


def advise(**values: str) -> None:
    """Set variables that a library reads when it is loaded, except those that the user has set."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def force(name: str, value: str) -> bool:
    """Set a variable, and return whether that changed it."""
    before = os.environ.get(name)
    os.environ[name] = value
    return before != value
