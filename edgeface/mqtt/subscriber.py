"""Subscribes to the events of one device, or of all on a broker, and describes them."""

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
    name: str


class _Event(Struct, frozen=True):
    """The fields of an event that ``describe`` needs."""

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
    """Yield the payload of each event, connecting again when needed; ``tell`` and the errors are those of ``Dialogue``."""
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
                continue  # not an event of edgeface
            yield event


def describe(event: dict[str, Any]) -> str:
    """Describe an event in one line, in local time, without the control characters that a terminal would obey."""
    read = msgspec.convert(event, _Event)
    nobody = "somebody unknown" if read.event_type in ("unknown", "unsure", "left") else ""
    parts = [f"{read.ts.astimezone():%H:%M:%S}  {read.event_type:<11}  {read.name or nobody}"]
    if read.score is not None:
        parts.append(f"score {read.score:.2f} of {read.threshold:.2f}")
    if read.probability is not None:
        parts.append(f"{min(99.0, 100 * read.probability):.0f} % likely")
    if read.seconds is not None:
        parts.append(f"after {read.seconds:.0f} s")
    if read.reason:
        parts.append(read.reason)
    if read.corrected:
        parts.append(f"it was not {read.corrected.name}")
    line = "  ".join([*parts, f"[{read.device}/{read.camera}]"])
    return "".join(one if one.isprintable() or one in JOINERS else "\N{REPLACEMENT CHARACTER}" for one in line)
