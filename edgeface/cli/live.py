"""What the sitter is told, on a terminal as one live line, else as plain lines on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer


@contextmanager
def guiding() -> Iterator[Callable[[str, int, int, int], None]]:
    """What to call with each hint: its words, views taken, wanted, and the most."""
    if not sys.stderr.isatty():
        yield lambda text, *_: typer.echo(text, err=True)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True) as live:
        yield lambda *told: live.update(_line(*told), refresh=True)


def _line(text: str, taken: int, least: int, most: int) -> Any:
    from rich.text import Text

    dots = "●" * taken + "○" * max(0, least - taken) + "·" * (most - max(least, taken))
    return Text.assemble((f"{dots}  ", "green" if taken >= least else "cyan"), (text, "bold"))
