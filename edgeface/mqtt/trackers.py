"""Announces people to Home Assistant, each as a device with a tracker that its person integration takes."""

import time
from typing import Any

import msgspec

from edgeface.config import schema
from edgeface.mqtt.home import Whereabouts
from edgeface.mqtt.homeassistant import entity, slug

NODE = "edgeface"
"""The level of the discovery topics of people, which all devices may write."""


def tracker_topic(settings: schema.Config, person_id: str) -> str:
    return f"{settings.homeassistant.prefix.strip('/')}/device/{NODE}/{person_id}/config"


class Trackers:
    """Decides when to announce a person; every device announces the same, so that it does not matter which does it last."""

    GATHER, APART = 0.5, 3.0
    """Seconds from a change to its announcement, and between two announcements of a person."""
    SENT_AT_ONCE = 20

    def __init__(self, settings: schema.Config) -> None:
        self._settings = settings
        self._due: dict[str, float] = {}
        self._sent: dict[str, float] = {}

    def change(self, *people: str) -> None:
        now = time.monotonic()
        for person_id in people:
            self._due.setdefault(person_id, max(now + self.GATHER, self._sent.get(person_id, float("-inf")) + self.APART))

    def due(self, home: Whereabouts) -> list[tuple[str, bytes]]:
        """Return the messages for which it is time, by topic."""
        now, found = time.monotonic(), []
        for person_id in [person_id for person_id, at in self._due.items() if at <= now][: self.SENT_AT_ONCE]:
            del self._due[person_id]
            if person_id in home.people:
                self._sent[person_id] = now
                topics = home.availability(person_id)
                told = describe_person(f"{home.topic}/{person_id}", person_id, home.people[person_id], topics)
                found.append((tracker_topic(self._settings, person_id), msgspec.json.encode(told)))
        return found


def describe_person(topic: str, person_id: str, name: str, availability: list[str]) -> dict[str, Any]:
    """Describe a person's device and its entities; ``availability`` are the topics of the devices that tell of them."""
    place = "value_json.camera ~ ' (' ~ value_json.device ~ ')' if value_json.device else none"
    present = "'ON' if value_json.present else 'OFF'"
    attributes = "{'last_seen': value_json.last_seen, 'last_seen_by': value_json.device, 'camera': value_json.camera}"
    components = {
        # Home Assistant calls it stationary: it cannot tell where somebody is who is not here.
        "home": entity("device_tracker", None, topic, "value_json.state", source_type="router", json_attributes_topic=topic)
        | {"json_attributes_template": f"{{{{ {attributes} | to_json }}}}"},
        "present": entity("binary_sensor", "Present", topic, present, icon="mdi:account", device_class="occupancy"),
        "last_seen": entity("sensor", "Last seen", topic, "value_json.last_seen", device_class="timestamp"),
        "last_place": entity("sensor", "Last place", topic, place, icon="mdi:map-marker-account"),
    }
    for key, component in components.items():
        component["unique_id"] = f"edgeface_{person_id}_{key}"
        about = "" if key == "home" else f"_{key}"
        component["default_entity_id"] = f"{component['platform']}.edgeface_{slug(name) or person_id}{about}"
    return {
        "device": {"identifiers": [f"edgeface_{person_id}"], "name": name, "manufacturer": "edgeface", "model": "person"},
        "origin": {"name": "edgeface"},
        "availability": [{"topic": one} for one in availability],
        "availability_mode": "any",
        "qos": 1,
        "components": components,
    }
