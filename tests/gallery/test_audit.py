import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeface.gallery import audit
from edgeface.gallery.audit import Audit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_each_note_is_a_line_with_time_and_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    assert Audit(path).note("enroll", person="p_1", images=3, score=0.5)
    assert Audit(path).note("rename", by={"mqtt": True}, person="p_1")
    first, second = lines(path)
    assert (first["action"], first["person"], first["images"], first["score"]) == ("enroll", "p_1", 3, 0.5)
    assert (first["by"]["uid"], first["by"]["sudo_user"]) == (os.getuid(), "anna")
    assert second["by"] == {"mqtt": True}
    assert first["ts"].endswith("Z")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(text=st.text(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_text_is_one_line_of_bounded_length(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    assert Audit(path).note("forget", by={"user": text}, person="\ud800")
    ((found),) = lines(path)
    assert len(found["by"]["user"]) <= 200


def test_the_log_is_bounded_and_the_newest_lines_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_BYTES", 2000)
    for number in range(100):
        Audit(path).note("rename", number=number)
    older = path.with_name("audit.jsonl.1")
    assert path.stat().st_size <= 2000
    assert older.stat().st_size <= 2000
    numbers = [line["number"] for line in (*lines(older), *lines(path))]
    assert numbers == list(range(numbers[0], 100))
    assert len(numbers) > 10
    assert sorted(file.name for file in path.parent.iterdir()) == ["audit.jsonl", "audit.jsonl.1"]
    assert stat.S_IMODE(older.stat().st_mode) == 0o600


WRITER = """
import sys
from pathlib import Path
from edgeface.gallery import audit
audit.MAX_BYTES = 20_000
for number in range(100):
    assert audit.Audit(Path(sys.argv[1])).note("rename", writer=sys.argv[2], number=number)
"""


def test_writers_at_once_lose_no_line(path: Path) -> None:
    others = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, str(n)], cwd=Path(__file__).parent.parent.parent)
        for n in range(3)
    ]
    assert [other.wait(60) for other in others] == [0, 0, 0]
    found = [*lines(path.with_name("audit.jsonl.1")), *lines(path)]
    assert len(found) > 150  # of 300, some in files before the last
    for writer in "012":
        numbers = [line["number"] for line in found if line["writer"] == writer]
        assert numbers == list(range(100))[-len(numbers) :] if numbers else True


def test_a_line_that_was_cut_short_does_not_spoil_the_next(path: Path) -> None:
    path.write_text('{"ts": "2026')
    Audit(path).note("forget", person="p_1")
    assert json.loads(path.read_text().splitlines()[1])["action"] == "forget"


def test_a_log_that_cannot_be_written_is_told_and_raises_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.symlink_to("/dev/full")
    with caplog.at_level(logging.WARNING):
        assert not Audit(path).note("enroll", person="p_1")
        assert not Audit(path.parent / "absent" / "audit.jsonl").note("enroll")
    assert len(caplog.messages) == 2
    assert "No space left" in caplog.messages[0]
    assert "enroll is not in the audit log" in caplog.messages[0]
