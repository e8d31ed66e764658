"""The one place that turns a configuration into objects."""

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgeface import cameras, detectors, publishers
from edgeface.config.paths import expand
from edgeface.config.schema import Config
from edgeface.daemon.backup_task import BackupTask
from edgeface.daemon.frame_rate import FrameRateLimiter
from edgeface.daemon.health_reporter import HealthReporter
from edgeface.daemon.loop import Daemon
from edgeface.daemon.signals import Signals
from edgeface.enrollment.enroller import Enroller
from edgeface.errors import AskAgainError, ConfigError, EdgefaceError, GalleryError
from edgeface.gallery.audit import Audit
from edgeface.gallery.event_keeper import EventKeeper
from edgeface.gallery.open import open_gallery
from edgeface.gallery.sqlite import refuse_for_good
from edgeface.gallery.store import Gallery
from edgeface.health import SyncStatus
from edgeface.interfaces import Camera, CommandTransport, EventPublisher, SyncTransport
from edgeface.mqtt import client
from edgeface.mqtt.commands import Commands
from edgeface.operations.context import OperationContext
from edgeface.operations.jobs import JobQueue
from edgeface.operations.whole import take_over
from edgeface.platform.systemd import Systemd
from edgeface.recognition.camera_monitor import CameraMonitor
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.sync import follower as sync
from edgeface.sync.follower import Follower
from edgeface.sync.messages import read_key
from edgeface.types import NoFrame
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import SHIPPED, ModelCard
from edgeface.vision.motion import MotionGate

log = logging.getLogger(__name__)
SAME_FAR, DIFFERENT_FAR = 1e-4, 0.05
"""False-accept rates of the two cosines by which tracks are joined and torn apart."""


PATIENCE_US = 60_000_000
"""Microseconds for which systemd waits for the next of the templates that are made anew before the start."""


def pipeline(config: Config, embedder: Embedder, people: Gallery) -> Pipeline:
    """Detector, embedder and gallery, joined."""
    limits = config.detector
    return Pipeline(detectors.create(max_side=limits.max_side, threads=limits.threads), embedder, people, config)


def gate(config: Config) -> MotionGate:
    """What decides which frames are searched."""
    return MotionGate(config.detector.still_every, config.presence.left_after)


def pace(config: Config) -> FrameRateLimiter:
    """How often frames are looked at. Of a recording, each is: there it is only late."""
    return FrameRateLimiter(config.camera.fps if cameras.is_live(config.camera) else math.inf)


def presence(config: Config, card: ModelCard, before: Presence | None = None) -> Presence:
    """What turns the observations of this configuration's camera into events, in the place of another."""
    return Presence(
        config.camera.name,
        config.presence,
        same=card.threshold(SAME_FAR),
        different=card.threshold(DIFFERENT_FAR),
        liveness=config.liveness.mode,
        before=before,
    )


def daemon(config: Config, model: Path = SHIPPED, camera: Camera | None = None, signals: Signals | None = None) -> Daemon:
    """Everything that ``edgeface run`` needs, with the configured camera or another.

    Without a gallery that can be read it recognises nobody until there is one.

    Raises:
        EdgefaceError: a part cannot be built; the message says which and why.
    """
    embedder = Embedder(model)
    card = embedder.card
    try:
        take_over(config, model, names=False, alive=_starting)
    except GalleryError as error:
        log.error("%s", error)
    people = open_gallery(config, card, serving=True)
    eyes = pipeline(config, embedder, people)
    camera = camera or cameras.create(config.camera)
    publisher = _publisher(config, card)
    context, jobs = _context(config, eyes, people), JobQueue()
    rate = pace(config)
    follower = _follower(config, card, publisher, people)
    sharing, backup = _sharing(follower), BackupTask(config, Audit(config.audit_path))
    keeper = _keeper(config, people)
    reporter = HealthReporter(
        publisher,
        camera,
        config.camera.name,
        card.digest,
        lambda: eyes.templates,
        rate,
        sharing=sharing,
        trouble=lambda: (eyes.health, keeper.trouble),
        backed=lambda: backup.state,
    )
    _erase_unwanted_faces(config, people)
    return Daemon(
        camera,
        eyes,
        CameraMonitor(config.camera.name),
        presence(config, card),
        publisher,
        reporter,
        _commands(config, publisher, jobs),
        keeper,
        people,
        context,
        gate(config),
        rate,
        signals or Signals(),
        jobs,
        follower=follower,
        backup=backup,
    )


