import pytest
from fixtures.broker import USER, Broker, broker, eventually, free_port, needs_broker
from fixtures.commandline import Cli
from fixtures.daemon import running, settings

from edgeface.config.schema import Config, MqttSettings
from edgeface.errors import BrokerError, ConfigError, EdgefaceError
from edgeface.mqtt import dialogue
from edgeface.mqtt.retained import clear

__all__ = ["broker"]
KEPT = [
    "edgeface/door/availability",
    "edgeface/door/front/presence",
    "edgeface/door/health",
    "homeassistant/device/door/config",
]


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    monkeypatch.setattr(dialogue, "ANSWER_TIMEOUT", 3.0)


@pytest.fixture
def config(tmp_path, broker):
    """Of a device whose daemon has been running, with Home Assistant."""
    config = settings(tmp_path, broker, homeassistant={"enabled": True})
    ear = broker.listen("#")
    with running(config):
        ear.wait_for("/config")
        ear.wait_for("health")
    return config


@needs_broker
def test_all_that_is_kept_of_the_device_is_removed_for_good(config, broker):
    ear = broker.listen("edgeface/#")
    for topic in ("edgeface/gate/availability", "edgeface/door/old/presence", "edgeface/door/other"):
        ear.say(topic, "x", retain=True)
    assert clear(config) == sorted([*KEPT, "edgeface/door/old/presence"])
    assert [topic for topic in KEPT if broker.retained(topic) is not None] == []
    assert broker.retained("edgeface/gate/availability") == "x"  # another device's
    assert broker.retained("edgeface/door/other") == "x"  # none of the contract's
    assert clear(config) == []


@needs_broker
def test_a_running_daemon_is_left_alone_but_by_force(tmp_path, broker):
    config = settings(tmp_path, broker)
    with running(config):
        assert eventually(lambda: broker.retained("edgeface/door/availability") == "online")
        with pytest.raises(EdgefaceError, match="the daemon of door is running"):
            clear(config)
        assert broker.retained("edgeface/door/availability") == "online"
        assert "edgeface/door/availability" in clear(config, force=True)
        assert broker.retained("edgeface/door/availability") is None


@needs_broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("acl", ["topic read edgeface/door/health", "topic deny edgeface/door/doctor/#"])
def test_what_the_broker_does_not_let_us_remove_is_told(tmp_path, protocol, acl):
    strict = Broker(tmp_path / "strict", acl=f"user {USER}\ntopic #\n").start()
    try:
        ear = strict.listen("#")
        for topic in KEPT:
            ear.say(topic, "{}", retain=True)
        strict.stop()
        others = "topic edgeface/door/doctor/#\ntopic edgeface/door/availability\ntopic edgeface/door/front/presence\n"
        (strict.folder / "acl").write_text(f"user {USER}\n{acl}\n{others}topic homeassistant/#\n")
        strict.start()
        with pytest.raises(BrokerError, match="access control"):
            clear(settings(tmp_path, strict, mqtt={"protocol": protocol}))
    finally:
        strict.close()


def test_without_a_broker_there_is_nothing_to_clear():
    with pytest.raises(ConfigError, match=r"mqtt\.host"):
        clear(Config())


def test_a_broker_that_is_not_there_is_told():
    with pytest.raises(BrokerError, match="cannot be reached"):
        clear(Config(mqtt=MqttSettings("127.0.0.1", free_port())))


@needs_broker
def test_the_command_says_what_it_removed(tmp_path, broker):
    cli = Cli(tmp_path)
    cli.set(device={"id": "door"}, camera={"name": "front"}, mqtt=broker.settings())
    ear = broker.listen("#")
    for topic in (*KEPT, KEPT[0]):
        ear.say(topic, "offline", retain=True)
    assert cli("mqtt", "clear").stdout.splitlines() == [f"removed {topic}" for topic in KEPT]
    assert cli.json("mqtt", "clear") == {"removed": []}
    ear.say(KEPT[0], "online", retain=True)
    assert "is running" in cli.refusal("mqtt", "clear")
    assert cli.json("mqtt", "clear", "--force") == {"removed": KEPT[:1]}
