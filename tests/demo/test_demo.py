import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

pytest.importorskip("amqtt", reason="the demo needs amqtt")

from edgeface.demo import show
from edgeface.errors import ImageError


@pytest.mark.parametrize(("out", "reason"), [("absent/sheet.png", "No such file"), ("sheet.txt", "suffix")])
def test_a_picture_that_cannot_be_drawn_is_told_before_the_show(tmp_path: Path, out: str, reason: str) -> None:
    told: list[str] = []
    with pytest.raises(ImageError, match=reason):
        show(tmp_path / out, keep=False, tell=told.append)
    assert told == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent), "HOME": str(folder)}
    command = [sys.executable, "-m", "edgeface", "demo", "--out", str(folder / "sheet.png")]
    return folder, subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120)


def test_the_demo_runs_without_a_fault_and_leaves_only_its_picture(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, result = demo
    assert "Traceback" not in result.stderr
    assert [path.name for path in folder.iterdir()] == ["sheet.png"]


def test_the_demo_draws_a_sheet(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = demo
    sheet = cv2.imread(str(folder / "sheet.png"))
    assert sheet is not None
    assert sheet.std() > 10


def test_the_demo_prints_what_a_subscriber_receives_in_lines_that_fit(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, result = demo
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "enrolled  Joe Biden from 1 photo" in lines
    assert "  presence  Joe Biden" in lines
    assert any(
        re.match(r"  event     \d\d:\d\d:\d\d  recognized   Joe Biden  score 0\.\d\d \(needs 0\.45\)$", line) for line in lines
    )
    assert result.stderr == ""


@pytest.mark.slow
def test_the_demo_gives_programs_its_events_as_json(tmp_path: Path) -> None:
    taken: list[dict[str, Any]] = []
    told: list[str] = []
    assert show(tmp_path / "sheet.png", keep=False, tell=told.append, take=taken.append)
    assert {event["event_type"] for event in taken} == {"recognized", "unknown", "left", "presentation_attack"}
    assert not any(line.startswith(" ") for line in told)


def test_the_demo_tells_both_people_from_a_stranger(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, result = demo
    assert result.returncode == 0, result.stdout
    assert "Barack Obama was recognized" in result.stdout
    assert "Joe Biden was recognized" in result.stdout
    assert "the stranger was not recognized" in result.stdout
    assert "the film of Barack Obama was refused" in result.stdout
    attack = r"  event     \d\d:\d\d:\d\d  presentation_attack  Barack Obama  looks like a screen"
    assert re.search(attack, result.stdout)
