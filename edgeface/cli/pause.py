"""Defines the commands ``pause`` and ``resume``."""

import re
from typing import Annotated

import typer

from edgeface.cli.common import Json, show
from edgeface.cli.operations import perform
from edgeface.operations.registry import PAUSE, RESUME
from edgeface.platform.text import local
from edgeface.wire.commands import PauseRequest, PauseState, ResumeRequest

MINUTES = {"d": 24 * 60, "h": 60, "m": 1}
app = typer.Typer()


@app.command()
def pause(
    context: typer.Context,
    duration: Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long, such as 2h, 45m or 1d12h.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when, such as 18:00 or 2026-12-24T18:00, by this machine's clock.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; status and MQTT tell it.")] = "",
    json: Json = False,
) -> None:
    """Close the camera, until edgeface resume or the end given. Nobody is looked at, and nothing is kept.

    \b
    Examples: edgeface pause
              edgeface pause --for 2h --reason guests
              edgeface pause --until 18:00
    """
    if duration and until:
        raise typer.BadParameter("give one of the two", param_hint="--for / --until")
    minutes = None if duration is None else read_minutes(duration, "--for")
    state = perform(context.obj, PAUSE, PauseRequest(minutes=minutes, until=until, reason=reason))
    show(state, [f"paused {f'until {local(state.until)}' if state.until else 'until edgeface resume'}"], json=json)


@app.command()
def resume(context: typer.Context, json: Json = False) -> None:
    """Open the camera again. During pause.hours of the settings, it stays open until these come again.

    \b
    Example: edgeface resume
    """
    state: PauseState = perform(context.obj, RESUME, ResumeRequest())
    show(state, ["the camera is open again, if the daemon runs"], json=json)


def read_minutes(text: str, option: str) -> float:
    """Return the minutes of a duration such as 1d12h; raise ``typer.BadParameter`` if it is none."""
    parts = re.findall(r"(\d{1,6})([dhm])", text)
    minutes = sum(int(number) * MINUTES[unit] for number, unit in parts)
    if "".join(map("".join, parts)) != text or not 0 < minutes <= 366 * 24 * 60:
        raise typer.BadParameter(f"{text!r} is no duration such as 2h, 45m or 1d12h, of a year at most", param_hint=option)
    return float(minutes)
