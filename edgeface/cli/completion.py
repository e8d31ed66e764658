"""Completion of people's names. A shell waits for it: it loads no network, makes no gallery, and says nothing when it fails."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import typer

from edgeface.cli.common import Setup, through_the_daemon
from edgeface.platform import environment
from edgeface.vision.model_card import SHIPPED, load_card

UNSPEAKABLE = re.compile(r"""["'`$\\]""")
"""What Typer's script for zsh, which evaluates what it is given, does not quote as it should."""


class _Offered(str):
    """A name as the shell needs it. Typer holds it against what was typed, which has no escapes: that is done already."""

    __slots__ = ()

    def startswith(self, *_: Any) -> bool:
        return True


def people(context: typer.Context, incomplete: str) -> list[str]:
    """The names of those enrolled that begin like this, or the ids of those whose id does."""
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            known = _known(context)
        except Exception:  # whatever it is, the shell must not show it
            return []
    names = [name for name, _ in known if name.startswith(incomplete)]
    ids = [person_id for _, person_id in known if incomplete.startswith("p_") and person_id.startswith(incomplete)]
    shell = environment.completing_shell()
    if shell == "complete_bash":
        return [_Offered(re.sub(r"([^\w@%+=:,./-])", r"\\\1", name)) for name in [*names, *ids]]
    return [name for name in [*names, *ids] if shell != "complete_zsh" or not UNSPEAKABLE.search(name)]


def _known(context: typer.Context) -> list[tuple[str, str]]:
    """Everybody's name and id."""
    given = context.find_root().params
    file, model = (given.get(name) and Path(given[name]) for name in ("file", "model"))  # Typer completes before it converts
    setup = Setup(file, model or SHIPPED)
    settings = setup.config
    if through_the_daemon(settings):
        from edgeface.control import client

        return [(person["name"], person["id"]) for person in client.ask(settings, "people")["people"]]
    if not settings.gallery_path.exists():
        return []
    from edgeface.gallery.store import Gallery

    card = load_card(setup.model)
    with contextlib.closing(Gallery(settings.gallery_path, card.digest, card.identity, settings.key_path)) as gallery:
        return [(person.name, person.id) for person in gallery.people()]
