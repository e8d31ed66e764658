"""Opens a lock for a PIN and the face that belongs to it: python door_lock.py PUBLIC_KEY PINS [HOST [PORT]].

PUBLIC_KEY is what ``edgeface mqtt grant-key`` prints. Each line of the file PINS has a PIN and a person's id. A PIN is read
from standard input, as from a keypad; MQTT_USER and MQTT_PASSWORD are for the broker. It needs paho-mqtt and pycryptodomex.
"""

import base64
import json
import os
import secrets
import sys
import time
from pathlib import Path
from queue import Empty, Queue

import paho.mqtt.client as mqtt
from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import eddsa

DEVICE, LOCK = "door", "front-door"
PATIENCE = 3.0
"""Seconds that the device may take to answer."""

key = eddsa.new(ECC.import_key(Path(sys.argv[1]).read_text()), "rfc8032")
people = dict(line.split() for line in Path(sys.argv[2]).read_text().splitlines() if line.strip())
answers: Queue[dict] = Queue()


def open_for(name: str) -> None:
    """Turn the bolt here."""
    print(f"open for {name}", flush=True)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def checked(grant: str, person: str, nonce: str) -> dict:
    """Return the claims of a grant; raise ValueError unless it is signed, for this lock, person and request."""
    told, _, signature = grant.partition(".")
    key.verify(decoded(told), decoded(signature))
    claims = json.loads(decoded(told))
    wanted = {"v": 1, "device": DEVICE, "lock": LOCK, "person_id": person, "nonce": nonce}
    if wrong := [field for field, value in wanted.items() if claims.get(field) != value]:
        raise ValueError(f"not granted for this: {', '.join(wrong)}")
    return claims


def ask(person: str) -> None:
    """Ask once. The nonce is forgotten when the time is over, so that a grant that comes late or again opens nothing."""
    nonce, until = secrets.token_urlsafe(24), time.monotonic() + PATIENCE
    client.publish(
        f"edgeface/{DEVICE}/cmd/grant", json.dumps({"id": nonce, "nonce": nonce, "lock": LOCK, "person_id": person}), 1
    )
    while (left := until - time.monotonic()) > 0:
        try:
            answer = answers.get(timeout=left)
        except Empty:
            break
        if answer.get("id") != nonce:
            continue
        try:
            open_for(checked(answer["result"]["grant"], person, nonce)["name"])
        except (KeyError, ValueError, TypeError) as error:
            print(f"stays shut: {answer.get('error') or error}", flush=True)
        return
    print("stays shut: no answer", flush=True)


def on_connect(client, _data, _flags, reason, _properties):
    if reason.is_failure:
        sys.exit(f"the broker refuses: {reason}")
    client.subscribe(f"edgeface/{DEVICE}/resp/grant", qos=1)


def on_message(_client, _data, message):
    try:
        answers.put(dict(json.loads(message.payload)))
    except ValueError:
        return


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect, client.on_message = on_connect, on_message
if "MQTT_USER" in os.environ:
    client.username_pw_set(os.environ["MQTT_USER"], os.environ.get("MQTT_PASSWORD"))
client.connect(sys.argv[3] if len(sys.argv) > 3 else "localhost", int(sys.argv[4]) if len(sys.argv) > 4 else 1883)
client.loop_start()
for line in sys.stdin:
    person = people.get(line.strip())
    if person:
        ask(person)
    else:
        time.sleep(1)  # a wrong PIN costs time
        print("stays shut: no such PIN", flush=True)
