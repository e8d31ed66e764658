"""``python -m edgeface`` is the command ``edgeface``."""

from edgeface.cli import main

main()
