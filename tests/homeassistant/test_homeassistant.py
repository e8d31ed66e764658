"""A real Home Assistant with a real broker and a whole daemon: one story, told in order."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import PASSWORD, USER, Broker, eventually, free_port, needs_broker
from fixtures.daemon import EMPTY, Stage, enroll, running, settings
from fixtures.optional import needed
from fixtures.page import serving

from edgeface.gallery.open import open_gallery
from edgeface.types import Image
from edgeface.vision.images import load_image
from edgeface.vision.model_card import load_card

PYTHON = os.environ.get("EDGEFACE_HOMEASSISTANT", "")
ROOT = Path(__file__).parent.parent.parent
PATIENCE = 90.0
pytestmark = [
    pytest.mark.homeassistant,
    pytest.mark.skipif(
        not PYTHON, reason="EDGEFACE_HOMEASSISTANT names no Python with Home Assistant: tests/homeassistant/run"
    ),
    needs_broker,
]
CONFIGURATION = """
homeassistant: {{name: test, latitude: 0, longitude: 0, elevation: 0, time_zone: UTC, unit_system: metric, currency: EUR}}
http: {{server_host: 127.0.0.1, server_port: {port}}}
api:
config:
frontend:
automation: !include automations.yaml
person: [{{name: Anna, id: anna, device_trackers: [device_tracker.edgeface_anna]}}]
script:
  phone:  # stands for notify.mobile_app_phone: tells the test what the app would get
    mode: queued
    sequence:
      - action: mqtt.publish
        data:
          topic: phone
          payload: "{{{{ {{'message': message, 'data': data, 'title': title | default('')}} | to_json }}}}"
logger: {{default: warning}}
"""
NOT_OURS = (
    r"\[homeassistant.bootstrap\] Skipping pip|\[homeassistant.components.network\]|setup of component analytics"  # no network
    r"|\[homeassistant.components.mqtt.client\]|\[homeassistant\] Error doing job: Task exception"  # the broker was killed
)
ENTITIES = {
    "event.edgeface_door_face",
    "binary_sensor.edgeface_door_anna",
    "binary_sensor.edgeface_door_unknown_face",
    "sensor.edgeface_door_last_person",
    "sensor.edgeface_door_frame_rate",
    "sensor.edgeface_door_temperature",
    "sensor.edgeface_door_camera",
    "sensor.edgeface_door_people_enrolled",
    "sensor.edgeface_door_events_dropped",
    "image.edgeface_door_latest_face",
    "image.edgeface_door_latest_frame",
}
NOTIFICATION = """
- id: edgeface_notification
  alias: Notification
  use_blueprint:
    path: edgeface/notification.yaml
    input: {notifier: script.phone, base: edgeface/door, picture: image.edgeface_door_latest_face}
