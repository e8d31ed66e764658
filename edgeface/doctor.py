"""Every precondition of the daemon, checked for real, one line each, with a cure."""

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from cryptography import x509

from edgeface import build, cameras, config, mqtt, vault
from edgeface.embedding import Embedder
from edgeface.errors import CameraError, EdgefaceError
from edgeface.imaging import CHIP_SIZE
from edgeface.modelcard import SHIPPED, load_card, read_network
from edgeface.types import Frame

PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found; ``cure`` is empty when all is well."""

    name: str
    ok: bool
    found: str
    cure: str = ""


def examine(path: Path | None, model: Path = SHIPPED) -> Iterator[Check]:
    """Run every check, in the order in which the daemon would stumble."""
    yield _check(
        "runtime", lambda: _runtime(model), "reinstall edgeface; numpy 2 needs ai-edge-litert in place of tflite-runtime"
    )
    yield _check("model", lambda: _model(model), "reinstall edgeface, or put back the model's own files")
    try:
        settings = config.load(path)
    except EdgefaceError as error:
        yield Check("config", False, str(error), "mend the file; edgeface config default prints one that works")
        return
    yield Check("config", True, str(config.find(path) or "built-in defaults"))
    yield _check(
        "gallery",
        lambda: _gallery(settings, model),
        "set gallery.path to a folder that this user may write, put its key back, or enrol anew",
    )
    yield _check("permissions", lambda: _permissions(settings), "chmod as the line says: these files are for one user alone")
    yield _check(
        "camera", lambda: _camera(settings), "plug it in, set camera.source, join group video, or stop what else uses it"
    )
    if settings.mqtt.host:
        yield _check("broker", lambda: _broker(settings), "start the broker, or mend [mqtt]")
    else:
        yield Check("broker", True, "none set: events are printed")
    yield _check("clock", lambda: _clock(model), "set the time, or wait for its synchronisation (timedatectl)")


def _check(name: str, look: Callable[[], str], cure: str) -> Check:
    try:
        return Check(name, True, look())
    except EdgefaceError as error:
        return Check(name, False, str(error), cure)
    except OSError as error:
        return Check(name, False, f"{error.filename or ''} {error.strerror or error}".strip(), cure)


def _runtime(model: Path) -> str:
    embedder = Embedder(model)
    chip = np.full((CHIP_SIZE, CHIP_SIZE, 3), 128, np.uint8)
    embedder.embed(chip)
    started = time.perf_counter()
    embedder.embed(chip)
    took = 1000 * (time.perf_counter() - started)
    version = ".".join(map(str, sys.version_info[:3]))
    return f"Python {version}, {embedder.runtime}, numpy {np.__version__}, OpenCV {cv2.__version__}; {took:.1f} ms a face"


def _model(model: Path) -> str:
    card = load_card(model)
    for network in (card.encoder, card.decoder):
        read_network(model, network)
    return f"{card.name}, {card.digest[:19]}…, {card.encoder.bytes / 1e6:.1f} MB"


def _gallery(settings: config.Config, model: Path) -> str:
    gallery = build.gallery(settings, load_card(model))
    try:
        templates = gallery.templates()
        key = vault.credential_path() or settings.key_path
        return f"{settings.gallery_path}: {len(templates.people)} people, {len(templates.vectors)} templates; key {key}"
    finally:
        gallery.close()


def _permissions(settings: config.Config) -> str:
    wrong = []
    ours = [path for path in (settings.gallery_path, settings.key_path, settings.audit_path) if path.exists()]
    secrets = [mqtt.password_path(settings.mqtt)] if settings.mqtt.password_file else []
    secrets += [path for name, path in mqtt.own_files(settings.mqtt).items() if name == "mqtt.key_file"]
    for path in (*ours, *secrets):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o007 or (path in ours and mode & 0o077):
            wrong.append(f"{path} is {mode:04o}, chmod 0600")
    folder = settings.gallery_path.parent
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        wrong.append(f"{folder} is {stat.S_IMODE(folder.stat().st_mode):04o}, chmod 0700")
    if not os.access(folder, os.W_OK):
        wrong.append(f"{folder} cannot be written")
    if wrong:
        raise EdgefaceError("; ".join(wrong))
    return "gallery, keys, audit log and password are private"


def _camera(settings: config.Config) -> str:
    camera = cameras.create(settings.camera)
    deadline, reason = time.monotonic() + PATIENCE, "no frame"
    try:
        for moment in camera.frames():
            if isinstance(moment, Frame):
                height, width = moment.image.shape[:2]
                return f"{settings.camera.source.partition(':')[0]}: a frame of {width} x {height} pixels"
            reason = moment.lost or reason
            if moment.lost or time.monotonic() > deadline:
                break
        raise CameraError(reason)
    finally:
        camera.close()


def _broker(settings: config.Config) -> str:
    """Connect, publish, and receive it back."""
    started = time.perf_counter()
    with mqtt.Dialogue(settings) as broker:
        broker.collect()
    took = 1000 * (time.perf_counter() - started)
    return f"{mqtt.address(settings.mqtt)}: published and received in {took:.0f} ms{_certificate(settings)}"


def _certificate(settings: config.Config) -> str:
    """Until when this device's certificate is good, if it has one."""
    path = mqtt.own_files(settings.mqtt).get("mqtt.cert_file")
    if path is None:
        return ""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return f"; own certificate {certificate.subject.rfc4514_string()}, until {certificate.not_valid_after_utc:%Y-%m-%d}"


def _clock(model: Path) -> str:
    now = datetime.now().astimezone()
    made = str(load_card(model).training.get("date", ""))
    if now.date().isoformat() < made:
        raise EdgefaceError(f"it says {now:%Y-%m-%d}, before this network was made ({made})")
    timesync = Path("/run/systemd/timesync")
    if timesync.is_dir() and not (timesync / "synchronized").exists():
        raise EdgefaceError(f"{now:%Y-%m-%d %H:%M:%S}, not yet synchronised")
    return f"{now:%Y-%m-%d %H:%M:%S %Z}"
