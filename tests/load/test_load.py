import os
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.broker import needs_broker

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow


def test_a_small_gallery_is_measured_in_every_use() -> None:
    words = ("-m", "tests.load.people", "--people", "12", "--templates", "2")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    rows = dict(line.strip("| ").split(" | ", 1) for line in result.stdout.splitlines() if line.startswith("| "))
    noticed = {what: row.split(" | ")[-1] for what, row in rows.items() if what.startswith(("the loop", "sync"))}
    assert list(noticed.values())[:2] == ["3", "6"]  # a name with two templates; three more
    assert len(noticed) == 6


@needs_broker
def test_a_small_fleet_is_delivered_whole_and_said_so() -> None:
    words = ("-m", "tests.load", "--devices", "20", "--seconds", "1", "--rates", "20", "40")
    result = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    rows = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith(("| 20 ", "| 40 "))]
    assert [row[3] for row in rows] == ["0", "0"]
    assert all(float(row[2].replace(",", "")) > 0 for row in rows)
    assert "20 devices are delivered" in result.stdout
