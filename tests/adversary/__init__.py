"""Attacks that are chosen by a seed, in small numbers by pytest and for hours by ``python -m tests.adversary --help``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, for python -m tests.adversary
