"""What Home Assistant is told: one device with its entities, in one retained message of its MQTT discovery."""

import re
import time
import unicodedata
from collections.abc import Mapping
from typing import Any

import msgspec

from edgeface import __version__
from edgeface.config import schema
from edgeface.types import EventType


class Announcement:
    """When the device is announced, and as what.

    Home Assistant drops a second message about a device while it still works on the first, so that changes are gathered for a
    moment. A component that is gone has to be named once more with its platform alone; what was announced before is read back
    from the broker, so that this holds for people forgotten while the daemon was not running.
    """

    GATHER, APART = 0.5, 3.0
    """Seconds from a change to its announcement, and between two of them."""

    def __init__(self, settings: schema.Config) -> None:
        self._settings = settings
        prefix = settings.homeassistant.prefix.strip("/")
        self.topic, self.status = f"{prefix}/device/{settings.device.id}/config", f"{prefix}/status"
        self._known: dict[str, str] = {}
        self._due: float | None = None
        self._sent = float("-inf")

    def change(self) -> None:
        """There is something to announce."""
        if self._due is None:
            self._due = max(time.monotonic() + self.GATHER, self._sent + self.APART)

    def recall(self, payload: bytes) -> None:
        """Take note of what the broker holds: perhaps of an earlier daemon, with components that are gone now."""
        try:
            components = msgspec.json.decode(payload, type=_Announced).components
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return  # not ours
        found = {key: shape["platform"] for key, shape in components.items() if len(shape) > 1 and "platform" in shape}
        if found.keys() - self._known.keys():
            self._known = found | self._known
            self.change()

    def due(self, people: Mapping[str, str]) -> bytes | None:
        """The message, when it is time for it; ``people`` maps ids to names."""
        if self._due is None or time.monotonic() < self._due:
            return None
        self._due, self._sent = None, time.monotonic()
        message = describe(self._settings, people)
        gone = {key: {"platform": platform} for key, platform in self._known.items()}
        self._known |= {key: shape["platform"] for key, shape in message["components"].items()}
        return msgspec.json.encode({**message, "components": gone | message["components"]})


class _Announced(msgspec.Struct):
    components: dict[str, dict[str, Any]]


def describe(settings: schema.Config, people: Mapping[str, str]) -> dict[str, Any]:
    """The device, and an entity for everything that is worth one; ``people`` maps ids to names."""
    device, base = settings.device.id, settings.base
    event, presence, health = f"{base}/event", f"{base}/{settings.camera.name}/presence", f"{base}/health"
    components: dict[str, dict[str, Any]] = {
        "event": {
            "platform": "event",
            "name": "Face",
            "icon": "mdi:face-recognition",
            "state_topic": event,
            "event_types": [str(kind) for kind in EventType],
        },
        "unknown": {
            "platform": "binary_sensor",
            "name": "Unknown face",
            "device_class": "occupancy",
            "state_topic": presence,
            "value_template": "{{ 'ON' if value_json.unknown else 'OFF' }}",
        },
        "last_person": {
            "platform": "sensor",
            "name": "Last person",
            "icon": "mdi:account-clock",
            "state_topic": presence,
            "value_template": "{{ value_json.last.name if value_json.last else none }}",
        },
        "fps": {
            "platform": "sensor",
            "name": "Frame rate",
            "icon": "mdi:speedometer",
            "entity_category": "diagnostic",
            "state_topic": health,
            "value_template": "{{ value_json.fps }}",
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "suggested_display_precision": 1,
        },
        "temperature": {
            "platform": "sensor",
            "name": "Temperature",
            "device_class": "temperature",
            "entity_category": "diagnostic",
            "state_topic": health,
            "value_template": "{{ value_json.temperature }}",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
        },
        "camera": {
            "platform": "sensor",
            "name": "Camera",
            "icon": "mdi:cctv",
            "device_class": "enum",
            "options": ["starting", "ok", "lost"],
            "entity_category": "diagnostic",
            "state_topic": health,
            "value_template": "{{ value_json.camera_state }}",
        },
    }
    if settings.mqtt.images:
        components["image"] = {
            "platform": "image",
            "name": "Latest face",
            "image_topic": f"{base}/image/{settings.camera.name}",
            "content_type": "image/jpeg",
        }
    for person_id, name in people.items():
        components[person_id] = {
            "platform": "binary_sensor",
            "name": name,
            "icon": "mdi:account",
            "device_class": "occupancy",
            # Not from the person's own topic: this one is retained, so that it is right after a restart of Home Assistant.
            "state_topic": presence,
            "value_template": f"{{{{ 'ON' if value_json.people | selectattr('id', 'eq', '{person_id}') | list else 'OFF' }}}}",
        }
    for key, component in components.items():
        component["unique_id"] = f"edgeface_{device}_{key}"
        # Where an id is taken, Home Assistant numbers it.
        entity = _slug(component["name"]) or key
        component["default_entity_id"] = f"{component['platform']}.{_slug(f'edgeface {device}')}_{entity}"
    return {
        "device": {
            "identifiers": [f"edgeface_{device}"],
            "name": f"edgeface {device}",
            "manufacturer": "edgeface",
            "model": "face recognition",
            "sw_version": __version__,
        },
        "origin": {"name": "edgeface", "sw_version": __version__},
        "availability_topic": f"{base}/availability",
        "qos": 1,
        "components": components,
    }


def _slug(name: str) -> str:
    """What is left of a name in an entity id; nothing of Chinese, say."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "_", plain).strip("_")
