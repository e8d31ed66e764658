"""Builds a daemon from a configuration, at the start and at a reload, and checks a configuration."""

import logging
import os
from contextlib import ExitStack
from pathlib import Path

from edgeface import cameras, publishers
from edgeface.config.paths import expand
from edgeface.config.schema import Config
from edgeface.daemon.loop import Daemon
from edgeface.daemon.parts import PARTS, build, share
from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.sqlite import refuse_for_good
from edgeface.mqtt import client
from edgeface.mqtt.commands import check_allowed
from edgeface.operations.signing import Grants
from edgeface.sync.messages import read_key
from edgeface.sync.transports import check_scheme

log = logging.getLogger(__name__)


def assemble(config: Config, old: Daemon | None = None, **given: object) -> Daemon:
    """Build the daemon of a configuration, not yet opened; or give the old one, which runs, new settings.

    Parts that the new settings do not concern are kept; the others are built anew and take over. At the start a gallery that
    cannot be read is no error: nobody is recognized until it can. ``given`` are parts that are built already.

    Raises:
        EdgefaceError: a part cannot be built; the message says which and why. The old daemon is unchanged.
    """
    new = Daemon(config)
    with ExitStack() as undo:
        built = build(PARTS, new, old, given, undo)
        undo.pop_all()
    share(new)
    _erase_unwanted_faces(new)
    if old:
        for part in reversed(built):
            part.close(old, new)
    return new


def verify(config: Config) -> None:
    """Check that a start would accept the settings and the files that they name, without asking camera or broker.

    Files that the service may read, but this user may not, are not checked.

    Raises:
        ConfigError: the start would refuse a setting or a file, or a file is missing.
    """
    for camera in config.every_camera:
        cameras.plugin(camera)
    publishers.need_broker(config)
    check_allowed(config.commands)
    broker, page = config.mqtt, config.web
    given = {f"mqtt.{name}": getattr(broker, name) for name in ("password_file", "ca_file", "cert_file", "key_file")}
    given |= {f"web.{name}": getattr(page, name) for name in ("tls_cert", "tls_key")}
    given |= {f"webhook.{name}": getattr(config.webhook, name) for name in ("secret_file", "ca_file") if config.webhook.url}
    files = {name: expand(file, name) for name, file in given.items() if file}
    closed = {name for name, path in files.items() if _is_closed(path)}
    refuse_for_good(config.gallery_path, "gallery.path")
    for name, path in files.items():
        if name not in closed and not _is_file(path):
            raise ConfigError(f"{name}: there is no file {path}")
    if os.path.exists(config.key_path) and not _is_file(config.key_path):  # noqa: PTH110 (as below)
        raise ConfigError(f"gallery.key_file: {config.key_path} is no file")
    if broker.host and not closed:
        client.new_client(broker, "")
    if config.webhook.url and not closed:
        publishers.create("webhook", config, "")
    if config.sync.enabled and not _is_closed(config.sync_key_path):
        read_key(config)
    if config.grant.groups and not _is_closed(config.grant_key_path):
        Grants(config, list)
    check_scheme(config)
    if page.enabled:
        from edgeface.web.exposure import refuse_exposure

        refuse_exposure(page)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 (which raises where a folder is closed or a name too long)


def _is_closed(path: Path) -> bool:
    """Return whether a file may exist that only the service can read; a relative path is a credential of the service."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return not path.is_absolute()
    return not os.access(path, os.R_OK)


def _erase_unwanted_faces(new: Daemon) -> None:
    """Erase kept faces if the settings keep none; if the gallery cannot be written, the next start tries again."""
    if not new.config.gallery.keep_faces:
        try:
            new.gallery.erase_faces()
        except GalleryError as error:
            log.error("kept faces are still there: %s", error)
