"""Lists the parts of the daemon: the settings that each reads, the parts that it needs, how it is built and takes over."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from edgeface import cameras, publishers
from edgeface.config.schema import Config
from edgeface.daemon.backup_task import BackupTask
from edgeface.daemon.expiry import Expiry
from edgeface.daemon.frame_rate import FrameRateLimiter
from edgeface.daemon.health_reporter import GalleryParts, HealthReporter, Links, Watched
from edgeface.daemon.loop import Daemon, Signals
from edgeface.daemon.pausable_camera import PausableCamera
from edgeface.daemon.turns import Turns
from edgeface.enrollment.enroller import Enroller
from edgeface.errors import AskAgainError, EdgefaceError, GalleryError
from edgeface.gallery.audit import Audit
from edgeface.gallery.event_keeper import EventKeeper
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Camera, CommandTransport, EventPublisher, StateSource, SyncTransport, Tick
from edgeface.mqtt.commands import Commands, check_allowed
from edgeface.operations.context import OperationContext
from edgeface.operations.jobs import JobQueue
from edgeface.operations.live_view import LiveView
from edgeface.operations.pause import Pause
from edgeface.operations.signing import SEEN_WITHIN, Grants, Here
from edgeface.operations.whole import reembed
from edgeface.platform.memory import HeapTrimmer
from edgeface.platform.systemd import Systemd
from edgeface.recognition.camera_monitor import CameraMonitor
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.recognition.rulebook import Rulebook
from edgeface.recognition.strangers import Strangers
from edgeface.sync import transports
from edgeface.sync.follower import Follower, replica
from edgeface.types import NoFrame
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import SHIPPED
from edgeface.vision.motion import MotionGate

log = logging.getLogger(__name__)
START_EXTENSION_US = 60_000_000
"""Microseconds by which each template that is reembedded extends systemd's limit for the start."""
NEW_SETTINGS = "the daemon took new settings; ask again"


def differ(reads: Iterable[str], before: Config, now: Config) -> bool:
    """Return whether any of these settings, by their dotted names, has changed."""
    return any(attrgetter(name)(before) != attrgetter(name)(now) for name in reads)


@dataclass(frozen=True, slots=True)
class Part:
    """An attribute of the daemon, built anew when a setting that it ``reads`` or a part that it ``needs`` has changed.

    ``build`` gets the new daemon, which has the parts that stand before this one in the table, and the old one, if any.
    ``close`` gets the daemon whose part is replaced and its heir, whose part takes over; ``None`` if the heir cannot be built.
    """

    name: str
    reads: tuple[str, ...]
    needs: tuple[str, ...]
    build: Callable[[Daemon, Daemon | None], object]
    close: Callable[[Daemon, Daemon | None], None] = lambda _of, _heir: None


def _gallery(new: Daemon, old: Daemon | None) -> Gallery:
    """Open the gallery; at the start, reembed one of another network, and accept one that cannot be read."""
    if old is None:
        extend = partial(Systemd().notify, EXTEND_TIMEOUT_USEC=START_EXTENSION_US)
        try:
            reembed(new.config, new.model, names=False, alive=extend)
        except GalleryError as error:
            log.error("%s", error)
    gallery = open_gallery(new.config, new.embedder.card, serving=True)
    if old:
        try:
            gallery.people()  # raises if it cannot be read: the old gallery can
        except GalleryError:
            gallery.close()
            raise
    return gallery


def _publisher(new: Daemon, _old: Daemon | None) -> EventPublisher:
    publishers.need_broker(new.config)
    return publishers.create(new.config.publisher, new.config, new.embedder.card.digest)


def _close_publisher(of: Daemon, heir: Daemon | None) -> None:
    of.publisher.close(heir.publisher if heir else None)
    if heir:
        heir.publisher.open(heir.pipeline.announced)


