"""Grants: who gets one, what is signed, and a lock that opens for it, with a real broker and a head that turns."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("tqdm", reason="belongs to the extra train")

from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import eddsa
from fixtures.broker import PASSWORD, USER, Broker, broker, eventually, needs_broker
from fixtures.daemon import EMPTY, enroll, running, settings
from fixtures.heads import turning
from fixtures.optional import needed
from fixtures.publishing import ANNA, event

from edgeface.config.schema import Config, DeviceSettings, GallerySettings, GrantSettings, LivenessSettings
from edgeface.errors import ConfigError, EdgefaceError
from edgeface.gallery.rules import Rules
from edgeface.operations.context import OperationContext
from edgeface.operations.grant import grant
from edgeface.operations.signing import Grants, Here, make_key
from edgeface.types import LivenessClass
from edgeface.vision.model_card import load_card
from edgeface.wire.grant import GrantRequest

__all__ = ["broker"]
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "door_lock.py"
NONCE = "0123456789abcdef"


def wanted(folder: Path, **more: Any) -> Config:
    given: dict[str, Any] = {"grant": GrantSettings(("family",)), "liveness": LivenessSettings("refuse")}
    return Config(gallery=GallerySettings(str(folder / "gallery.db")), **(given | more))


class Rulers:
    """A gallery, as far as grants ask it."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def rules(self) -> dict[str, Rules]:
        return {ANNA.id: self._rules}


def asked(folder: Path, here: list[Here], rules: Rules, *requests: GrantRequest) -> list[str]:
    config = wanted(folder)
    make_key(config)
    grants = Grants(config, lambda: here)
    gallery: Any = Rulers(rules)
    context = OperationContext(config, load_card(), lambda: gallery, lambda: needed(None), grants=grants)
    return [grant(context, request).grant for request in requests]


def opened(told: str, public: str) -> Any:
    parts = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in told.split(".")]
    eddsa.new(ECC.import_key(public), "rfc8032").verify(*parts)
    return json.loads(parts[0])


REQUEST = GrantRequest(person_id=ANNA.id, lock="gate", nonce=NONCE)
THERE = Here(event(), LivenessClass.LIVE, 0.9)
FAMILY = Rules(groups=("family", "cooks"))
OTHER_DAY = ("thu", "fri", "sat", "sun", "mon", "tue", "wed")[datetime.now().weekday()]


