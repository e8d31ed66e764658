"""Announces people to Home Assistant, each as a device with a tracker that its person integration takes."""

import time
from collections.abc import Collection
from typing import Any

import msgspec

from edgeface.config import schema
from edgeface.mqtt.home import Whereabouts
from edgeface.mqtt.homeassistant import entity, slug
from edgeface.platform.translation import ENGLISH, Translation, translation

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
        self._settings, self._language = settings, translation(settings.device.language)
        self._due: dict[str, float] = {}
        self._sent: dict[str, float] = {}
        self._old: set[str] = set()  # whom somebody may have announced before

    def change(self, *people: str) -> None:
        now = time.monotonic()
        for person_id in people:
            self._due.setdefault(person_id, max(now + self.GATHER, self._sent.get(person_id, float("-inf")) + self.APART))

    def announce(self, people: Collection[str]) -> None:
        """Announce everybody anew: the connection, or Home Assistant, is new."""
        self._old = set(people)
        self.change(*people)

    def due(self, home: Whereabouts) -> list[tuple[str, bytes]]:
        """Return the messages for which it is time, by topic."""
        now, found = time.monotonic(), []
        for person_id in [person_id for person_id, at in self._due.items() if at <= now][: self.SENT_AT_ONCE]:
            del self._due[person_id]
            if person_id in home.people:
                self._sent[person_id] = now
                topics = home.availability(person_id)
                told = describe_person(f"{home.topic}/{person_id}", person_id, home.people[person_id], topics, self._language)
                found.append((tracker_topic(self._settings, person_id), msgspec.json.encode(told)))
        return found

    def remove(self, person_id: str) -> str | None:
        """Return the topic to empty; ``None`` if the person was not announced yet, as Home Assistant would complain."""
        pending, sent = self._due.pop(person_id, None), self._sent.pop(person_id, None)
        new = pending is not None and sent is None and person_id not in self._old
        return None if new else tracker_topic(self._settings, person_id)


def describe_person(
    topic: str, person_id: str, name: str, availability: list[str], language: Translation = ENGLISH
) -> dict[str, Any]:
    """Describe a person's device and its entities; ``availability`` are the topics of the devices that tell of them."""
    there = "if value_json is defined else"  # whoever is forgotten leaves an empty message
    place = f"(value_json.camera ~ ' (' ~ value_json.device ~ ')' if value_json.device else none) {there} ''"
    present = f"('ON' if value_json.present else 'OFF') {there} ''"
    attributes = "{'last_seen': value_json.last_seen, 'last_seen_by': value_json.device, 'camera': value_json.camera} | to_json"
    components = {
        # Home Assistant calls it stationary: it cannot tell where somebody is who is not here.
        "home": entity("device_tracker", None, topic, f"value_json.state {there} ''", source_type="router")
        | {"json_attributes_topic": topic, "json_attributes_template": f"{{{{ {attributes} {there} '{{}}' }}}}"},
        "present": entity("binary_sensor", "Present", topic, present, icon="mdi:account", device_class="occupancy"),
        "last_seen": entity("sensor", "Last seen", topic, f"value_json.last_seen {there} ''", device_class="timestamp"),
        "last_place": entity("sensor", "Last place", topic, place, icon="mdi:map-marker-account"),
    }
    for key, component in components.items():
        component["name"] = component["name"] and language.say(component["name"])
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
