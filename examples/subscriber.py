"""Greets whoever is recognized: python subscriber.py [HOST [PORT]], with MQTT_USER and MQTT_PASSWORD if it wants them."""

import json
import os
import sys
from collections import deque

import paho.mqtt.client as mqtt

seen: deque[str] = deque(maxlen=100)


def greet(event: dict) -> None:
    """Do what you like; a door should want more than this."""
    print(f"Hello {event['name']}! (score {event['score']:.2f} of {event['threshold']:.2f})", flush=True)


def on_connect(client, _data, _flags, reason, _properties):
    """Subscribe here, so that it is done again after the connection was lost."""
    if reason.is_failure:
        sys.exit(f"the broker refuses: {reason}")
    client.subscribe("edgeface/+/event", qos=1)


def on_message(_client, _data, message):
    """An event can come twice, with the same id; types and fields that are not known are ignored."""
    event = json.loads(message.payload)
    if event["event_id"] in seen:
        return
    seen.append(event["event_id"])
    if event["event_type"] == "recognized":
        greet(event)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect, client.on_message = on_connect, on_message
if "MQTT_USER" in os.environ:
    client.username_pw_set(os.environ["MQTT_USER"], os.environ.get("MQTT_PASSWORD"))
client.connect(sys.argv[1] if len(sys.argv) > 1 else "localhost", int(sys.argv[2]) if len(sys.argv) > 2 else 1883)
client.loop_forever()