def test_what_is_signed_says_who_where_and_for_which_lock(tmp_path: Path) -> None:
    before = time.time()
    (told,) = asked(tmp_path, [THERE], FAMILY, REQUEST)
    claims = opened(told, make_key(wanted(tmp_path)))
    assert {name: claims[name] for name in ("device", "camera", "lock", "nonce", "person_id", "name", "event_id")} == {
        "device": "edgeface",
        "camera": "front",
        "lock": "gate",
        "nonce": NONCE,
        "person_id": ANNA.id,
        "name": ANNA.name,
        "event_id": THERE.arrival.event_id,
    }
    assert claims["liveness"] == 0.9
    assert before - 1 <= claims["issued"] == pytest.approx(claims["expires"] - 5.0, abs=0.01)
    (line,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert (json.loads(line)["action"], json.loads(line)["lock"]) == ("grant", "gate")
    other = ECC.generate(curve="ed25519").public_key().export_key(format="PEM")
    with pytest.raises(ValueError, match="not authentic"):
        opened(told, other)


@pytest.mark.parametrize(
    ("here", "rules"),
    [
        ([], FAMILY),
        ([Here(event(person_id="p_00000000000000bb"), LivenessClass.LIVE, 0.9)], FAMILY),
        ([Here(THERE.arrival, LivenessClass.SCREEN, 0.4)], FAMILY),
        ([THERE], Rules()),
        ([THERE], Rules(groups=("cooks",))),
        ([THERE], msgspec.structs.replace(FAMILY, ignored=True)),
        ([THERE], msgspec.structs.replace(FAMILY, hours=(f"{OTHER_DAY} 12:00-13:00",))),
    ],
)
def test_whoever_is_not_there_alive_and_expected_gets_none_and_nobody_learns_why(
    tmp_path: Path, here: list[Here], rules: Rules, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(EdgefaceError, match=r"^no grant; the device's log says why$"):
        asked(tmp_path, here, rules, REQUEST)
    assert ANNA.id in caplog.text
    assert not (tmp_path / "audit.jsonl").exists()


def test_a_nonce_is_signed_once(tmp_path: Path) -> None:
    with pytest.raises(EdgefaceError, match="was used"):
        asked(tmp_path, [THERE], FAMILY, REQUEST, REQUEST)


def test_it_is_off_unless_groups_are_listed_and_needs_liveness_and_a_key(tmp_path: Path) -> None:
    config = wanted(tmp_path, grant=GrantSettings())
    context = OperationContext(config, load_card(), lambda: needed(None), lambda: needed(None))
    with pytest.raises(EdgefaceError, match="gives no grants"):
        grant(context, REQUEST)
    with pytest.raises(ConfigError, match=r"needs \[liveness\] mode"):
        Grants(wanted(tmp_path, liveness=LivenessSettings("report")), list)
    with pytest.raises(ConfigError, match="grant-key makes one"):
        Grants(wanted(tmp_path), list)
    key = wanted(tmp_path).grant_key_path
    key.write_text("not a key")
    key.chmod(0o600)
    with pytest.raises(ConfigError, match="not a key"):
        make_key(wanted(tmp_path))


@contextmanager
def lock(folder: Path, broker: Broker, public: str, pins: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    (folder / "door.pem").write_text(public)
    (folder / "pins").write_text("".join(f"{pin} {person}\n" for pin, person in pins.items()))
    program = subprocess.Popen(
        [sys.executable, str(EXAMPLE), str(folder / "door.pem"), str(folder / "pins"), "127.0.0.1", str(broker.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"MQTT_USER": USER, "MQTT_PASSWORD": PASSWORD, "PATH": ""},
    )
    try:
        assert eventually(lambda: "resp/grant (QoS 1)" in broker.log()), broker.log()
        yield program
    finally:
        program.kill()
        program.wait(10)


def entered(program: subprocess.Popen[str], pin: str) -> str:
    keypad, display = needed(program.stdin), needed(program.stdout)
    keypad.write(f"{pin}\n")
    keypad.flush()
    return display.readline().strip()


@needs_broker
def test_the_lock_of_the_examples_opens_for_the_pin_and_the_face_together(
    tmp_path: Path, broker: Broker, demo_photos: Path
) -> None:
    config = settings(
        tmp_path,
        broker,
        liveness={"mode": "refuse"},
        grant={"groups": ["family"]},
        commands={"allow": ["grant", "group"], "per_minute": 600},
    )
    anna = enroll(config, "Anna", demo_photos / "obama_portrait.jpg")
    bert = enroll(config, "Bert", demo_photos / "biden_portrait.jpg")
    public = make_key(config)
    ear = broker.listen()
    pins = {"1234": anna, "9876": bert}
    with lock(tmp_path, broker, public, pins) as keypad, running(config) as stage:
        assert eventually(lambda: "edgeface/door/cmd/+ (QoS 1)" in broker.log()), broker.log()
        for person in (anna, bert):
            ear.say("edgeface/door/cmd/group", {"id": person, "person": person, "groups": ["family"]})
        ear.wait_for("resp/group", 2)
        assert entered(keypad, "0000") == "stays shut: no such PIN"
        assert entered(keypad, "1234") == "stays shut: no grant; the device's log says why"
        with turning(stage, "obama_portrait.jpg", "obama_press_room.jpg"):
            ear.wait(lambda message: b'"recognized"' in message.payload)
            assert entered(keypad, "1234") == "open for Anna"
            assert entered(keypad, "9876") == "stays shut: no grant; the device's log says why"
            ear.say("edgeface/door/resp/grant", {"id": "x", "ok": True, "result": {"grant": "e30.AAAA"}})
        stage.scene = EMPTY
        ear.wait(lambda message: b'"left"' in message.payload)
        assert entered(keypad, "1234") == "stays shut: no grant; the device's log says why"


@needs_broker
def test_a_grant_that_is_sent_again_opens_nothing(tmp_path: Path, broker: Broker) -> None:
    """Somebody on the broker has recorded a grant, sees what the lock asks, and answers in the device's place."""
    config = wanted(tmp_path, device=DeviceSettings("door"))
    public, nonce = make_key(config), "0123456789abcdef"
    grants = Grants(config, lambda: [THERE])
    gallery: Any = Rulers(FAMILY)
    context = OperationContext(config, load_card(), lambda: gallery, lambda: needed(None), grants=grants)
    recorded = grant(context, GrantRequest(person_id=ANNA.id, lock="front-door", nonce=nonce)).grant
    ear = broker.listen()
    for again in (False, True):
        with lock(tmp_path, broker, public, {"1234": ANNA.id}) as keypad:
            asked_before = len(ear.on("cmd/grant"))
            needed(keypad.stdin).write("1234\n")
            needed(keypad.stdin).flush()
            request = ear.wait_for("cmd/grant", asked_before + 1)[-1]
            answer = {"id": request["id"] if again else nonce, "ok": True, "result": {"grant": recorded}}
            ear.say("edgeface/door/resp/grant", answer)
            shut = "not granted for this: nonce" if again else "no answer"
            assert needed(keypad.stdout).readline().strip() == f"stays shut: {shut}"
