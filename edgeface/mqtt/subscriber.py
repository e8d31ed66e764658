"""A subscriber: events of one device, or of all on the broker, as they come."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from edgeface.config.schema import Config
from edgeface.errors import ConfigError
from edgeface.gallery.names import JOINERS
from edgeface.mqtt.dialogue import Dialogue


class _Corrected(Struct, frozen=True):
    """The name that was wrong."""

    name: str


class _Event(Struct, frozen=True):
    """What ``describe`` needs of an event."""

    event_type: str
    ts: datetime
    device: str
    camera: str
    name: str | None = None
    score: float | None = None
    threshold: float = 0.0
    probability: float | None = None
    seconds: float | None = None
    reason: str | None = None
    corrected: _Corrected | None = None


def events(
    config: Config, *, every_device: bool = False, tell: Callable[[str], None] = lambda _: None
) -> Iterator[dict[str, Any]]:
    """Yield the payload of each event; connects again by itself. ``tell`` is given a line when it listens, and on every change.

    Raises:
        ConfigError: no broker is configured.
        BrokerError: the broker cannot be reached at first, or refuses.
    """
    if not config.mqtt.host:
        raise ConfigError("no broker: set mqtt.host in the configuration, or use edgeface run, which prints events without one")
    topic = "edgeface/+/event" if every_device else f"{config.base}/event"
    with Dialogue(config, reconnect=True, tell=tell) as broker:
        broker.subscribe(topic)
        tell("listening")
        for message in broker.messages():
            try:
                event = msgspec.json.decode(message.payload, type=dict)
                msgspec.convert(event, _Event).ts.astimezone()
            except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
                continue  # not ours
            yield event


def describe(event: dict[str, Any]) -> str:
    """An event in one line for people, at this machine's time, without what a terminal would obey."""
    told = msgspec.convert(event, _Event)
    nobody = "somebody unknown" if told.event_type in ("unknown", "left") else ""
    parts = [f"{told.ts.astimezone():%H:%M:%S}  {told.event_type:<11}  {told.name or nobody}"]
    if told.score is not None:
        parts.append(f"score {told.score:.2f} of {told.threshold:.2f}")
    if told.probability is not None:
        parts.append(f"{min(99.0, 100 * told.probability):.0f} % likely")
    if told.seconds is not None:
        parts.append(f"after {told.seconds:.0f} s")
    if told.reason:
        parts.append(told.reason)
    if told.corrected:
        parts.append(f"it was not {told.corrected.name}")
    line = "  ".join([*parts, f"[{told.device}/{told.camera}]"])
    return "".join(one if one.isprintable() or one in JOINERS else "\N{REPLACEMENT CHARACTER}" for one in line)