def verify(config: Config) -> None:
    """See that a start would refuse neither the settings nor the files that they name; camera and broker are not asked.

    Files that this user may not read, but the service may, are passed over.

    Raises:
        ConfigError: it would, or a file is missing.
    """
    cameras.plugin(config.camera)
    _need_broker(config)
    broker, page = config.mqtt, config.web
    given = {f"mqtt.{name}": getattr(broker, name) for name in ("password_file", "ca_file", "cert_file", "key_file")}
    given |= {f"web.{name}": getattr(page, name) for name in ("tls_cert", "tls_key")}
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
    if config.sync.enabled and not _is_closed(config.sync_key_path):
        read_key(config)
    if page.enabled:
        from edgeface.web.exposure import refuse_exposure

        refuse_exposure(page)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 (which raises where a folder is closed or a name too long)


def _is_closed(path: Path) -> bool:
    """Whether a file may be there and only the service may read it; a relative one is a credential of the service."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return not path.is_absolute()
    return not os.access(path, os.R_OK)


def changed(before: Config, now: Config) -> set[str]:
    """The sections in which two configurations differ."""
    return {name for name in Config.__struct_fields__ if getattr(before, name) != getattr(now, name)}


def rebuilt(old: Daemon, before: Config, now: Config) -> Daemon:
    """The running daemon with new settings: what they concern is built anew and takes over, the rest goes on.

    Visits go on too, unless ``presence``, ``liveness`` or ``camera.name`` has changed, or events go to a broker only now, or no
    more: then everybody has left, for the subscribers of before, and whoever is still there is told anew.

    Raises:
        EdgefaceError: a part cannot be built; the old daemon is as it was.
    """
    sections = changed(before, now)
    if not sections:
        return old
    embedder = old.pipeline.embedder  # no setting concerns it: model files that changed since the start are for the next one
    card = embedder.card
    renamed = before.camera.name != now.camera.name
    people = open_gallery(now, card, serving=True) if "gallery" in sections else old.gallery
    try:
        if people is not old.gallery:
            people.people()  # one that cannot be read is no reason to give up one that can
        eyes = pipeline(now, embedder, people) if sections & {"gallery", "detector", "matching"} else old.pipeline
        camera = cameras.create(now.camera) if "camera" in sections else old.camera
        topics = {"device", "mqtt", "commands", "homeassistant", "sync"}
        topics |= {"gallery"} if now.sync.enabled else set()  # the broker tells a new connection alone what it keeps
        publisher = _publisher(now, card) if renamed or sections & topics else old.publisher
        followed = people is old.gallery and publisher is old.publisher
        follower = old.follower if followed else _follower(now, card, publisher, people)
        kept = old.backup if not sections & {"backup", "gallery"} else None
        backup = kept or BackupTask(now, Audit(now.audit_path))
    except EdgefaceError:
        if people is not old.gallery:
            people.close()
        raise
    fresh = renamed or sections & {"presence", "liveness"} or type(publisher) is not type(old.publisher)
    stay = presence(now, card, old.presence) if fresh else old.presence
    context = _context(now, eyes, people)
    asked = sections & {"commands"} or eyes is not old.pipeline or publisher is not old.publisher
    rate = pace(now) if "camera" in sections else old.pace
    keep = renamed or sections & {"events", "gallery", "web"}
    keeper = _keeper(now, people) if keep else old.keeper
    sharing = _sharing(follower)
    reporter = HealthReporter(
        publisher,
        camera,
        now.camera.name,
        card.digest,
        lambda: eyes.templates,
        rate,
        old.reporter,
        sharing,
        lambda: (eyes.health, keeper.trouble),
        lambda: backup.state,
    )
    new = replace(
        old,
        camera=camera,
        pipeline=eyes,
        camera_monitor=CameraMonitor(now.camera.name) if renamed else old.camera_monitor,
        presence=stay,
        publisher=publisher,
        reporter=reporter,
        commands=_commands(now, publisher, old.jobs) if asked else old.commands,
        keeper=keeper,
        gallery=people,
        context=context,
        gate=gate(now) if sections & {"camera", "detector", "presence"} else old.gate,
        pace=rate,
        follower=follower,
        backup=backup,
    )
    _erase_unwanted_faces(now, people)
    _hand_over(old, new)
    return new


def _hand_over(old: Daemon, new: Daemon) -> None:
    """Close the parts that are replaced; the camera and the broker's client id are free only then for the new ones."""
    told = "the daemon took new settings; ask again"
    if new.presence is not old.presence:
        events = old.presence.close(NoFrame(time.monotonic(), time.time()))
        old.publish(events)
        new.reporter.counters.published(events)
    if new.camera is not old.camera:
        old.camera.close()
        new.reporter.counters.dropped += old.camera.dropped
    if old.commands and new.commands is not old.commands:
        old.commands.close(told)
    if new.pipeline is not old.pipeline:
        old.jobs.close(AskAgainError(told))
    if new.publisher is not old.publisher:
        old.publisher.close(new.publisher)
        new.publisher.open(new.pipeline.templates.people)
    if old.backup and new.backup is not old.backup:
        old.backup.close()
    if new.gallery is not old.gallery:
        old.gallery.close()


