"""Announces the device and its entities to Home Assistant, in one retained message of its MQTT discovery."""

import re
import time
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgeface import __version__
from edgeface.config import schema
from edgeface.platform.translation import translation
from edgeface.types import EventType

STATES = {"device_class": "enum", "options": ["starting", "ok", "lost", "paused"]}


class Announcement:
    """Decides when to announce the device, and with which components.

    Home Assistant drops a second message about a device while it works on the first, so changes are gathered for a moment. A
    component that is gone must be named once more with its platform alone; the last announcement is read back from the broker,
    so this includes people who were forgotten while the daemon was not running.
    """

    GATHER, APART = 0.5, 3.0
    """Seconds from a change to its announcement, and between two announcements."""

    def __init__(self, settings: schema.Config) -> None:
        self._settings, self.cameras = settings, [camera.name for camera in settings.every_camera]
        prefix = settings.homeassistant.prefix.strip("/")
        self.topic, self.status = f"{prefix}/device/{settings.device.id}/config", f"{prefix}/status"
        self._known: dict[str, str] = {}
        self._due: float | None = None
        self._sent = float("-inf")

    def change(self) -> None:
        if self._due is None:
            self._due = max(time.monotonic() + self.GATHER, self._sent + self.APART)

    def recall(self, payload: bytes) -> None:
        """Take the announcement that the broker retains, which may name components that are gone now."""
        try:
            components = msgspec.json.decode(payload, type=_Announced).components
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return  # not an announcement of edgeface
        found = {key: shape["platform"] for key, shape in components.items() if len(shape) > 1 and "platform" in shape}
        if found.keys() - self._known.keys():
            self._known = found | self._known
            self.change()

    def due(self, people: Mapping[str, str]) -> bytes | None:
        """Return the message if it is time for it; ``people`` maps ids to names."""
        if self._due is None or time.monotonic() < self._due:
            return None
        self._due, self._sent = None, time.monotonic()
        message = describe(self._settings, people, self.cameras)
        gone = {key: {"platform": platform} for key, platform in self._known.items()}
        self._known |= {key: shape["platform"] for key, shape in message["components"].items()}
        return msgspec.json.encode({**message, "components": gone | message["components"]})


class _Announced(msgspec.Struct):
    components: dict[str, dict[str, Any]]


def describe(settings: schema.Config, people: Mapping[str, str], cameras: Sequence[str] = ()) -> dict[str, Any]:
    """Describe the device and its entities; ``people`` maps ids to names. Without ``cameras``, it has that of the settings."""
    first, *others = cameras or [settings.camera.name]
    device, presence = settings.device.id, f"{settings.base}/presence/all" if others else f"{settings.base}/{first}/presence"
    components, say = _entities(settings, presence) | _of_camera(settings, first), translation(settings.device.language).say
    suffixes: dict[str, str] = {}
    for camera in (first, *others) if others else ():
        own = {key if camera == first else f"{key}_{camera}": one for key, one in _of_camera(settings, camera).items()}
        own[f"state_{camera}"] = _state(settings, camera)
        components, suffixes = components | own, suffixes | dict.fromkeys(own, f" {camera}")
    for person_id, name in people.items():
        # Not from the person's own topic: this one is retained, so that it is right after a restart of Home Assistant.
        present = f"'ON' if value_json.people | selectattr('id', 'eq', '{person_id}') | list else 'OFF'"
        components[person_id] = entity("binary_sensor", name, presence, present, icon="mdi:account", device_class="occupancy")
    for key, component in components.items():
        component["unique_id"] = f"edgeface_{device}_{key}"
        # Where an id is taken, Home Assistant numbers it.
        name, suffix = component["name"], suffixes.get(key, "")
        about = slug(name + suffix) or key  # of the English name, in whatever language the name is shown
        component["default_entity_id"] = f"{component['platform']}.{slug(f'edgeface {device}')}_{about}"
        component["name"] = (name if key in people else say(name)) + suffix
    return {
        "device": {
            "identifiers": [f"edgeface_{device}"],
            "name": f"edgeface {device}",
            "manufacturer": "edgeface",
            "model": "face recognition",
            "sw_version": __version__,
        }
        | ({"suggested_area": settings.homeassistant.area} if settings.homeassistant.area else {})
        # An address of this machine alone would lead elsewhere in Home Assistant's browser.
        | ({"configuration_url": settings.web.url} if settings.web.enabled and settings.web.hosts else {}),
        "origin": {"name": "edgeface", "sw_version": __version__},
        "availability_topic": f"{settings.base}/availability",
        "qos": 1,
        "components": components,
    }


