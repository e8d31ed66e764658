"""Completes what is in the gallery and the backups for a shell, without creating a gallery or printing errors."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli.common import Setup
from edgeface.cli.operations import through_the_daemon
from edgeface.control import client
from edgeface.gallery.backup import Backups
from edgeface.platform import environment
from edgeface.vision.model_card import SHIPPED

UNSPEAKABLE = re.compile(r"""["'`$\\]""")  # characters that Typer's script for zsh, which evaluates the names, fails to quote


class _Escaped(str):
    """A name escaped for bash. It claims to begin with any text, as Typer would compare it to one without escapes."""

    __slots__ = ()

    def startswith(self, *_: Any) -> bool:
        return True


def people(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of people, and for ``p_`` their ids, that begin with what was typed."""
    known: list[tuple[str, str]] = []
    with _silently():
        known = _known(context)
    names = [name for name, _ in known if name.startswith(incomplete)]
    ids = [person_id for _, person_id in known if incomplete.startswith("p_") and person_id.startswith(incomplete)]
    shell = environment.text("_EDGEFACE_COMPLETE")
    if shell == "complete_bash":
        return [_Escaped(re.sub(r"([^\w@%+=:,./-])", r"\\\1", name)) for name in [*names, *ids]]
    return [name for name in [*names, *ids] if shell != "complete_zsh" or not UNSPEAKABLE.search(name)]


def events(context: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of kept events that begin with what was typed, the newest first."""
    with _silently():
        setup = _setup(context)
        if through_the_daemon(setup.config):
            ids = [event["event_id"] for event in client.ask(setup.config, "events")["events"]]
        elif setup.config.gallery_path.exists():
            with contextlib.closing(setup):
                ids = [event.event_id for event in setup.gallery.events.all()]
        else:
            ids = []
        return [event_id for event_id in reversed(ids) if event_id.startswith(incomplete)]
    return []


def backups(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of backups that begin with what was typed, the newest first."""
    with _silently():
        names = [copy.path.name for copy in reversed(Backups(_setup(context).config).find())]
        return [name for name in names if name.startswith(incomplete)]
    return []


def checks(incomplete: str) -> list[str]:
    """Return the lists of checks that go on as what was typed, each with one check more."""
    from edgeface.doctor import CHECKS

    before, comma, begun = incomplete.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{name}" for name in CHECKS if name.startswith(begun) and name not in given]


@contextlib.contextmanager
def _silently() -> Iterator[None]:
    """Print no error, and raise none: the shell shows what is printed."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(Exception):
        yield


def _setup(context: typer.Context) -> Setup:
    given = context.find_root().params
    file, model = (given.get(name) and Path(given[name]) for name in ("file", "model"))  # Typer completes before it converts
    return Setup(file, model or SHIPPED)


def _known(context: typer.Context) -> list[tuple[str, str]]:
    setup = _setup(context)
    if through_the_daemon(setup.config):
        return [(person["name"], person["id"]) for person in client.ask(setup.config, "people")["people"]]
    if not setup.config.gallery_path.exists():
        return []
    with contextlib.closing(setup):
        return [(person.name, person.id) for person in setup.gallery.people()]


Who = Annotated[
    str, typer.Argument(metavar="PERSON", help="A name, or an id from edgeface people list.", autocompletion=people)
]