"""
ANNA, STRANGER = "binary_sensor.edgeface_door_anna", "binary_sensor.edgeface_door_unknown_face"


class HomeAssistant:
    """One Home Assistant, set up over its own API as its owner would."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._token = ""
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=self.port))
        (folder / "automations.yaml").write_text("[]")

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
        environment |= {"HOME": str(self.folder), "PATH": f"{Path(PYTHON).parent}:{environment['PATH']}"}
        command = [PYTHON, "-m", "homeassistant", "-c", str(self.folder), "--log-no-color", "--skip-pip"]
        with (self.folder / "out").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        assert eventually(self._up, 2 * PATIENCE), self.log()

    def stop(self) -> None:
        needed(self._process).send_signal(signal.SIGTERM)
        needed(self._process).wait(60)

    def _up(self) -> bool:
        assert needed(self._process).poll() is None, self.log()
        try:
            return self.call("/api/onboarding") is not None
        except OSError:
            return False

    def log(self) -> str:
        return (self.folder / "out").read_text()

    def call(self, path: str, data: dict[str, Any] | None = None, *, form: bool = False) -> Any:
        body = None if data is None else urllib.parse.urlencode(data).encode() if form else json.dumps(data).encode()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers["Content-Type"] = "application/x-www-form-urlencoded" if form else "application/json"
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if response.headers.get_content_type() == "application/json" else text

    def onboard(self, broker: Broker) -> None:
        """Make the owner, and give the address of the broker."""
        client = f"http://127.0.0.1:{self.port}/"
        owner = {"client_id": client, "name": "o", "username": "o", "password": "a password", "language": "en"}
        code = self.call("/api/onboarding/users", owner)["auth_code"]
        grant = {"client_id": client, "grant_type": "authorization_code", "code": code}
        self._token = self.call("/auth/token", grant, form=True)["access_token"]
        flow = self.call("/api/config/config_entries/flow", {"handler": "mqtt", "show_advanced_options": False})
        access: dict[str, Any] = {"broker": "127.0.0.1", "port": broker.port, "username": USER, "password": PASSWORD}
        if any(field.get("name") == "other_settings" for field in flow["data_schema"]):  # since 2026.11
            access |= {"protocol": "5", "other_settings": {"set_client_cert": False, "set_ca_cert": "off"}}
        assert self.call(f"/api/config/config_entries/flow/{flow['flow_id']}", access)["type"] == "create_entry"

    def automate(self, examples: Path) -> None:
        """Take over the automations of the examples, and make one of the blueprint that a device's page offers."""
        with serving(self.folder) as page:
            url = f"http://127.0.0.1:{page.port}/home-assistant-notification.yaml"
            words = [PYTHON, str(Path(__file__).with_name("import_blueprint.py")), str(self.port), self._token, url]
            done = subprocess.run([*words, "edgeface/notification.yaml"], capture_output=True, text=True, timeout=PATIENCE)
            assert done.returncode == 0, done.stderr
        automations = (examples / "home-assistant-automations.yaml").read_text() + NOTIFICATION
        (self.folder / "automations.yaml").write_text(automations)
        self.call("/api/services/automation/reload", {})

    def press(self, action: str, **more: Any) -> None:
        """Press a button of a notification, as the app on a phone does."""
        self.call("/api/events/mobile_app_notification_action", {"action": action, **more})

    def states(self) -> dict[str, dict[str, Any]]:
        """Our entities and their states."""
        return {each["entity_id"]: each for each in self.call("/api/states") if "edgeface_door" in each["entity_id"]}

    def state(self, entity: str) -> Any:
        return self.states().get(entity, {}).get("state")

    def trackers(self) -> set[str]:
        """The people of whom there is a device tracker, as their entities call them."""
        found = (re.fullmatch(r"device_tracker\.edgeface_(\w+)", each["entity_id"]) for each in self.call("/api/states"))
        return {one[1] for one in found if one}

    def render(self, template: str) -> str:
        return str(self.call("/api/template", {"template": template}).decode())

    def all_available(self, entities: set[str] = ENTITIES) -> bool:
        states = self.states()
        return entities <= states.keys() and "unavailable" not in {each["state"] for each in states.values()}


class House:
    """The broker, Home Assistant, and a device at whose door a test puts people; Obama is enrolled as Anna."""

    def __init__(self, folder: Path, photos: Path) -> None:
        self.broker = Broker(folder / "broker").start()
        self.ear = self.broker.listen("#")
        commands = {"allow": ["rename", "forget", "people", "confirm", "reject", "introduce", "ignore"], "per_minute": 600}
        sections = {"homeassistant": {"enabled": True}, "home": {"enabled": True}, "commands": commands}
        images, events = {"images": True, "frames": True}, {"keep_strangers": True}
        self.config = settings(folder, self.broker, mqtt=images, events=events, **sections)
        self.person = enroll(self.config, "Anna", photos / "obama_portrait.jpg")
        self.anna, self.stranger = load_image(photos / "obama_portrait.jpg"), load_image(photos / "collins_portrait.jpg")
        self.assistant = HomeAssistant(folder / "homeassistant")
        self._daemon: AbstractContextManager[Stage] | None = running(self.config)
        self.stage = self._daemon.__enter__()

    def stop_daemon(self) -> None:
        if self._daemon:
            self._daemon.__exit__(None, None, None)
            self._daemon = None

    def close(self) -> None:
        self.stop_daemon()
        self.assistant.stop()
        self.broker.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    built = House(tmp_path_factory.mktemp("house"), ROOT / "edgeface/demo/photos")
    try:
        built.assistant.start()
        built.assistant.onboard(built.broker)
        built.assistant.automate(ROOT / "examples")
        yield built
    finally:
        built.close()


