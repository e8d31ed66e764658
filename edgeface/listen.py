"""A subscriber: events of one device, or of all on the broker, as they come."""

from collections.abc import Callable, Iterator
from queue import Empty, Queue
from typing import Any

import msgspec
import paho.mqtt.client as paho

from edgeface import mqtt
from edgeface.config import Config
from edgeface.errors import BrokerError, ConfigError


def events(config: Config, *, every_device: bool = False, ready: Callable[[], None] = lambda: None) -> Iterator[dict[str, Any]]:
    """Yield the payload of each event; connects again by itself. ``ready`` is called when the subscription stands.

    Raises:
        ConfigError: no broker is configured.
        BrokerError: the broker cannot be reached at first, or refuses.
    """
    if not config.mqtt.host:
        raise ConfigError("no broker: set mqtt.host in the configuration, or use edgeface run, which prints events without one")
    topic = "edgeface/+/event" if every_device else f"{config.base}/event"
    inbox: Queue[dict[str, Any] | BrokerError] = Queue()
    client = mqtt.new_client(config.mqtt, "")

    def on_connect(_client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            inbox.put(BrokerError(f"the broker at {mqtt.address(config.mqtt)} refuses: {reason}"))
        else:
            client.subscribe(topic, qos=1)

    def on_subscribe(_client: paho.Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if reasons[0].is_failure:
            inbox.put(BrokerError(f"the broker does not let this user read {topic}: {reasons[0]}"))
        else:
            ready()

    def on_message(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            inbox.put(msgspec.json.decode(message.payload, type=dict))
        except msgspec.MsgspecError:
            return  # not ours

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    try:
        client.connect(config.mqtt.host, mqtt.port(config.mqtt), config.mqtt.keepalive)
    except (OSError, ValueError) as error:
        raise BrokerError(f"the broker at {mqtt.address(config.mqtt)} cannot be reached: {error}") from None
    client.loop_start()
    try:
        while True:
            try:
                item = inbox.get(timeout=0.5)
            except Empty:
                continue
            if isinstance(item, BrokerError):
                raise item
            yield item
    finally:
        client.disconnect()
        client.loop_stop()


def describe(event: dict[str, Any]) -> str:
    """An event in one line for people."""
    kind, time = event.get("event_type", "?"), str(event.get("ts", ""))[11:19]
    who = event.get("name") or {"unknown": "somebody unknown", "left": "somebody unknown"}.get(kind, "")
    parts = [f"{time}  {kind:<11}  {who}"]
    if "score" in event:
        parts.append(f"score {event['score']:.2f} of {event.get('threshold', 0):.2f}")
    if "seconds" in event:
        parts.append(f"after {event['seconds']:.0f} s")
    if event.get("reason"):
        parts.append(str(event["reason"]))
    return "  ".join(parts) + f"  [{event.get('device', '?')}/{event.get('camera', '?')}]"
