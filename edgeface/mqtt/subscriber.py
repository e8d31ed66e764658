"""Subscribes to the events of one device, or of all on a broker."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from edgeface.config.schema import Config
from edgeface.errors import ConfigError
from edgeface.mqtt.dialogue import Dialogue
from edgeface.wire.description import Described


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
                msgspec.convert(event, Described).ts.astimezone()
            except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
                continue  # not an event of edgeface
            yield event