def test_the_device_and_its_entities_are_discovered(house: House) -> None:
    assistant = house.assistant
    assert eventually(assistant.all_available, PATIENCE), (assistant.states(), assistant.log())
    assert set(assistant.states()) == ENTITIES
    device = f"device_id('{ANNA}')"
    assert assistant.render("{{ device_attr(%s, 'name') }}" % device) == "edgeface door"  # noqa: UP031
    assert int(assistant.render("{{ device_entities(%s) | count }}" % device)) == len(ENTITIES)  # noqa: UP031
    assert assistant.states()[ANNA]["attributes"]["friendly_name"] == "edgeface door Anna"
    assert {assistant.state(ANNA), assistant.state(STRANGER)} == {"off"}
    assert eventually(lambda: assistant.state("sensor.edgeface_door_camera") == "ok")
    assert eventually(lambda: float(assistant.state("sensor.edgeface_door_frame_rate")) > 0, PATIENCE)


def test_an_event_reaches_the_entities_and_the_automations_of_the_examples(house: House) -> None:
    assistant = house.assistant
    house.stage.scene = house.anna
    assert eventually(lambda: assistant.state(ANNA) == "on"), assistant.log()
    assert eventually(lambda: assistant.state("sensor.edgeface_door_last_person") == "Anna")
    event = assistant.states()["event.edgeface_door_face"]["attributes"]
    assert (event["event_type"], event["name"], event["person_id"]) == ("recognized", "Anna", house.person)
    for name in ("image.edgeface_door_latest_face", "image.edgeface_door_latest_frame"):
        picture = assistant.states()[name]["attributes"]
        assert picture["event_id"] == event["event_id"]
        assert assistant.call(picture["entity_picture"]).startswith(b"\xff\xd8\xff")
    assert eventually(lambda: "Anna is home" in house.ear.on("home/announcements"))
    assert eventually(lambda: assistant.call("/api/states/automation.say_who_is_at_the_door")["attributes"]["last_triggered"])

    house.stage.scene = house.stranger
    assert eventually(lambda: assistant.state(STRANGER) == "on")
    house.ear.wait(lambda message: message.payload == b"Somebody unknown is at the door (camera front)")
    house.stage.scene = EMPTY
    assert eventually(lambda: (assistant.state(ANNA), assistant.state(STRANGER)) == ("off", "off"))


def test_a_person_of_home_assistant_is_home_once_they_were_seen(house: House) -> None:
    """By the tests before, Anna was seen, and has left."""
    tracker, place = (f"{kind}.edgeface_anna{more}" for kind, more in (("device_tracker", ""), ("sensor", "_last_place")))

    def state(entity: str) -> dict[str, Any]:
        return next((each for each in house.assistant.call("/api/states") if each["entity_id"] == entity), {"state": None})

    assert eventually(lambda: state("person.anna")["state"] == "home", PATIENCE), (state(tracker), house.assistant.log())
    assert state(tracker)["attributes"].items() >= {"source_type": "router", "last_seen_by": "door", "camera": "front"}.items()
    assert eventually(lambda: state("binary_sensor.edgeface_anna_present")["state"] == "off")
    assert state(place)["state"] == "front (door)"
    told = house.broker.state(f"edgeface/people/home/{house.person}")["last_seen"]
    assert state("sensor.edgeface_anna_last_seen")["state"][:19] == told[:19]


def notified(house: House, since: int, what: str) -> dict[str, Any]:
    """The first notification after the first ``since`` whose message has these words."""

    def found() -> Any:
        return next((each for each in house.ear.on("phone")[since:] if what in each["message"]), None)

    told: dict[str, Any] | None = eventually(found, PATIENCE)
    assert told, (house.ear.on("phone"), house.assistant.log())
    return told


def at_the_door(house: House, scene: Image, what: str) -> tuple[str, list[dict[str, Any]]]:
    """The id of the event of a scene, of which the phone was told, and the buttons that it was given."""
    seen = len(house.ear.on("phone"))
    house.stage.scene = scene
    told = notified(house, seen, what)
    event = house.ear.on("/event")[-1]
    assert (told["title"], told["data"]["tag"]) == ("door", event["event_id"])
    assert told["data"]["image"] == "/api/image_proxy/image.edgeface_door_latest_face"
    house.stage.scene = EMPTY
    house.ear.wait_for("/event", len(house.ear.on("/event")) + 1)
    return event["event_id"], told["data"]["actions"]


