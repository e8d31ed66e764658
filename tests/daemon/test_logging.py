import logging
import os
import subprocess
import sys

import pytest

from edgeface.daemon.logging import JournalFormatter, Repeats, event_line
from edgeface.types import EventType
from edgeface.wire.events import Event


class Log:
    """A logger whose lines are kept, behind the filter, with a clock that the test winds."""

    def __init__(self):
        self.now, self.lines = 1000.0, []
        self.log = logging.Logger("test")
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())
        handler.addFilter(Repeats(lambda: self.now))
        self.log.addHandler(handler)


@pytest.fixture
def kept():
    return Log()


def test_a_camera_that_flaps_is_told_three_times_and_then_counted(kept):
    for number in range(40):
        kept.log.warning("camera: no frame for %d s", number)
        kept.now += 5
    assert kept.lines == [
        "camera: no frame for 0 s",
        "camera: no frame for 1 s",
        "camera: no frame for 2 s (more of the same is kept back for 5 minutes)",
    ]
    kept.now = 1300.0
    kept.log.warning("camera: no frame for 99 s")
    assert kept.lines[3:] == ["camera: no frame for 99 s (and 37 times more since)"]


def test_another_complaint_is_told_all_the_same(kept):
    for _ in range(10):
        kept.log.error("mqtt: %s", "refused")
    kept.log.error("mqtt: %s", "not reached")
    assert len(kept.lines) == 4
    assert kept.lines[-1] == "mqtt: not reached"


def test_news_is_never_kept_back(kept):
    for number in range(50):
        kept.log.info("recognized id=%d", number, extra={"news": True})
    assert len(kept.lines) == 50


def test_complaints_of_long_ago_take_no_memory(kept):
    repeats = kept.log.handlers[0].filters[0]
    for letter in "abcdefghijklmnop":
        kept.log.error(letter)
        kept.now += Repeats.PERIOD
        kept.log.error("the same")
    assert len(repeats._seen) < 4


def event(kind, **more):
    return Event(kind, "01M86GTN766HKSFCZ15NNMEFKP", 0.0, 0.0, "front", **more)


def test_an_event_is_one_line_without_a_name():
    line = event_line(event(EventType.RECOGNIZED, track_id=3, person_id="p_1", name="Änna B", score=0.5, threshold=0.25))
    assert line == "recognized person=p_1 score=0.500 threshold=0.250 track=3 camera=front id=01M86GTN766HKSFCZ15NNMEFKP"
    assert event_line(event(EventType.LEFT, track_id=3, seconds=0.0)).startswith("left seconds=0.0 track=3 ")


def test_the_journal_gets_a_priority_on_each_line():
    record = logging.LogRecord("edgeface", logging.ERROR, "", 0, "two\nlines", (), None)
    assert JournalFormatter("%(message)s").format(record) == "<3>two\n<3>lines"


@pytest.mark.parametrize("journal", [True, False])
def test_priorities_are_written_only_where_the_journal_reads_standard_error(tmp_path, journal):
    code = (
        "import logging; from edgeface.daemon.logging import set_up; set_up(); logging.getLogger('edgeface.x').warning('told')"
    )
    with (tmp_path / "err").open("w") as err:
        status = os.fstat(err.fileno())
        stream = f"{status.st_dev}:{status.st_ino}" if journal else "8:1"
        subprocess.run(
            [sys.executable, "-c", code], stderr=err, env=os.environ | {"JOURNAL_STREAM": stream}, check=True, timeout=60
        )
    assert (tmp_path / "err").read_text() == ("<4>told\n" if journal else "WARNING told\n")