def _webhook(new: Daemon, _old: Daemon | None) -> EventPublisher | None:
    return publishers.create("webhook", new.config, new.embedder.card.digest) if new.config.webhook.url else None


def _close_webhook(of: Daemon, heir: Daemon | None) -> None:
    if of.webhook:
        of.webhook.close(heir.webhook if heir else None)
    if heir and heir.webhook:
        heir.webhook.open(heir.pipeline.announced)


def _follower(new: Daemon, _old: Daemon | None) -> Follower | None:
    config = new.config
    if not config.sync.enabled:
        return None
    own = replica(config, new.gallery, new.embedder.card)
    if config.shared_topic:
        return Follower(own, new.publisher) if isinstance(new.publisher, SyncTransport) else None
    transport = transports.create(config)
    return Follower(own, transport, transport.close)


def _close_follower(of: Daemon, _heir: Daemon | None) -> None:
    if of.follower:
        of.follower.close()


def _context(new: Daemon, _old: Daemon | None) -> OperationContext:
    return OperationContext(
        new.config,
        new.embedder.card,
        lambda: new.gallery,
        lambda: new.enroller,
        serving=True,
        pause=new.pause,
        file=new.file,
        reload=new.signals.ask_reload,
        home=lambda: new.publisher.home,
        grants=new.grants,
    )


def _grants(new: Daemon, _old: Daemon | None) -> Grants | None:
    def here() -> list[Here]:
        now = time.monotonic()
        return [
            Here(arrival, *judged) for watch in new.each.values() for arrival, judged in watch.presence.named(now, SEEN_WITHIN)
        ]

    return Grants(new.config, here) if new.config.grant.groups else None


def _commands(new: Daemon, _old: Daemon | None) -> Commands | None:
    check_allowed(new.config.commands)
    return Commands(new.config.commands, new.publisher, new.jobs) if isinstance(new.publisher, CommandTransport) else None


def _close_commands(of: Daemon, _heir: Daemon | None) -> None:
    if of.commands:
        of.commands.close(NEW_SETTINGS)


def _end_jobs(of: Daemon, heir: Daemon | None) -> None:
    """End the jobs that use the old enroller; the queue itself goes on."""
    if heir:
        of.jobs.close(AskAgainError(NEW_SETTINGS))


def _pause(new: Daemon, old: Daemon | None) -> Pause:
    heard = new.publisher.heard if isinstance(new.publisher, StateSource) else None
    return Pause(new.config, before=old.pause if old else None, heard=heard)


def _close_pause(_of: Daemon, heir: Daemon | None) -> None:
    for one in heir.each.values() if heir else ():
        if isinstance(one.camera, PausableCamera):
            one.camera.paused = one.pause.now


def _camera(new: Daemon, _old: Daemon | None) -> Camera:
    settings = new.config.camera
    return PausableCamera(lambda: cameras.create(settings), new.pause.now)


def _close_camera(of: Daemon, heir: Daemon | None) -> None:
    of.camera.close()
    if heir:
        heir.reporter.counters.dropped += of.camera.dropped


def _close_presence(of: Daemon, heir: Daemon | None) -> None:
    """Publish to the old subscribers that everybody left; the new presence announces who is still there."""
    if heir:
        moment = NoFrame(time.monotonic(), time.time())
        events = of.publish(of.presence.close(moment), moment)
        of.event_keeper.on_tick(Tick(moment, events=events))
        heir.reporter.counters.count_events(events)


def _presence(new: Daemon, old: Daemon | None) -> Presence:
    passive = None if new.config.liveness.mode == "off" else new.pipeline.passive.card
    return Presence(new.config, new.embedder.card, old.presence if old else None, passive)


def _strangers(new: Daemon, _old: Daemon | None) -> Strangers:
    return Strangers(new.gallery.events, new.config.events, new.embedder.card)


def _gate(new: Daemon, _old: Daemon | None) -> MotionGate:
    return MotionGate(new.config.detector.still_every, new.config.presence.left_after)