def test_a_notification_takes_the_verdict_on_who_was_recognized(house: House) -> None:
    event_id, (confirm, reject) = at_the_door(house, house.anna, "Anna is there")
    assert (confirm["title"], reject["title"]) == ("That's Anna", "Not Anna")
    seen = len(house.ear.on("phone"))
    house.assistant.press(confirm["action"])
    told = notified(house, seen, "Anna, ")
    assert told["data"] == {"tag": event_id}
    house.assistant.press(reject["action"])
    assert notified(house, seen, "not Anna")["data"] == {"tag": event_id}
    assert [answer["result"]["verdict"] for verb in ("confirm", "reject") for answer in house.ear.on(f"resp/{verb}")] == [
        "confirmed",
        "rejected",
    ]
    house.assistant.press(confirm["action"])  # as it was
    notified(house, seen + 2, "Anna, ")


def test_a_notification_takes_the_name_of_a_stranger(house: House) -> None:
    event_id, (who, _) = at_the_door(house, house.stranger, "Somebody unknown is there")
    assert (who["title"], who["behavior"]) == ("Who is it?", "textInput")
    seen = len(house.ear.on("phone"))
    house.assistant.press(who["action"], reply_text='"}, {{ 1 }} ')
    assert notified(house, seen, "is known from now on")["message"].startswith('"}, {{ 1 }} is')
    house.ear.say("edgeface/door/cmd/forget", {"id": "of the test", "person": '"}, {{ 1 }}'})
    house.ear.wait(lambda message: message.topic.endswith("resp/forget") and b"of the test" in message.payload)
    house.assistant.press(who["action"], reply_text="Susan")
    assert "Not done: no event" in notified(house, seen + 1, event_id)["message"]  # it was forgotten, with its person
    assert eventually(lambda: set(house.assistant.states()) == ENTITIES)


def test_a_notification_ignores_a_stranger(house: House) -> None:
    event_id, (_, ignore) = at_the_door(house, house.stranger, "Somebody unknown is there")
    assert ignore == {"action": f"edgeface/door ignore {event_id}", "title": "Ignore", "authenticationRequired": True}
    seen = len(house.ear.on("phone"))
    house.assistant.press(ignore["action"])
    assert notified(house, seen, "is ignored from now on")["data"] == {"tag": event_id}
    result = house.ear.on("resp/ignore")[-1]["result"]
    assert result["rules"]["ignored"]
    house.ear.say("edgeface/door/cmd/forget", {"id": "ignored", "person": result["id"]})
    house.ear.wait(lambda message: message.topic.endswith("resp/forget") and b"ignored" in message.payload)
    house.assistant.press(ignore["action"])
    assert "Not done: no event" in notified(house, seen + 1, event_id)["message"]  # it was forgotten, with its person
    assert eventually(lambda: set(house.assistant.states()) == ENTITIES)


def test_a_button_that_is_not_of_this_device_or_not_ours_does_nothing(house: House) -> None:
    commands = len([message for message in house.ear.messages if "/cmd/" in message.topic])
    ulid = "01M86GTN766HKSFCZ15NNMEFKP"
    for action in (
        f"edgeface/other confirm {ulid}",
        f"edgeface/other ignore {ulid}",
        "edgeface/door ignore p_f8e6d06ed6e2f474",
        f"edgeface/door forget {ulid}",
        "edgeface/door confirm 1",
        "ALARM",
        f"edgeface/door reject {ulid}\n",
        "",
    ):
        house.assistant.press(action)
    seen = len(house.ear.on("phone"))
    house.assistant.press(f"edgeface/door confirm {ulid}")
    notified(house, seen, "Not done: no event")  # the presses before have been dealt with
    assert len([message for message in house.ear.messages if "/cmd/" in message.topic]) == commands + 1


