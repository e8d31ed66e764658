"""Names the people of Frigate's events: python frigate.py FRIGATE_URL [HOST [PORT]].

edgeface and Frigate look at the same camera and give it the same name, and both use this broker, which may want
MQTT_USER and MQTT_PASSWORD. FRIGATE_URL is the internal address without a login, such as http://frigate.local:5000.
"""

import json
import os
import sys
import time
import urllib.request
from collections import deque

import paho.mqtt.client as mqtt

AGE = 10
"""Seconds for which a name waits for Frigate's event, which may come later, and in which one that ended may still be named."""

frigate = sys.argv[1].rstrip("/")
people: dict[str, dict] = {}  # Frigate's events of a person, by id
names: deque[tuple[float, dict]] = deque(maxlen=100)  # edgeface's events that wait for one of these
seen: deque[str] = deque(maxlen=100)


def ask(path: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{frigate}/api/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def shows(person: dict, event: dict) -> bool:
    """Tell whether the middle of the face lies in the person's box, which is in pixels of Frigate's own size of the picture."""
    left, top, width, height = event["box"]
    x, y = (left + width / 2) / event["frame_size"][0], (top + height / 2) / event["frame_size"][1]
    size = cameras[person["camera"]]["detect"]
    x1, y1, x2, y2 = person["box"]
    return person["camera"] == event["camera"] and x1 <= x * size["width"] <= x2 and y1 <= y * size["height"] <= y2


def name() -> None:
    """Name each person whom exactly one of Frigate's events can be."""
    now = time.monotonic()
    for key in [key for key, person in people.items() if now - person["told"] > AGE and person["end_time"]]:
        del people[key]
    for one in list(names):
        at, event = one
        found = [person["id"] for person in people.values() if shows(person, event)]
        if len(found) != 1 and now - at < AGE:
            continue
        names.remove(one)
        if len(found) == 1:
            try:
                ask(f"events/{found[0]}/sub_label", {"subLabel": event["name"][:100]})
                print(f"{found[0]} is {event['name']}", flush=True)
            except (OSError, ValueError) as error:
                print(f"Frigate does not take a name: {error}", flush=True)


def on_connect(client, _data, _flags, reason, _properties):
    if reason.is_failure:
        sys.exit(f"the broker refuses: {reason}")
    client.subscribe([("edgeface/+/event", 1), ("frigate/events", 1)])


def on_message(_client, _data, message):
    told = json.loads(message.payload)
    if message.topic == "frigate/events":
        person = told["after"]
        if person["label"] == "person" and person["camera"] in cameras:
            people[person["id"]] = person | {"told": time.monotonic()}
    elif told["event_type"] == "recognized" and told["event_id"] not in seen:
        seen.append(told["event_id"])
        names.append((time.monotonic(), told))
    name()


cameras = ask("config")["cameras"]
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect, client.on_message = on_connect, on_message
if "MQTT_USER" in os.environ:
    client.username_pw_set(os.environ["MQTT_USER"], os.environ.get("MQTT_PASSWORD"))
client.connect(sys.argv[2] if len(sys.argv) > 2 else "localhost", int(sys.argv[3]) if len(sys.argv) > 3 else 1883)
client.loop_forever()
