"""What stands on the wire: version 1 of the contract. ``edgeface mqtt docs`` makes reference and schemas of these types."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
DIGITS = {"score": 4, "threshold": 4, "margin": 4, "probability": 3, "quality": 3, "seconds": 1}


def timestamp(wall: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_payload(event: Event, device: str, model: str) -> EventPayload:
    """An event with the fields of its type."""
    shape = EVENTS[event.event_type]
    values = {name: _short(name, getattr(event, name, None)) for name in shape.__struct_fields__}
    given = {name: value for name, value in values.items() if value is not None}
    return shape(**given, schema=SCHEMA, ts=timestamp(event.wall), device=device, model=model)


def _short(name: str, value: Any) -> Any:
    if isinstance(value, Box):
        return round(value.left), round(value.top), round(value.width), round(value.height)
    if isinstance(value, Correction):
        return Corrected(value.event_id, value.person_id, value.name)
    return round(value, DIGITS[name]) if value and name in DIGITS else value


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


def presence_payload(
    people: Iterable[tuple[str, str]], unknown: int, last: tuple[str, str, float] | None, wall: float
) -> PresencePayload:
    """Who is in front of a camera: (id, name) of each person, how many strangers, and (id, name, when) of who came last."""
    latest = LastPerson(last[0], last[1], timestamp(last[2])) if last else None
    present = [NamedPerson(*person) for person in people]
    return PresencePayload(schema=SCHEMA, ts=timestamp(wall), people=present, unknown=unknown, last=latest)


def health_payload(health: Health, wall: float, queue: int, events_dropped: int) -> HealthPayload:
    """The daemon's health; ``queue`` and ``events_dropped`` are the publisher's own."""
    return HealthPayload(
        schema=SCHEMA,
        ts=timestamp(wall),
        version=health.version,
        uptime=round(health.uptime, 1),
        fps=round(health.fps, 2),
        frames_seen=health.frames_seen,
        frames_dropped=health.frames_dropped,
        camera=health.camera,
        camera_state=health.camera_state,
        camera_reason=health.camera_reason,
        model=health.model,
        gallery_size=health.people,
        templates=health.templates,
        rss_mb=round(health.rss_mb, 1),
        cpu=round(health.cpu, 3),
        temperature=health.temperature,
        throttled=health.throttled,
        queue_length=queue,
        events_dropped=events_dropped,
    )


def face_payload(seen: Observation) -> dict[str, Any]:
    """A face of a still picture; it has a name only if it was accepted."""
    match = seen.match
    found: dict[str, Any] = {
        "box": _pixels(seen.face.box),
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
