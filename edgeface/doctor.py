"""Checks every precondition of the daemon for real, with a cure for each fault."""

import os
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from edgeface import cameras
from edgeface.config import load as config_load
from edgeface.config import schema
from edgeface.config.load import load
from edgeface.errors import CameraError, ConfigError, EdgefaceError, GalleryError
from edgeface.gallery.backup import Backups
from edgeface.gallery.copies import NoCopyError, find_copies
from edgeface.gallery.copies import check as read_to_its_end
from edgeface.gallery.damage import summary
from edgeface.gallery.encryption import CREDENTIAL
from edgeface.gallery.migration import reembed
from edgeface.gallery.sqlite import FILE_ERRORS, FULL, lacks_room, refuse_for_good, snapshot
from edgeface.gallery.store import Gallery
from edgeface.mqtt import client, dialogue
from edgeface.mqtt.commands import check_allowed
from edgeface.platform.secret_files import credential, is_credential
from edgeface.sync.messages import ForeignKeyError, ForeignModelError, person_sealer
from edgeface.sync.transports import create
from edgeface.types import Frame
from edgeface.vision.alignment import CHIP_SIZE
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import SHIPPED, load_card, read_network

FRAME_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; ``cure`` and ``see``, a page that explains the fault, are empty if there is none."""

    name: str
    ok: bool
    found: str
    cure: str = ""
    see: str = ""


@dataclass
class _Subject:
    """The settings and model to examine; settings that cannot be read fail every check that needs them."""

    path: Path | None
    model: Path

    @cached_property
    def settings(self) -> schema.Config:
        return load(self.path)


def examine(path: Path | None, model: Path = SHIPPED, only: Collection[str] = ()) -> Iterator[Check]:
    """Run every check, or those in ``only``, in the order in which the daemon would fail; stop after wrong settings.

    Raise ``ConfigError`` if there is no check of such a name.
    """
    if unknown := set(only) - set(CHECKS):
        raise ConfigError(f"there is no check {', '.join(sorted(unknown))}, but {', '.join(CHECKS)}")
    subject = _Subject(path, model)
    for name, (look, cure) in CHECKS.items():
        if only and name not in only:
            continue
        try:
            check = Check(name, True, look(subject))
        except (EdgefaceError, OSError) as error:
            told = f"{error.filename or ''} {error.strerror or error}".strip() if isinstance(error, OSError) else str(error)
            check = Check(name, False, told, cure, f"docs/troubleshooting.md#{name}")
        yield check
        if name == "config" and not check.ok:
            return


def _runtime(subject: _Subject) -> str:
    embedder = Embedder(subject.model)
    chip = np.full((CHIP_SIZE, CHIP_SIZE, 3), 128, np.uint8)
    embedder.embed(chip)
    started = time.perf_counter()
    embedder.embed(chip)
    took = 1000 * (time.perf_counter() - started)
    version = ".".join(map(str, sys.version_info[:3]))
    return f"Python {version}, {embedder.runtime}, numpy {np.__version__}, OpenCV {cv2.__version__}; {took:.1f} ms a face"


def _model(subject: _Subject) -> str:
    card = load_card(subject.model)
    for network in (card.encoder, card.decoder):
        read_network(subject.model, network)
    return f"{card.name}, {card.digest[:19]}…, {card.encoder.bytes / 1e6:.1f} MB"


def _config(subject: _Subject) -> str:
    check_allowed(subject.settings.commands)
    return str(config_load.find(subject.path) or "built-in defaults")


def _gallery(subject: _Subject) -> str:
    """Open a copy of the gallery: opening may write a newer format, and a check must change nothing."""
    settings, card = subject.settings, load_card(subject.model)
    place = settings.gallery_path
    refuse_for_good(place, "gallery.path")
    key = credential(CREDENTIAL) or settings.key_path
    if not place.exists():
        above = next(parent for parent in place.absolute().parents if parent.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise GalleryError(f"{place}: it cannot be made, for {above} is no folder that this user may write")
        return f"{place}: there is none yet, nobody is enrolled"
    if lacks_room(place):
        raise GalleryError(f"{place}: {FULL}")
    with TemporaryDirectory(prefix="edgeface-") as folder:
        copied = Path(folder) / place.name
        try:
            snapshot(place, copied)
        except (ValueError, *FILE_ERRORS) as error:
            raise GalleryError(f"{place}: not a gallery, or damaged ({getattr(error, 'strerror', None) or error})") from None
        try:
            taken = reembed(copied, settings.key_path, subject.model)
            with closing(Gallery(copied, card.digest, card.identity, settings.key_path)) as gallery:
                templates, faces, damaged = gallery.templates(), gallery.faces(), gallery.damage()
        except GalleryError as error:
            raise GalleryError(str(error).replace(str(copied), str(place))) from None
    if damaged:
        raise GalleryError(f"{place}: {summary(damaged)}")
    told = f"{place}: {len(templates.people)} people, {len(templates.vectors)} templates"
    told += f", {faces} faces kept" if faces else ""
    beyond = card.beyond_measured(settings.matching.target_fpir, len(templates.vectors))
    told += f"; {beyond}" if beyond else ""
    return f"{told}; key {key}" + (f"; of another model, taken over at the next start: {taken}" if taken else "")


def _backup(subject: _Subject) -> str:
    """Read the newest backup to its end, and see that another can be made; change nothing."""
    settings = subject.settings
    backups, wanted = Backups(settings), settings.backup
    if not wanted.keep:
        return "none wanted: backup.keep is 0"
    if backups.is_away():
        raise GalleryError(f"{backups.folder} is not there")
    if not backups.folder.exists():
        return f"{backups.folder}: there is none yet"
    if not os.access(backups.folder, os.W_OK | os.X_OK):
        raise GalleryError(f"{backups.folder} cannot be written")
    copies = backups.find() if find_copies(backups.folder) else []
    if not copies:
        return f"{backups.folder}: there is none yet"
    newest = copies[-1]
    try:
        read_to_its_end(newest.path, backups.key())
    except NoCopyError as error:
        raise GalleryError(f"{newest.path}: {error}; delete it") from None
    if open_to_others := [copy.path.name for copy in copies if copy.path.stat().st_mode & 0o077]:
        raise GalleryError(f"{backups.folder}: others may read {', '.join(open_to_others)}, chmod 0600")
    days = (time.time() - newest.wall) / 86400
    told = f"{backups.folder}: {len(copies)}, the latest of {datetime.fromtimestamp(newest.wall):%Y-%m-%d %H:%M} is good"
    if days * 24 > 2 * wanted.every_hours + 24:
        raise GalleryError(f"{told}, {days:.0f} days ago")
    return told


def _permissions(subject: _Subject) -> str:
    settings, wrong = subject.settings, []
    ours = [
        path
        for path in (settings.gallery_path, settings.key_path, settings.sync_key_path, settings.audit_path)
        if path.exists() and not is_credential(path)  # systemd guards those by an access list
    ]
    secrets = [client.password_path(settings.mqtt)] if settings.mqtt.password_file else []
    secrets += [path for name, path in client.own_files(settings.mqtt).items() if name == "mqtt.key_file"]
    folder = settings.gallery_path.parent
    there = folder.exists()
    for path in (*ours, *secrets):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o007 or (path in ours and mode & 0o077):
            cure = _private_to_service(path, folder) if there and path not in ours else "chmod 0600"
            wrong.append(f"{path} is {mode:04o}, {cure}")
    if there and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        wrong.append(f"{folder} is {stat.S_IMODE(folder.stat().st_mode):04o}, chmod 0700")
    if there and not os.access(folder, os.W_OK):
        wrong.append(f"{folder} cannot be written")
    if wrong:
        raise EdgefaceError("; ".join(wrong))
    return "gallery, keys, audit log and password are private"


def _private_to_service(path: Path, folder: Path) -> str:
    """Return how to close a secret to all but its owner and the service, to which ``folder`` belongs."""
    secret, service = path.stat(), folder.stat()
    if secret.st_uid == service.st_uid:
        return "chmod 0600"
    return "chmod 0640" if secret.st_gid == service.st_gid else f"chgrp --reference={folder}, chmod 0640"


def _camera(subject: _Subject) -> str:
    """Take a frame of each camera."""
    first, *others = subject.settings.every_camera
    if not others:
        return _frame(first)
    found = []
    for one in (first, *others):
        try:
            found.append(f"{one.name}: {_frame(one)}")
        except EdgefaceError as error:
            raise type(error)(f"{one.name}: {error}") from None
    return "; ".join(found)


def _frame(settings: schema.CameraSettings) -> str:
    deadline, reason = time.monotonic() + FRAME_TIMEOUT_S, "no frame"
    with closing(cameras.create(settings)) as camera:
        for moment in camera.frames():
            if isinstance(moment, Frame):
                height, width = moment.image.shape[:2]
                found = f"{settings.source.partition(':')[0]}: a frame of {width} x {height} pixels"
                found = ", ".join(filter(None, (found, cameras.adjustment(settings))))
                return "; ".join([found, *cameras.others(settings)])
            reason = moment.lost or reason
            if moment.lost or time.monotonic() > deadline:
                break
    raise CameraError(reason)


def _broker(subject: _Subject) -> str:
    """Connect, publish a message, and receive it back."""
    settings = subject.settings
    if not settings.mqtt.host:
        return "none set: events are printed"
    started = time.perf_counter()
    with dialogue.Dialogue(settings) as broker:
        broker.collect()
    took = 1000 * (time.perf_counter() - started)
    return f"{client.address(settings.mqtt)}: published and received in {took:.0f} ms{_certificate(settings)}"


def _certificate(settings: schema.Config) -> str:
    """Return subject and end of this device's certificate, if it has one; openssl reads it, since Python's ssl does not."""
    path = client.own_files(settings.mqtt).get("mqtt.cert_file")
    if path is None:
        return ""
    words = ["openssl", "x509", "-in", str(path), "-noout", "-nameopt", "RFC2253", "-subject", "-enddate"]
    try:
        lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return f"; own certificate {path}"
    subject, end = (line.partition("=")[2] for line in lines)
    return f"; own certificate {subject}, until {datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC):%Y-%m-%d}"


def _sync(subject: _Subject) -> str:
    """Read what is kept of the shared gallery, and see that this device may write there; change nothing."""
    settings = subject.settings
    if not settings.sync.enabled:
        return "none: this device has a gallery of its own"
    sealer = person_sealer(settings, load_card(subject.model).digest)
    found, foreign = 0, 0
    with closing(create(settings)) as transport:
        probe = sealer.name("doctor")
        transport.share(probe, b"")  # it is nobody's name, and nothing is kept
        _, messages = transport.shared()
    for name, payload in messages.items():
        try:
            found += bool(payload and sealer.open(name, payload)[2])
        except (ForeignKeyError, ForeignModelError):
            foreign += 1
        except ValueError:
            continue  # damaged, and ignored by all
    if foreign:
        raise EdgefaceError(f"{foreign} people on {sealer.topic} are sealed with another key, or of another network")
    if probe not in messages:
        raise EdgefaceError(f"what is published under {sealer.topic}/ does not come back: access control?")
    return f"{sealer.topic}: {found} people, key {sealer.key}"


def _clock(subject: _Subject) -> str:
    now = datetime.now().astimezone()
    made = str(load_card(subject.model).training.get("date", ""))
    if now.date().isoformat() < made:
        raise EdgefaceError(f"it says {now:%Y-%m-%d}, before this network was made ({made})")
    timesync = Path("/run/systemd/timesync")
    if timesync.is_dir() and not (timesync / "synchronized").exists():
        raise EdgefaceError(f"{now:%Y-%m-%d %H:%M:%S}, not yet synchronised")
    return f"{now:%Y-%m-%d %H:%M:%S %Z}"


CHECKS: dict[str, tuple[Callable[[_Subject], str], str]] = {
    "runtime": (_runtime, "reinstall edgeface; numpy 2 needs ai-edge-litert in place of tflite-runtime"),
    "model": (_model, "reinstall edgeface, or put back the model's own files"),
    "config": (_config, "mend the file; edgeface config default prints one that works"),
    "gallery": (
        _gallery,
        "set gallery.path to a folder that this user may write, put its key or a copy back (edgeface gallery restore), or "
        "enroll anew",
    ),
    "backup": (_backup, "make room, mount or make the folder that backup.folder names, or edgeface gallery backup"),
    "permissions": (_permissions, "chmod as the line says: these files are for the service alone"),
    "camera": (_camera, "plug it in, set camera.source, join group video, or stop what else uses it"),
    "broker": (_broker, "start the broker, or mend [mqtt]"),
    "sync": (_sync, "give all devices the same key and network, and let the broker's access control list allow the topic"),
    "clock": (_clock, "set the time, or wait for its synchronisation (timedatectl)"),
}
"""Each check, in the order in which the daemon would fail, and the cure of a fault; docs/troubleshooting.md explains them."""
