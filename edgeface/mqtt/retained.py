"""Removes the retained messages of this device from a broker."""

import re
import time
from collections.abc import Sequence, Set
from contextlib import suppress

from edgeface.config.schema import Config
from edgeface.errors import BrokerError, EdgefaceError
from edgeface.mqtt.dialogue import Dialogue
from edgeface.mqtt.home import home_topic, read_sights
from edgeface.mqtt.homeassistant import Announcement
from edgeface.mqtt.trackers import tracker_topic
from edgeface.wire.topics import TOPICS

GRACE = 1.0
"""Seconds for Home Assistant to remove the device before its other topics are cleared."""


def clear(config: Config, *, force: bool = False) -> list[str]:
    """Remove every retained message of this device, check that it is gone, and return the topics.

    Messages about who is home that have sights of this device go, too; other devices that run publish theirs again.

    Raises:
        BrokerError: as ``Dialogue``, or the broker still has a message.
        EdgefaceError: the daemon runs and would publish the messages again; not with ``force``.
    """
    announcement = Announcement(config).topic
    names = [re.sub("{.*?}", "+", topic.name) for topic in TOPICS if topic.retained]
    with Dialogue(config) as broker:
        kept = _retained(broker, [*(f"{config.base}/{name}" for name in names), announcement, f"{home_topic(config)}/+"])
        if kept.get(f"{config.base}/availability") == b"online" and not force:
            raise EdgefaceError(
                f"the daemon of {config.device.id} is running and would publish all of it again: stop it first, or use --force"
            )
        people = _seen_here(config, kept)
        kept |= _retained(broker, [tracker_topic(config, person_id) for person_id in people])
        announced = kept.keys() & {announcement, *(tracker_topic(config, person_id) for person_id in people)}
        if announced:
            _remove(broker, announced)
            time.sleep(GRACE)
        _remove(broker, kept.keys() - announced)
    return sorted(kept)


def _seen_here(config: Config, kept: dict[str, bytes]) -> list[str]:
    """Return the ids of the people with sights of this device; drop the messages about others from ``kept``."""
    topics = [topic for topic in kept if topic.startswith(f"{home_topic(config)}/")]
    mine = {topic for topic in topics if config.device.id in read_sights(kept[topic])}
    for topic in set(topics) - mine:
        del kept[topic]
    return [topic.rpartition("/")[2] for topic in mine]


def _retained(broker: Dialogue, topics: Sequence[str]) -> dict[str, bytes]:
    """Return the retained messages by topic; topics that this user may not read are left out."""
    for topic in topics:
        with suppress(BrokerError):
            broker.subscribe(topic)
    return {message.topic: bytes(message.payload) for message in broker.collect() if message.retain and message.payload}


def _remove(broker: Dialogue, topics: Set[str]) -> None:
    """Remove messages; the broker sends each removal back to us, as we subscribe to its topic."""
    for topic in topics:
        broker.publish(topic, b"", retain=True)
    gone = {message.topic for message in broker.collect() if not message.payload}
    kept = sorted(topics - gone)
    if kept:
        raise BrokerError(f"the broker at {broker.address} does not let this user remove {', '.join(kept)}: access control?")
