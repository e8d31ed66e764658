"""Writes an event as the body and headers of an HTTP request: as signed JSON, or for ntfy."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edgeface import __version__
from edgeface.config import schema
from edgeface.platform.translation import ENGLISH, Translation
from edgeface.types import EventType
from edgeface.wire.events import Event, EventPayload
from edgeface.wire.messages import said

SIGNATURE = "X-Edgeface-Signature"


@dataclass(frozen=True, slots=True)
class Message:
    """An event, its payload, and the JPEG of its face, if there is one and the settings want it; ``language`` is for words."""

    event: Event
    payload: EventPayload
    picture: bytes | None
    language: Translation = ENGLISH


def as_json(settings: schema.WebhookSettings, secret: str, message: Message) -> tuple[dict[str, str], bytes]:
    """Return headers and body: the payload of MQTT, with the picture as ``image`` in base64, signed if there is a secret."""
    fields = msgspec.to_builtins(message.payload)
    if message.picture:
        fields["image"] = base64.b64encode(message.picture).decode()
    body = msgspec.json.encode(fields)
    headers = _agent() | {"Content-Type": "application/json"}
    if secret:
        headers[SIGNATURE] = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return headers, body


def for_ntfy(settings: schema.WebhookSettings, secret: str, message: Message) -> tuple[dict[str, str], bytes]:
    """Return headers and body as ntfy takes them: the text or the picture, with the text in a header."""
    event, text = message.event, _said(message.event, message.language)
    headers = _agent() | {
        "Title": _header(message.payload.device),
        "Priority": "high" if event.event_type in (EventType.UNKNOWN, EventType.CAMERA_LOST) else "default",
    }
    headers |= {"Click": settings.click} if settings.click else {}
    headers |= {"Authorization": f"Bearer {secret}"} if secret else {}
    if message.picture is None:
        return headers, text.encode()
    return headers | {"Message": _header(text), "Filename": f"{event.event_id}.jpg"}, message.picture


Format = Callable[[schema.WebhookSettings, str, Message], tuple[dict[str, str], bytes]]
FORMATS: dict[str, Format] = {"json": as_json, "ntfy": for_ntfy}


def _agent() -> dict[str, str]:
    return {"User-Agent": f"edgeface/{__version__}"}


SAID = {
    EventType.RECOGNIZED: "{name} is there",
    EventType.UNKNOWN: "Somebody unknown is there",
    EventType.UNSURE: "Somebody was there, but it is not sure who",
    EventType.LEFT: "{name} has left",
    EventType.PRESENTATION_ATTACK: "A picture shows a face to the camera {camera}",
    EventType.CAMERA_LOST: "The camera {camera} is lost: {reason}",
    EventType.CAMERA_BACK: "The camera {camera} is back",
}
"""What a notification says of an event."""
AGAIN, IMITATED = "Somebody unknown is there, visit {visits}", "A picture shows {name} to the camera {camera}"
"""What it says of a stranger who was there before, and of an attack that tells whom it imitates."""


def _said(event: Event, language: Translation) -> str:
    text = SAID[event.event_type]
    if event.visits and event.visits > 1:
        text = AGAIN
    elif event.event_type is EventType.PRESENTATION_ATTACK and event.name:
        text = IMITATED
    return language.say(
        text,
        name=event.name or language.say("Somebody unknown"),
        visits=language.number(event.visits or 1, 0),
        camera=event.camera,
        reason=said(event.reason, language),
    )


def _header(text: str) -> str:
    """Return a text for a header: as RFC 2047 writes it, unless it is printable ASCII."""
    plain = text.isascii() and text.isprintable() and not text.startswith("=?")
    return text if plain else f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="