def test_a_person_renamed_changes_the_name_of_the_entity(house: House) -> None:
    house.ear.say("edgeface/door/cmd/rename", {"id": "1", "person": "Anna", "name": "Änne B."})

    def named() -> object:
        return house.assistant.states()[ANNA]["attributes"]["friendly_name"]

    assert eventually(lambda: named() == "edgeface door Änne B."), named()
    assert set(house.assistant.states()) == ENTITIES
    assert eventually(lambda: house.assistant.state("sensor.edgeface_door_last_person") == "Änne B.")


def test_who_is_enrolled_gets_an_entity_and_who_is_forgotten_loses_it(house: House) -> None:
    enroll(house.config, "ANNA", ROOT / "edgeface/demo/photos/biden_portrait.jpg")
    second = f"{ANNA}_2"
    assert eventually(lambda: house.assistant.state(second) == "off")
    house.ear.say("edgeface/door/cmd/forget", {"id": "2", "person": "ANNA"})
    assert eventually(lambda: second not in house.assistant.states())
    assert house.assistant.render(f"{{{{ device_id('{second}') }}}}") == "None"
    assert set(house.assistant.states()) == ENTITIES


def test_who_is_forgotten_while_the_daemon_is_not_running_loses_the_entity_too(house: House) -> None:
    bert = "binary_sensor.edgeface_door_bert"
    enroll(house.config, "Bert", ROOT / "edgeface/demo/photos/biden_portrait.jpg")
    assert eventually(lambda: house.assistant.state(bert) == "off")
    assert eventually(lambda: house.assistant.trackers() == {"anna", "bert"}, PATIENCE)
    house.stop_daemon()
    assert eventually(lambda: house.assistant.state(bert) == "unavailable")
    gallery = open_gallery(house.config, load_card())
    gallery.forget("Bert")
    gallery.close()
    house._daemon = running(house.config)
    house.stage = house._daemon.__enter__()
    assert eventually(lambda: bert not in house.assistant.states(), PATIENCE)
    assert eventually(lambda: house.assistant.trackers() == {"anna"}, PATIENCE)
    assert eventually(house.assistant.all_available, PATIENCE)


def test_after_a_restart_of_home_assistant_nothing_is_unavailable(house: House) -> None:
    house.stage.scene = house.anna
    assert eventually(lambda: house.assistant.state(ANNA) == "on")
    house.assistant.stop()
    house.assistant.start()
    assert eventually(house.assistant.all_available, PATIENCE), house.assistant.states()
    assert set(house.assistant.states()) == ENTITIES
    assert eventually(lambda: house.assistant.state(ANNA) == "on")  # though nothing happened since
    assert house.assistant.state("sensor.edgeface_door_last_person") == "Änne B."


def test_after_a_restart_of_the_broker_nothing_is_unavailable(house: House) -> None:
    house.broker.kill()
    assert eventually(lambda: house.assistant.state(ANNA) == "unavailable", PATIENCE)
    (house.broker.folder / "mosquitto.db").unlink(missing_ok=True)  # a broker that has forgotten everything
    house.broker.start()
    assert eventually(house.assistant.all_available, PATIENCE), house.assistant.states()
    house.stage.scene = EMPTY
    assert eventually(lambda: house.assistant.state(ANNA) == "off")


def test_clear_removes_the_device(house: House, tmp_path: Path) -> None:
    house.stop_daemon()
    file = tmp_path / "edgeface.toml"
    file.write_text(
        f'[device]\nid = "door"\n[camera]\nname = "front"\n[mqtt]\nhost = "127.0.0.1"\nport = {house.broker.port}\n'
        f'username = "{USER}"\npassword_file = "{house.broker.password_file}"\n'
    )
    command = [sys.executable, "-m", "edgeface", "--config", str(file), "mqtt", "clear"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert "removed homeassistant/device/door/config" in result.stdout, result.stderr
    assert eventually(lambda: house.assistant.states() == {})
    assert eventually(lambda: house.assistant.trackers() == set())
    assert house.assistant.render("{{ device_id('edgeface door') }}") == "None"


def test_home_assistant_had_nothing_to_say_against_us(house: House) -> None:
    lines = re.findall(r"^\S+ \S+ (?:WARNING|ERROR|CRITICAL) .*", house.assistant.log(), re.M)
    assert [line for line in lines if not re.search(NOT_OURS, line)] == []
    assert any("mqtt.client" in line for line in lines)  # of the broker that was killed: it does complain
