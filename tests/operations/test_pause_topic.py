"""A pause by a topic of the broker, with clocks of its own."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edgeface.config.schema import Config, DeviceSettings, GallerySettings, MqttSettings, PauseSettings
from edgeface.errors import ConfigError
from edgeface.interfaces import Heard
from edgeface.operations.pause import BY_TOPIC, Pause
from edgeface.operations.pause_topic import Clocks
from edgeface.publishers import need_broker
from edgeface.types import Paused

WALL = 1_800_000_000.0
HOLD = 900.0


@dataclass
class World:
    """The clocks of a machine, what the broker said, and the settings."""

    folder: Path
    running: float = 1000.0
    wall: float = WALL
    heard: Heard = field(default_factory=Heard)
    settings: PauseSettings = field(default_factory=lambda: PauseSettings(topic="home/anna"))

    @property
    def config(self) -> Config:
        return Config(gallery=GallerySettings(str(self.folder / "gallery.db")), pause=self.settings)

    def started(self, before: Pause | None = None) -> Pause:
        """A pause at a start or, with one before it, after a reload; its connection is not there yet."""
        self.heard = Heard()
        return Pause(self.config, Clocks(lambda: self.running, lambda: self.wall), before, lambda: self.heard)

    def says(self, *, home: bool, connection: int = 1) -> None:
        self.heard = Heard(connection, connection, home)

    def passes(self, seconds: float) -> None:
        self.running += seconds
        self.wall += seconds


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_while_the_topic_says_so_the_camera_is_closed_and_then_it_opens(world: World) -> None:
    pause = world.started()
    assert pause.now() is None
    world.says(home=True)
    assert pause.now() == Paused(WALL, None, BY_TOPIC)
    world.passes(100 * HOLD)
    assert pause.now() == Paused(WALL, None, BY_TOPIC)
    world.says(home=False)
    assert pause.now() is None
    assert not world.config.pause_path.exists()


def test_without_the_broker_the_last_word_holds_for_a_while_and_then_the_camera_opens(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    pause = world.started()
    world.says(home=True)
    assert pause.now()
    world.heard = replace(world.heard, connection=0)
    world.passes(HOLD - 1)
    assert pause.now()
    world.passes(2)
    assert pause.now() is None
    assert "has said nothing for 900 s" in caplog.text
    world.heard = replace(world.heard, connection=2)  # it is back, and keeps nothing on the topic
    assert pause.now() is None
    world.says(home=True, connection=2)
    assert pause.now()


def test_without_patience_the_camera_opens_as_soon_as_the_broker_is_away(world: World) -> None:
    world.settings = PauseSettings(topic="home/anna", hold=0)
    pause = world.started()
    world.says(home=True)
    assert pause.now()
    world.heard = replace(world.heard, connection=0)
    assert pause.now() is None


def test_a_word_on_a_new_connection_holds_anew_and_one_on_an_old_does_not(world: World) -> None:
    pause = world.started()
    world.says(home=True)
    assert pause.now()
    world.heard = Heard(connection=2, told=1, matches=True)
    world.passes(HOLD - 1)
    world.says(home=True, connection=2)
    assert pause.now()
    world.passes(HOLD)
    assert pause.now()


def test_a_word_that_came_just_before_the_broker_went_away_counts(world: World) -> None:
    pause = world.started()
    world.heard = Heard(connection=0, told=1, matches=True)
    assert pause.now()
    world.passes(HOLD)
    assert pause.now() is None


def test_a_restart_goes_on_with_what_was_known_but_not_for_ever(world: World) -> None:
    pause = world.started()
    world.says(home=True)
    assert pause.now()
    again = world.started()
    assert again.now() == Paused(WALL, None, BY_TOPIC)
    world.passes(HOLD)
    assert again.now() is None
    world.says(home=False)
    assert world.started().now() is None


def test_a_reload_goes_on_unless_it_is_another_topic(world: World) -> None:
    pause = world.started()
    world.says(home=True)
    assert pause.now()
    after = world.started(pause)
    assert after.now()
    world.settings = PauseSettings(topic="home/bert")
    assert world.started(after).now() is None
    world.settings = PauseSettings()
    assert world.started(after).now() is None
    assert not world.config.pause_path.exists()


def test_resume_opens_the_camera_until_the_topic_says_so_anew(world: World) -> None:
    pause = world.started()
    world.says(home=True)
    assert pause.now()
    pause.resume()
    assert pause.now() is None
    assert world.started().now() is None  # after a restart, too
    world.says(home=True)
    assert pause.now() is None
    world.says(home=False)
    assert pause.now() is None
    world.says(home=True)
    assert pause.now()


def test_a_request_goes_before_the_topic_and_leaves_it_as_it_was(world: World) -> None:
    pause = world.started()
    world.says(home=True)
    assert pause.now()
    pause.begin(WALL + 60, "guests")
    assert pause.now() == Paused(WALL, WALL + 60, "guests")
    world.passes(61)
    assert pause.now() == Paused(WALL, None, BY_TOPIC)


def test_a_clock_that_is_set_back_or_forward_changes_nothing(world: World) -> None:
    pause = world.started()
    world.says(home=True)
    assert pause.now()
    world.heard = replace(world.heard, connection=0)
    world.wall -= 1e8
    world.running += HOLD - 1
    assert pause.now()
    world.wall += 2e8
    assert pause.now()
    world.running += 1
    assert pause.now() is None


@pytest.mark.parametrize("data", [b"", b"{", b'{"topic": {"since": -1}}', b"\xff"])
def test_a_note_that_cannot_be_read_is_a_pause_until_somebody_resumes(world: World, data: bytes) -> None:
    world.config.pause_path.write_bytes(data)
    pause = world.started()
    world.says(home=False)
    assert pause.now()
    pause.resume()
    assert pause.now() is None


def test_an_older_edgeface_reads_the_note(world: World) -> None:
    pause = world.started()
    world.says(home=True)
    assert pause.now()
    assert json.loads(world.config.pause_path.read_bytes()) == {
        "request": None,
        "awake_until": None,
        "topic": {"since": WALL, "resumed": False},
    }


@pytest.mark.parametrize(
    ("topic", "host", "told"),
    [
        ("home/anna", "", "pause.topic needs a broker"),
        ("edgeface/door/front/presence", "broker", "is this device's own"),
        ("edgeface/door", "broker", "is this device's own"),
        ("edgeface/doorbell/state", "broker", ""),
    ],
)
def test_a_topic_needs_a_broker_and_is_somebody_elses(topic: str, host: str, told: str) -> None:
    config = Config(device=DeviceSettings("door"), mqtt=MqttSettings(host), pause=PauseSettings(topic=topic))
    if not told:
        need_broker(config)
        return
    with pytest.raises(ConfigError, match=told):
        need_broker(config)
