"""Paths as the settings give them."""

from pathlib import Path

from edgeface.errors import ConfigError
from edgeface.platform import environment


def expand(path: str, setting: str) -> Path:
    """A path with its ``~`` resolved.

    Raises:
        ConfigError: it names the home of a user who is not there.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{setting} {path!r}: {error}") from None


def secret_path(path: str, setting: str) -> Path:
    """As ``expand``; a relative name is one of systemd's credentials, where there are any.

    Raises:
        ConfigError: as ``expand``.
    """
    return (environment.credentials() or Path()) / expand(path, setting)
