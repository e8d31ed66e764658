"""Defines ``edgeface people home``."""

import typer

from edgeface.cli.common import Json, show
from edgeface.cli.operations import perform
from edgeface.operations.registry import HOME
from edgeface.platform.text import local
from edgeface.wire.home import HomeRequest, LastSight

app = typer.Typer()


@app.command("home")
def people_home(context: typer.Context, json: Json = False) -> None:
    """Say who is home, and where everybody was seen last.

    The daemon tells it, over all devices with the same home.topic; it needs home.enabled.

    \b
    Examples: edgeface people home
              edgeface people home --json | jq -r '.people[] | select(.state == "home").name'
    """
    told = perform(context.obj, HOME, HomeRequest())
    show(told, map(_line, told.people), [] if told.people else ["nobody was seen yet"], json=json)


def _line(one: LastSight) -> str:
    state = "present" if one.present else one.state.replace("_", " ")
    return f"{state:<9} {local(one.last_seen or '')}  {one.camera} ({one.device})  {one.name}"
