"""Shows guidance and progress, on a terminal as one live line, else as plain lines on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer


@contextmanager
def guiding() -> Iterator[Callable[[str, int, int, int], None]]:
    """Yield a function that shows guidance, given its text and the views taken, wanted, and at most."""
    if not sys.stderr.isatty():
        yield lambda text, *_: typer.echo(text, err=True)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True) as live:
        yield lambda *guidance: live.update(_line(*guidance), refresh=True)


def _line(text: str, taken: int, least: int, most: int) -> Any:
    from rich.text import Text

    dots = "●" * taken + "○" * max(0, least - taken) + "·" * (most - max(least, taken))
    return Text.assemble((f"{dots}  ", "green" if taken >= least else "cyan"), (text, "bold"))


@contextmanager
def counting(total: int) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the name of the next of ``total`` people, on a terminal above a bar."""
    if not sys.stderr.isatty():
        numbers = iter(range(1, total + 1))
        yield lambda name: typer.echo(f"{next(numbers)} of {total}: {name}", err=True)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, highlight=False), transient=True) as progress:
        task = progress.add_task("", total=total)

        def step(name: str) -> None:
            done = progress.tasks[0].description != ""
            progress.update(task, description=name.replace("[", "("), advance=int(done))

        yield step