def _entities(settings: schema.Config, presence: str) -> dict[str, dict[str, Any]]:
    base, health = settings.base, f"{settings.base}/health"
    silent = set() if settings.events.publish_unsure else {EventType.UNSURE}
    silent |= {EventType.PRESENTATION_ATTACK} if settings.liveness.attacks == "off" else set()
    kinds = [str(kind) for kind in EventType if kind not in silent]
    last = "value_json.last.name if value_json.last else none"
    rate = {"unit_of_measurement": "fps", "state_class": "measurement", "suggested_display_precision": 1}
    count = {"state_class": "measurement"}
    heat = {"device_class": "temperature", "unit_of_measurement": "°C", "state_class": "measurement"}
    entities = {
        "event": entity("event", "Face", f"{base}/event", icon="mdi:face-recognition", event_types=kinds),
        "last_person": entity("sensor", "Last person", presence, last, icon="mdi:account-clock"),
        "fps": _diagnostic(health, "fps", "Frame rate", icon="mdi:speedometer", **rate),
        "temperature": _diagnostic(health, "temperature", "Temperature", **heat),
        "camera": _diagnostic(health, "camera_state", "Camera", icon="mdi:cctv", **STATES),
        "gallery": _diagnostic(health, "gallery_size", "People enrolled", icon="mdi:account-group", **count),
        "dropped": _diagnostic(health, "events_dropped", "Events dropped", icon="mdi:email-alert", **count),
    }
    if settings.liveness.mode != "off":
        shown = "(value_json.liveness.screen | default(0)) + (value_json.liveness.print | default(0))"
        attacks = {"icon": "mdi:cellphone-off", "state_class": "total_increasing", "entity_category": "diagnostic"}
        entities["attacks"] = entity("sensor", "Presentation attacks", health, shown, **attacks)
    if "pause" in settings.commands.allow:
        paused, ask = "'ON' if value_json.camera_state == 'paused' else 'OFF'", '{"id": "homeassistant", "paused": '
        switch = {"command_topic": f"{base}/cmd/pause", "payload_on": f"{ask}true}}", "payload_off": f"{ask}false}}"}
        states = {"state_on": "ON", "state_off": "OFF"}
        entities["pause"] = entity("switch", "Pause", health, paused, icon="mdi:eye-off", **switch, **states)
    return entities


def _of_camera(settings: schema.Config, camera: str) -> dict[str, dict[str, Any]]:
    """Describe the entities that each camera has."""
    base, unknown = settings.base, "'ON' if value_json.unknown else 'OFF'"
    presence, info = f"{base}/{camera}/presence", f"{base}/image/{camera}/info"
    entities = {"unknown": entity("binary_sensor", "Unknown face", presence, unknown, device_class="occupancy")}
    if settings.mqtt.images:
        entities["image"] = _picture("Latest face", f"{base}/image/{camera}", info)
    if settings.mqtt.frames:
        entities["frame"] = _picture("Latest frame", f"{base}/frame/{camera}", info)
    return entities


def _state(settings: schema.Config, camera: str) -> dict[str, Any]:
    """Describe the state of one of several cameras."""
    state = f"(value_json.cameras | selectattr('name', 'eq', '{camera}') | first).state"
    topic, more = f"{settings.base}/health", {"icon": "mdi:cctv", "entity_category": "diagnostic"}
    return entity("sensor", "Camera", topic, state, **more, **STATES)


def _picture(name: str, topic: str, info: str) -> dict[str, Any]:
    """Describe a picture whose attribute ``event_id`` names its event."""
    picture = {"platform": "image", "name": name, "image_topic": topic, "content_type": "image/jpeg"}
    return picture | {"json_attributes_topic": info}


def _diagnostic(health: str, field: str, name: str, **more: Any) -> dict[str, Any]:
    return entity("sensor", name, health, f"value_json.{field}", entity_category="diagnostic", **more)


def entity(platform: str, name: str | None, topic: str, value: str = "", **more: Any) -> dict[str, Any]:
    """Describe an entity whose state is the template ``value`` of a topic's payload, or the payload."""
    template = {"value_template": f"{{{{ {value} }}}}"} if value else {}
    return {"platform": platform, "name": name, "state_topic": topic} | template | more


def slug(name: str) -> str:
    """Return the ASCII letters and digits of a name for an entity id; none for a Chinese name, for instance."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "_", plain).strip("_")