def _frame_rate(new: Daemon, _old: Daemon | None) -> FrameRateLimiter:
    """Limit the frame rate of a live camera; of a recording, each frame is searched, late if need be."""
    return FrameRateLimiter(new.config.camera.fps if new.camera.live else math.inf)


def _event_keeper(new: Daemon, _old: Daemon | None) -> EventKeeper:
    web = new.config.web
    hours = web.keep_hours if web.enabled and web.pictures else 0.0
    first, *others = (camera.name for camera in new.config.every_camera)
    return EventKeeper(new.gallery, first, new.config.events, hours, others)


def _reporter(new: Daemon, old: Daemon | None) -> HealthReporter:
    of_gallery = GalleryParts(new.pipeline, new.event_keeper, new.follower, new.backup, new.expiry)
    links = Links(new.publisher, new.webhook)
    watched = [Watched(one.camera, one.camera_monitor, one.frame_rate) for one in new.each.values()]
    return HealthReporter(links, watched, of_gallery, new.turns, before=old.reporter if old else None)


def build(table: Iterable[Part], new: Daemon, old: Daemon | None, given: Mapping[str, object], undo: ExitStack) -> list[Part]:
    """Set the parts of a table, and return those that are built anew. ``given`` are built already, such as shared ones."""
    changed = {name for name, value in given.items() if old and value is not getattr(old, name, None)}
    built = []
    for part in table:
        if part.name in given:
            value = given[part.name]
        elif old and not differ(part.reads, old.config, new.config) and changed.isdisjoint(part.needs):
            value = getattr(old, part.name)
        else:
            value = part.build(new, old)
            built.append(part)
            changed.add(part.name)
            undo.callback(part.close, new, None)
        setattr(new, part.name, value)
    return built


def share(new: Daemon) -> None:
    """Give the daemons of further cameras the parts that they share with the first."""
    shared = _shared(new)
    for one in new.beside.values():
        vars(one).update(shared)


def _shared(new: Daemon) -> dict[str, object]:
    own = {part.name for part in OF_CAMERA} | {"beside"}
    return {part.name: getattr(new, part.name) for part in PARTS if part.name not in own and hasattr(new, part.name)}


def _beside(new: Daemon, old: Daemon | None) -> dict[str, Daemon]:
    """Make a daemon for each further camera; of one that was there, keep the parts that nothing new concerns."""
    beside: dict[str, Daemon] = {}
    shared = _shared(new)
    with ExitStack() as undo:
        for camera in new.config.cameras:
            one = beside[camera.name] = Daemon(new.config.of_camera(camera.name))
            one.beside = {}
            vars(one).update(shared)
            try:
                build(OF_CAMERA, one, old.beside.get(camera.name) if old else None, shared, undo)
            except EdgefaceError as error:
                raise type(error)(f"camera {camera.name}: {error}") from None
        undo.pop_all()
    return beside


def _close_beside(of: Daemon, heir: Daemon | None) -> None:
    """Close the parts of cameras that are gone, and those that are replaced."""
    if heir is None:
        return  # none of them was opened
    for name, one in of.beside.items():
        after = heir.beside.get(name)
        for part in reversed(OF_CAMERA):
            if after is None or getattr(one, part.name) is not getattr(after, part.name):
                part.close(one, after or heir)
    if of.each.keys() != heir.each.keys():
        heir.publisher.cameras(list(heir.each))


OF_CAMERA = (
    Part("live", (), (), lambda _new, _old: LiveView()),
    Part("camera", ("camera",), (), _camera, _close_camera),
    Part("camera_monitor", ("camera.name",), (), lambda new, _old: CameraMonitor(new.config.camera.name)),
    Part(
        "presence",
        ("camera.name", "camera.zones", "presence", "liveness", "publisher"),
        ("embedder",),
        _presence,
        _close_presence,
    ),
    Part("gate", ("detector.still_every", "presence.left_after"), ("camera",), _gate),
    Part("frame_rate", ("camera.fps", "camera.source"), ("camera",), _frame_rate),
)
"""The parts of one camera, which each camera has for itself."""

