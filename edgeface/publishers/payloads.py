"""What stands on the wire: version 1 of the contract."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from edgeface.events import KeptEvent
from edgeface.types import Decision, Event, Health, Observation

SCHEMA = 1
OPTIONAL = (
    "track_id",
    "person_id",
    "name",
    "score",
    "threshold",
    "margin",
    "probability",
    "votes",
    "quality",
    "seconds",
    "reason",
)
DIGITS = {"score": 4, "threshold": 4, "margin": 4, "probability": 3, "quality": 3, "seconds": 1}


def timestamp(wall: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_payload(event: Event, device: str, model: str) -> dict[str, Any]:
    """An event as a JSON object; fields that do not apply are left out."""
    payload: dict[str, Any] = {
        "schema": SCHEMA,
        "event_type": str(event.event_type),
        "event_id": event.event_id,
        "ts": timestamp(event.wall),
        "device": device,
        "camera": event.camera,
    }
    for name in OPTIONAL:
        value = getattr(event, name)
        if value is not None:
            payload[name] = round(value, DIGITS[name]) if name in DIGITS else value
    if event.box is not None and event.frame_size is not None:
        box = event.box
        payload["box"] = [round(box.left), round(box.top), round(box.width), round(box.height)]
        payload["frame_size"] = list(event.frame_size)
    if event.corrected is not None:
        payload["corrected"] = asdict(event.corrected)
    payload["model"] = model
    return payload


def kept_event_payload(event: KeptEvent, names: Mapping[str, str]) -> dict[str, Any]:
    """An event that waits for a verdict, without its embedding; ``names`` are those of the people by id."""
    return {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "ts": timestamp(event.wall),
        "camera": event.camera,
        "person_id": event.person_id,
        "name": names.get(event.person_id or ""),
        "score": round(event.score, DIGITS["score"]),
        "quality": round(event.quality, DIGITS["quality"]),
        "verdict": event.verdict,
    }


def presence_payload(people: Iterable[tuple[str, str]], unknown: int, wall: float) -> dict[str, Any]:
    """Who is in front of a camera: (id, name) of each person, and how many strangers."""
    listed = [{"id": person_id, "name": name} for person_id, name in people]
    return {"schema": SCHEMA, "ts": timestamp(wall), "people": listed, "unknown": unknown}


def health_payload(health: Health, wall: float, queue: int, events_dropped: int) -> dict[str, Any]:
    """The daemon's health; ``queue`` and ``events_dropped`` are the publisher's own."""
    return {
        "schema": SCHEMA,
        "ts": timestamp(wall),
        "version": health.version,
        "uptime": round(health.uptime, 1),
        "fps": round(health.fps, 2),
        "frames_seen": health.frames_seen,
        "frames_dropped": health.frames_dropped,
        "camera": health.camera,
        "camera_state": health.camera_state,
        "camera_reason": health.camera_reason,
        "model": health.model,
        "gallery_size": health.people,
        "templates": health.templates,
        "rss_mb": round(health.rss_mb, 1),
        "cpu": round(health.cpu, 3),
        "temperature": health.temperature,
        "throttled": health.throttled,
        "queue_length": queue,
        "events_dropped": events_dropped,
    }


def face_payload(seen: Observation) -> dict[str, Any]:
    """A face of a still picture; it has a name only if it was accepted."""
    box, match = seen.face.box, seen.match
    found: dict[str, Any] = {
        "box": [round(box.left), round(box.top), round(box.width), round(box.height)],
        "landmarks": [[round(float(x), 1), round(float(y), 1)] for x, y in seen.face.landmarks],
        "quality": round(seen.quality, 3),
    }
    if match is not None:
        known = match.decision is Decision.ACCEPT
        found |= {
            "decision": str(match.decision),
            "person_id": match.person_id if known else None,
            "name": match.name if known else None,
            "score": round(match.score, 4),
            "threshold": round(match.threshold, 4),
            "margin": round(match.margin, 4),
            "probability": round(match.probability, 3),
        }
    return found
