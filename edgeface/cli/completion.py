"""Completes people's names for a shell, without loading the network, creating a gallery, or printing errors."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import typer

from edgeface.cli.common import Setup
from edgeface.cli.operations import through_the_daemon
from edgeface.control import client
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
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            known = _known(context)
        except Exception:  # the shell must show no error
            return []
    names = [name for name, _ in known if name.startswith(incomplete)]
    ids = [person_id for _, person_id in known if incomplete.startswith("p_") and person_id.startswith(incomplete)]
    shell = environment.text("_EDGEFACE_COMPLETE")
    if shell == "complete_bash":
        return [_Escaped(re.sub(r"([^\w@%+=:,./-])", r"\\\1", name)) for name in [*names, *ids]]
    return [name for name in [*names, *ids] if shell != "complete_zsh" or not UNSPEAKABLE.search(name)]


def _known(context: typer.Context) -> list[tuple[str, str]]:
    given = context.find_root().params
    file, model = (given.get(name) and Path(given[name]) for name in ("file", "model"))  # Typer completes before it converts
    setup = Setup(file, model or SHIPPED)
    if through_the_daemon(setup.config):
        return [(person["name"], person["id"]) for person in client.ask(setup.config, "people")["people"]]
    if not setup.config.gallery_path.exists():
        return []
    with contextlib.closing(setup):
        return [(person.name, person.id) for person in setup.gallery.people()]
