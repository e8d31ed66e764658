import time
from collections.abc import Callable, Iterator

import pytest

from edgeface.wire.description import describe


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the machine's time zone; UTC at first."""

    def put(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    put("UTC")
    yield put
    monkeypatch.undo()
    time.tzset()


def test_an_event_is_one_line() -> None:
    event = {"event_type": "recognized", "ts": "2026-11-24T10:15:07.238Z", "device": "door", "camera": "front"}
    assert (
        describe({**event, "name": "Zoë", "score": 0.61, "threshold": 0.4})
        == "10:15:07  recognized   Zoë  score 0.61 (needs 0.40)  [door/front]"
    )
    assert describe({**event, "event_type": "unknown"}).endswith("unknown      somebody unknown  [door/front]")


def test_a_name_cannot_command_the_terminal() -> None:
    line = describe(
        {"event_type": "left", "ts": "2026-11-24T10:15:07Z", "device": "d", "camera": "c", "name": "\x1b[2Jx\ny", "seconds": 3}
    )
    assert line.isprintable()
    assert "after 3 s" in line


def test_an_attack_and_what_showed_a_face_are_told() -> None:
    event = {"event_type": "presentation_attack", "ts": "2026-11-24T10:15:07.238Z", "device": "door", "camera": "front"}
    told = "10:15:07  presentation_attack  somebody enrolled  looks like a print  [door/front]"
    assert describe(event | {"liveness_class": "print"}) == told
    assert "looks" not in describe(event | {"event_type": "unknown", "liveness_class": "live"})


def test_a_stranger_who_was_there_before_is_told() -> None:
    event = {"event_type": "unknown", "ts": "2026-11-24T10:15:07.238Z", "device": "door", "camera": "front"}
    assert "somebody unknown  visit 3  [" in describe(event | {"visits": 3})
    assert "visit" not in describe(event | {"visits": 1})


def test_a_corrected_name_is_told() -> None:
    event = {"event_type": "recognized", "ts": "2026-11-24T10:15:07.238Z", "device": "door", "camera": "front", "name": "Zoë"}
    wrong = {"event_id": "01M86G", "person_id": "p_1", "name": "Bert"}
    assert "Zoë  it was not Bert  [" in describe({**event, "corrected": wrong})


def test_times_are_of_this_machine(zone: Callable[[str], None]) -> None:
    zone("America/New_York")
    event = {"event_type": "left", "ts": "2026-11-24T00:15:07.238Z", "device": "door", "camera": "front", "seconds": 3}
    assert describe(event).startswith("19:15:07  left")
