"""What ``edgeface status`` tells: the daemon's health, what is wrong with it, and both for people."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from edgeface.config.schema import Config
from edgeface.gallery.sqlite import FULL, lacks_room
from edgeface.health import Health, health_payload
from edgeface.platform.text import duration
from edgeface.web.token import address
from edgeface.wire.events import event_payload

HUNG = 10.0
"""Seconds without a beat after which the loop counts as hung."""


def report(
    config: Config, health: Health, refused: str | None, unserved: Mapping[str, str], threshold: str = ""
) -> dict[str, Any]:
    """A daemon's health as a JSON object.

    ``refused`` says why the settings read last were not taken; ``unserved`` why metrics or page, though wanted, are not served;
    ``threshold`` that the gallery needs a stricter threshold than was measured.
    """
    event, link = health.last_event, health.link
    told: dict[str, Any] = msgspec.to_builtins(health_payload(health, time.time())) | {
        "device": config.device.id,
        "beat_age": round(max(0.0, time.monotonic() - health.time), 1),
        "faces_seen": health.faces_seen,
        "events": dict(health.events),
        "last_event": event and msgspec.to_builtins(event_payload(event, config.device.id, health.model)),
        "broker": {"state": link.state, "address": link.address, "reason": link.reason},
        "settings_refused": refused,
        "metrics_unserved": unserved.get("metrics"),
        "page": address(config.web) if config.web.enabled and "page" not in unserved else None,
        "page_unserved": unserved.get("page"),
        "threshold": threshold,
        "disk_full": config.gallery_path.exists() and lacks_room(config.gallery_path),
    }
    return told | {"running": True, "troubles": troubles(told)}


def absent(reason: str) -> dict[str, Any]:
    """The same where no daemon answers."""
    return {"running": False, "troubles": [reason]}


def troubles(told: dict[str, Any]) -> list[str]:
    """What is wrong, a line each, the worst first."""
    found = []
    if told["beat_age"] > HUNG:
        found.append(f"the loop hangs: no beat for {told['beat_age']:.0f} s")
    if told["camera_state"] == "lost":
        found.append(f"camera {told['camera']} is lost: {told['camera_reason']}")
    if told["broker"]["state"] == "down":
        found.append(told["broker"]["reason"] or f"no broker at {told['broker']['address']}")
    elif told["broker"]["reason"]:
        found.append(told["broker"]["reason"])
    if told["gallery_state"] == "unreadable":
        found.append(f"nobody is recognised, for the gallery cannot be read: {told['gallery_reason']}")
    elif told["gallery_state"] == "stale":
        found.append(f"the gallery cannot be read, people are known as they were before: {told['gallery_reason']}")
    elif told["gallery_state"] in ("damaged", "read_only"):
        found.append(f"gallery: {told['gallery_reason']}")
    if told["disk_full"] or told["gallery_state"] == "full":
        found.append(FULL)
    if told["events_unkept"]:
        found.append(f"events are not kept: {told['events_unkept']}")
    if "under-voltage" in told["throttling"]:
        found.append("under-voltage: the power supply, or its cable, is too weak")
    if told.get("sync", {}).get("trouble"):
        found.append(told["sync"]["trouble"])
    if told.get("backup", {}).get("trouble"):
        found.append(told["backup"]["trouble"])
    if told["settings_refused"]:
        found.append(f"the settings read last were not taken: {told['settings_refused']}")
    if told["metrics_unserved"]:
        found.append(told["metrics_unserved"])
    if told.get("page_unserved"):
        found.append(told["page_unserved"])
    return found


def describe(told: dict[str, Any]) -> str:
    """A screen for people."""
    broker, event = told["broker"], told["last_event"]
    link = "none: events are printed" if broker["state"] == "none" else f"{broker['state']}, {broker['address']}"
    if told["broker_confirmed"] is not None:
        link += f", last acknowledgement {duration(told['broker_confirmed'])} ago"
    machine = [f"{told['rss_mb']:.0f} MB", f"{100 * told['cpu']:.0f} % of a processor"]
    if told["temperature"] is not None:
        machine.append(f"{told['temperature']:.0f} °C")
    machine += told["throttling"]
    if told["throttled_before"]:
        machine.append(f"since it was started: {', '.join(told['throttled_before'])}")
    last = "none" if event is None else " ".join(filter(None, (event["ts"], event["event_type"], event.get("name"))))
    frames = {"seen": "frames_seen", "dropped": "frames_dropped", "not searched": "frames_skipped"}
    looked = ", ".join(f"{told[field]} {name}" for name, field in frames.items()) + f"; {told['faces_seen']} faces"
    if told["slowed"]:
        looked += f"; slowed to {told['fps_limit']:.1f} a second: {told['slowed']}"
    rows = {
        "daemon": f"{told['device']}, edgeface {told['version']}, up for {duration(told['uptime'])}",
        "camera": f"{told['camera']}: {told['camera_state']}, {told['fps']:.1f} frames/s",
        "frames": looked,
        "broker": link,
        "people": f"{told['gallery_size']} enrolled, {told['templates']} templates"
        + ("" if told["gallery_state"] == "ok" else f"; gallery {told['gallery_state'].replace('_', '-')}"),
        "matching": told.get("threshold") or None,
        "shared": told.get("sync")
        and "{topic}: {people} people, {waiting} waiting, {ignored} ignored".format_map(told["sync"]),
        "backups": told.get("backup") and _backups(**told["backup"]),
        "events": ", ".join(f"{count} {kind}" for kind, count in told["events"].items()) or "none",
        "": f"{told['queue_length']} waiting, {told['events_dropped']} dropped",
        "last": last,
        "machine": ", ".join(machine),
    }
    if told.get("page"):
        rows["page"] = f"{told['page']}, by edgeface web url"
    return "\n".join(f"{name:<9}{value}" for name, value in rows.items() if value is not None)


def _backups(copies: int, latest: str | None, trouble: str | None) -> str:
    told = f"{copies}, the latest of {latest}" if latest else "none yet"
    return f"{told}; in trouble" if trouble else told