PARTS = (
    # These are never built anew: the next start reads model files that changed on disk.
    Part("model", (), (), lambda _new, _old: SHIPPED),
    Part("file", (), (), lambda _new, _old: None),
    Part("signals", (), (), lambda _new, _old: Signals()),
    Part("jobs", (), (), lambda _new, _old: JobQueue()),
    Part("turns", (), (), lambda _new, _old: Turns()),
    Part("trimmer", (), (), lambda _new, _old: HeapTrimmer()),
    Part("embedder", (), ("model",), lambda new, _old: Embedder(new.model)),
    Part("gallery", ("gallery",), ("embedder",), _gallery, lambda of, _heir: of.gallery.close()),
    Part("backup", ("backup", "gallery"), (), lambda new, _old: BackupTask(new.config), lambda of, _heir: of.backup.close()),
    Part(
        "pipeline",
        (
            *(f"detector.{name}" for name in ("model", "max_side", "threads", "min_eye_distance", "min_quality")),
            "matching",
            "camera.masks",
            "camera.zones",
        ),
        ("embedder", "gallery"),
        lambda new, _old: Pipeline(new.config, new.embedder, new.gallery),
    ),
    Part(
        "publisher",
        # Another shared gallery needs a new connection: the broker sends what it retains only then.
        (
            *("device", "camera.name", "mqtt", "commands.allow", "sync", "home", "homeassistant", "shared_gallery"),
            *("events.publish_unsure", "liveness", "pause.topic", "pause.payload"),
            *("web.enabled", "web.hosts", "web.port", "web.tls_cert"),  # where Home Assistant finds the page
        ),
        ("embedder",),
        _publisher,
        _close_publisher,
    ),
    Part("pause", ("pause", "gallery.path"), ("publisher",), _pause, _close_pause),
    Part("webhook", ("webhook", "device"), ("embedder",), _webhook, _close_webhook),
    Part("follower", ("sync", "device.id"), ("embedder", "gallery", "publisher"), _follower, _close_follower),
    Part("enroller", (), ("pipeline", "gallery"), lambda new, _old: Enroller(new.pipeline, new.gallery), _end_jobs),
    Part("grants", ("grant", "device.id", "liveness"), (), _grants),
    Part(
        "context",
        ("matching", "backup", "gallery", "camera", "cameras", "events.keep_strangers"),
        ("embedder", "enroller", "gallery", "pause", "publisher", "grants"),
        _context,
    ),
    Part("commands", ("commands",), ("publisher", "enroller", "jobs"), _commands, _close_commands),
    *OF_CAMERA,
    Part(
        "beside",
        ("cameras", "detector.still_every", "presence", "liveness", "publisher"),
        ("embedder",),
        _beside,
        _close_beside,
    ),
    Part("strangers", ("events",), ("embedder", "gallery"), _strangers),
    Part("rulebook", ("rules",), (), lambda new, _old: Rulebook(new.config.rules)),
    Part("expiry", (), ("gallery",), lambda new, _old: Expiry(new.gallery, Audit(new.config.audit_path))),
    Part(
        "event_keeper",
        ("camera.name", "cameras", "events", "web.enabled", "web.pictures", "web.keep_hours"),
        ("gallery",),
        _event_keeper,
    ),
    Part(
        "reporter",
        (),
        (
            *("publisher", "webhook", "camera", "camera_monitor", "frame_rate", "beside"),
            *("pipeline", "event_keeper", "follower", "backup", "expiry"),
        ),
        _reporter,
    ),
)
"""The parts in the order in which they are built. They are replaced in reverse order, each before those that it needs: presence
and commands end their business through the old publisher; then the client id and the camera are free for the new ones.
"""
