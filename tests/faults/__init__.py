"""The real daemon as a process, a real broker, a live camera, and faults: ``python -m tests.faults --help``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # where pytest finds the other tests' helpers, too
