import os
import subprocess
import sys
from pathlib import Path

from broker import needs_broker

ROOT = Path(__file__).parent.parent.parent


@needs_broker
def test_a_small_fleet_is_delivered_whole_and_said_so():
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
