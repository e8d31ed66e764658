"""Writes the daemon's status: its health, what is wrong with it, and both as text for people."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgeface.cameras import adjustment
from edgeface.config.schema import Config
from edgeface.gallery.sqlite import FULL, lacks_room
from edgeface.health import Health, health_payload
from edgeface.platform.text import duration, local
from edgeface.wire.events import event_payload
from edgeface.wire.home import PersonHome

ALONE = {
    "name": "camera",
    "state": "camera_state",
    "reason": "camera_reason",
    "fps": "fps",
    "frame_size": "frame_size",
    "adjusted": "adjusted",
}
"""The fields of a camera among several, and of the whole status, which one alone has."""
HUNG = 10.0
"""Seconds without a round after which the loop counts as hung."""
GALLERY_TROUBLES = {
    "unreadable": "nobody is recognized, for the gallery cannot be read: {}",
    "stale": "the gallery cannot be read, people are known as they were before: {}",
    "damaged": "gallery: {}",
    "read_only": "gallery: {}",
}


def report(
    config: Config,
    health: Health,
    refused: str | None,
    unserved: Mapping[str, str],
    threshold: str = "",
    home: Sequence[PersonHome] | None = None,
) -> dict[str, Any]:
    """Return a daemon's status as a JSON object.

    ``refused`` says why the settings read last were not taken; ``unserved`` why metrics or page, if enabled, are not served;
    ``threshold`` that the gallery needs a stricter threshold than was measured. ``home`` is the publisher's.
    """
    event, link = health.last_event, health.link
    status: dict[str, Any] = msgspec.to_builtins(health_payload(health, time.time())) | {
        "device": config.device.id,
        "beat_age": round(max(0.0, time.monotonic() - health.time), 1),
        "faces_seen": health.faces_seen,
        "events": dict(health.events),
        "last_event": event and msgspec.to_builtins(event_payload(event, config.device.id, health.model)),
        "broker": {"state": link.state, "address": link.address, "reason": link.reason},
        "settings_refused": refused,
        "metrics_unserved": unserved.get("metrics"),
        "page": config.web.url if config.web.enabled and "page" not in unserved else None,
        "page_unserved": unserved.get("page"),
        "threshold": threshold,
        "home": None if home is None else [one.name for one in home if one.state == "home"],
        "adjusted": adjustment(config.camera),
        "disk_full": config.gallery_path.exists() and lacks_room(config.gallery_path),
    }
    changes = {camera.name: adjustment(camera) for camera in config.every_camera}
    for one in status.get("cameras", ()):
        one["adjusted"] = changes.get(one["name"], "")
    return status | {"running": True, "troubles": troubles(status)}


def troubles(status: dict[str, Any]) -> list[str]:
    """List what is wrong, a line each, the worst first."""
    broker, gallery = status["broker"], status["gallery_state"]
    found: list[Any] = [
        status["beat_age"] > HUNG and f"the loop hangs: no beat for {status['beat_age']:.0f} s",
        *(one["state"] == "lost" and f"camera {one['name']} is lost: {one['reason']}" for one in _each(status)),
        broker["reason"] or (broker["state"] == "down" and f"no broker at {broker['address']}"),
        gallery in GALLERY_TROUBLES and GALLERY_TROUBLES[gallery].format(status["gallery_reason"]),
        (status["disk_full"] or gallery == "full") and FULL,
        status["events_unkept"] and f"events are not kept: {status['events_unkept']}",
        "under-voltage" in status["throttling"] and "under-voltage: the power supply, or its cable, is too weak",
        status.get("sync", {}).get("trouble"),
        status.get("backup", {}).get("trouble"),
        status.get("webhook", {}).get("trouble"),
        status["settings_refused"] and f"the settings read last were not taken: {status['settings_refused']}",
        status["metrics_unserved"],
        status.get("page_unserved"),
    ]
    return [trouble for trouble in found if trouble]


def describe(status: dict[str, Any]) -> str:
    broker, event = status["broker"], status["last_event"]
    link = "none: events are printed" if broker["state"] == "none" else f"{broker['state']}, {broker['address']}"
    if status["broker_confirmed"] is not None:
        link += f", last acknowledgement {duration(status['broker_confirmed'])} ago"
    machine = [f"{status['rss_mb']:.0f} MB", f"{100 * status['cpu']:.0f} % of a processor"]
    if status["temperature"] is not None:
        machine.append(f"{status['temperature']:.0f} °C")
    machine += status["throttling"]
    if status["throttled_before"]:
        machine.append(f"since it was started: {', '.join(status['throttled_before'])}")
    last = "none" if event is None else " ".join(filter(None, (local(event["ts"]), event["event_type"], event.get("name"))))
    frames = {"seen": "frames_seen", "dropped": "frames_dropped", "not searched": "frames_skipped"}
    looked = ", ".join(f"{status[field]} {name}" for name, field in frames.items()) + f"; {status['faces_seen']} faces"
    if status["faces_masked"]:
        looked += f", {status['faces_masked']} left out by masks"
    if status["slowed"]:
        looked += f"; slowed to {status['fps_limit']:.1f} a second: {status['slowed']}"
    rows = {
        "daemon": f"{status['device']}, edgeface {status['version']}, up for {duration(status['uptime'])}",
        "camera": f"\n{'':<9}".join(
            f"{one['name']}: {one['state']}, {one['fps']:.1f} frames/s{_frames(one)}" for one in _each(status)
        ),
        "paused": status.get("pause") and _pause(**status["pause"]),
        "frames": looked,
        "broker": link,
        "people": f"{status['gallery_size']} enrolled, {status['templates']} templates"
        + ("" if status["gallery_state"] == "ok" else f"; gallery {status['gallery_state'].replace('_', '-')}"),
        "undo": _undoable(status.get("undoable", 0)),
        "home": ", ".join(status["home"]) or "nobody" if status.get("home") is not None else None,
        "matching": status.get("threshold") or None,
        "shared": status.get("sync")
        and "{topic}: {people} people, {waiting} waiting, {ignored} ignored".format_map(status["sync"]),
        "backups": status.get("backup") and _backups(**status["backup"]),
        "webhook": status.get("webhook") and "{waiting} waiting, {dropped} dropped".format_map(status["webhook"]),
        "events": ", ".join(f"{count} {kind}" for kind, count in status["events"].items()) or "none",
        "": f"{status['queue_length']} waiting, {status['events_dropped']} dropped, {status['events_withheld']} withheld",
        "liveness": ", ".join(f"{count} {kind}" for kind, count in status.get("liveness", {}).items()) or None,
        "last": last,
        "machine": ", ".join(machine),
        "page": f"{status['page']}, by edgeface web url" if status.get("page") else None,
    }
    return "\n".join(f"{name:<9}{value}" for name, value in rows.items() if value is not None)


def _each(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how each camera is; one alone is the whole."""
    alone = {name: status[field] for name, field in ALONE.items()}
    return list(status.get("cameras") or [alone])


def _pause(since: str, until: str | None, why: str) -> str:
    end = f"until {local(until)}" if until else "until edgeface resume"
    return f"since {local(since)}, {end}{why and f': {why}'}"


def _undoable(count: int) -> str | None:
    return f"{count} change{'' if count == 1 else 's'} of people, by edgeface people undo" if count else None


def _frames(status: dict[str, Any]) -> str:
    if not status["frame_size"]:
        return ""
    size = " of {} x {} pixels".format(*status["frame_size"])
    return f"{size}, {status['adjusted']}" if status["adjusted"] else size


def _backups(copies: int, latest: str | None, trouble: str | None) -> str:
    count = f"{copies}, the latest of {local(latest)}" if latest else "none yet"
    return f"{count}; in trouble" if trouble else count
