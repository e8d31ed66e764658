"""Expands the paths that settings give."""

from pathlib import Path

from edgeface.errors import ConfigError
from edgeface.platform import environment


def expand(path: str, setting: str) -> Path:
    """Return a path with its ``~`` resolved. Raise ``ConfigError`` if it names the home of an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{setting} {path!r}: {error}") from None


def secret_path(path: str, setting: str) -> Path:
    """Return an expanded path, a relative one in the folder of systemd's credentials, if there is one. Raise as ``expand``."""
    return (environment.credentials() or Path()) / expand(path, setting)
