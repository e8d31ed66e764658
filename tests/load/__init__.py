"""``python -m tests.load``: a fleet's events through one mosquitto, ever more of them, until it breaks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, for python -m tests.load
