"""A daemon whose camera is closed while somebody is home, as a real broker says."""

from typing import Any

import pytest
from fixtures.broker import Broker, Listener, broker, eventually, needs_broker
from fixtures.commandline import Cli

from edgeface.operations.pause import BY_TOPIC

__all__ = ["broker"]
TOPIC = "home/anna"


def becomes(listener: Listener, state: str) -> bool:
    """Whether the daemon tells this state of its camera in the end."""

    def last() -> Any:
        healths = listener.on("/health")
        return healths[-1]["camera_state"] if healths else None

    return bool(eventually(lambda: last() == state, 150))


@needs_broker
def test_the_camera_is_closed_while_the_topic_says_home_whatever_else_comes(
    cli: Cli, scene: dict[str, Any], broker: Broker
) -> None:
    listener = broker.listen()
    given: dict[str, Any] = {
        "device": {"id": "door"},
        "camera": scene | {"hold": 86400},
        "mqtt": broker.settings(),
        "pause": {"topic": TOPIC},
    }
    listener.say(TOPIC, "home", retain=True)
    cli.environment |= {"RUNTIME_DIRECTORY": str(cli.folder)}
    cli.set(**given)
    daemon = cli.start("run")
    assert becomes(listener, "paused")
    assert listener.on("/health")[-1]["pause"]["why"] == BY_TOPIC
    assert BY_TOPIC in cli("status").stdout

    for nonsense in (b"\xff\xfe", b"HOME", b'"home"', b"", b"home" * 100_000, b"\x00"):
        listener.say(TOPIC, nonsense)
        assert becomes(listener, "ok"), nonsense[:10]
        listener.say(TOPIC, "home", retain=True)
        assert becomes(listener, "paused"), nonsense[:10]

    broker.kill()
    broker.start()
    assert eventually(lambda: broker.retained("edgeface/door/availability") == "online", 150)
    assert becomes(listener, "paused")

    cli.set(**given | {"pause": {"topic": TOPIC, "payload": "here"}})
    daemon.process.send_signal(1)
    daemon.hears("settings read again, changed: pause")
    assert becomes(listener, "ok")
    listener.say(TOPIC, "here")
    assert becomes(listener, "paused")
    daemon.process.kill()
    daemon.process.wait(60)
    broker.stop()
    again = cli.start("run")  # without a broker, it goes on with what it knew
    again.hears("no broker")
    assert eventually(lambda: cli.json("status", code=None).get("camera_state") == "paused", 150)
    assert again.stop() == 0


@pytest.mark.slow
@needs_broker
def test_a_broker_that_stays_away_lets_the_camera_open_after_the_time_that_is_set(
    cli: Cli, scene: dict[str, Any], broker: Broker
) -> None:
    listener = broker.listen()
    listener.say(TOPIC, "home", retain=True)
    cli.environment |= {"RUNTIME_DIRECTORY": str(cli.folder)}
    cli.set(camera=scene | {"hold": 86400}, mqtt=broker.settings(), pause={"topic": TOPIC, "hold": 5})
    daemon = cli.start("run")
    assert becomes(listener, "paused")
    broker.kill()
    daemon.hears("the broker has said nothing for 5 s, so the camera opens")
    listener.messages.clear()
    broker.start()
    broker.listen().say(TOPIC, "home", retain=True)
    assert becomes(listener, "paused")
    assert daemon.stop() == 0
