"""Defines the commands of ``edgeface events``."""

from typing import Annotated

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, show
from edgeface.cli.operations import perform
from edgeface.operations.registry import EVENTS
from edgeface.platform.text import local
from edgeface.wire.commands import EventsRequest, ListedEvent

app = typer.Typer(
    no_args_is_help=True,
    help="""The kept events, which people confirm and people reject take.

\b
Example: edgeface events list""",
)


@app.command("list")
def events_list(
    context: typer.Context,
    person: Annotated[
        str | None,
        typer.Option(metavar="PERSON", help="List only events that name this person.", autocompletion=completion.people),
    ] = None,
    json: Json = False,
) -> None:
    """List the kept events, the newest last.

    \b
    Example: edgeface events list --person Anna
    """
    listed = perform(context.obj, EVENTS, EventsRequest(person=person))
    asides = [] if listed.events else ["no event is kept; see [events] in edgeface config default"]
    show(listed, map(_line, listed.events), asides, json=json)


def _line(event: ListedEvent) -> str:
    who, verdict = event.name or "somebody unknown", f"  {event.verdict}" if event.verdict else ""
    return f"{event.event_id}  {local(event.ts)}  {event.event_type:<10}  score {event.score:.2f}  {who}{verdict}"
