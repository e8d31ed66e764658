"""Sync transports by the scheme of ``sync.topic``; each is imported only when it is asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from edgeface.config import schema
from edgeface.errors import ConfigError
from edgeface.interfaces import SyncConnection

TRANSPORTS = {"": "edgeface.sync.broker:SharedTopic"}
"""Scheme -> a function from the settings to a ``SyncConnection``; a topic without a scheme is the broker's."""


def check_scheme(settings: schema.Config) -> str:
    """Return the scheme of ``sync.topic``. Raise ``ConfigError`` if there is no such transport."""
    scheme = settings.sync.topic.rpartition("://")[0]
    if scheme not in TRANSPORTS:
        known = ["a topic at the broker", *(f"{name}://..." for name in TRANSPORTS if name)]
        raise ConfigError(f"sync.topic: there is no transport {scheme}://; it is {' or '.join(known)}")
    return scheme


def create(settings: schema.Config) -> SyncConnection:
    """Connect to the shared gallery. Raise ``ConfigError`` if it is not set up, ``EdgefaceError`` if it cannot be reached."""
    module, _, attribute = TRANSPORTS[check_scheme(settings)].partition(":")
    return cast(Callable[[schema.Config], SyncConnection], getattr(import_module(module), attribute))(settings)