def _starting() -> None:
    """Have systemd wait on: each template that is made anew takes its time."""
    Systemd().notify(EXTEND_TIMEOUT_USEC=PATIENCE_US)


def _erase_unwanted_faces(config: Config, people: Gallery) -> None:
    """Erase kept faces that are to be kept no more; where the gallery cannot be written, the next start tries again."""
    if not config.gallery.keep_faces:
        try:
            people.erase_faces()
        except GalleryError as error:
            log.error("kept faces are still there: %s", error)


def _need_broker(config: Config) -> None:
    for name in ("sync", "homeassistant"):
        if getattr(config, name).enabled and not config.mqtt.host:
            raise ConfigError(f"{name}.enabled needs a broker: set mqtt.host in the configuration")


def _publisher(config: Config, card: ModelCard) -> EventPublisher:
    _need_broker(config)
    return publishers.create("mqtt" if config.mqtt.host else "lines", config, card.digest)


def _context(config: Config, eyes: Pipeline, people: Gallery) -> OperationContext:
    enroller = Enroller(eyes, people)
    return OperationContext(config, eyes.embedder.card, lambda: people, lambda: enroller, serving=True)


def _commands(config: Config, publisher: EventPublisher, jobs: JobQueue) -> Commands | None:
    return Commands(config.commands, publisher, jobs) if isinstance(publisher, CommandTransport) else None


def _keeper(config: Config, people: Gallery) -> EventKeeper:
    web = config.web
    hours = web.keep_hours if web.enabled and web.pictures else 0.0
    return EventKeeper(people, config.camera.name, config.events, picture_hours=hours)


def _follower(config: Config, card: ModelCard, publisher: EventPublisher, people: Gallery) -> Follower | None:
    if not (config.sync.enabled and isinstance(publisher, SyncTransport)):
        return None
    return Follower(sync.replica(config, people, card), publisher)


def _sharing(follower: Follower | None) -> Callable[[], SyncStatus]:
    return lambda: follower.sharing if follower else SyncStatus()
