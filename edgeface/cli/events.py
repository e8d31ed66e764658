"""Defines the commands of ``edgeface events``."""

from collections.abc import Iterator
from typing import Annotated

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, show
from edgeface.cli.operations import perform
from edgeface.operations.registry import EVENTS, EXPLAIN
from edgeface.wire.commands import EventsRequest, Explained, ExplainRequest, ListedEvent

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
    """List the recognized, unknown and unsure events that are still kept, the newest last, and why nobody was named.

    \b
    Example: edgeface events list --person Anna
    """
    listed = perform(context.obj, EVENTS, EventsRequest(person=person))
    asides = [] if listed.events else ["no event is kept; see [events] in edgeface config default"]
    show(listed, map(_line, listed.events), asides, json=json)


def _line(event: ListedEvent) -> str:
    who, verdict = event.name or event.why or "somebody unknown", f"  {event.verdict}" if event.verdict else ""
    return f"{event.event_id}  {event.ts[:19]}Z  {event.event_type:<10}  score {event.score:.2f}  {who}{verdict}"


@app.command("explain")
def events_explain(
    context: typer.Context,
    event_id: Annotated[
        str | None, typer.Argument(metavar="[EVENT_ID]", help="A kept event; without it, the latest visit without a name.")
    ] = None,
    json: Json = False,
) -> None:
    """Say why a visit has no name, and what helps.

    \b
    Examples: edgeface events explain
              edgeface events explain 01M86GTN766HKSFCZ15NNMEFKP
    """
    told = perform(context.obj, EXPLAIN, ExplainRequest(event_id=event_id))
    show(told, _explained(told), json=json)


def _explained(told: Explained) -> Iterator[str]:
    views = "" if told.views is None else f", {told.good_views} of {told.views} views good"
    yield f"{told.event_id}  {told.ts[:19]}Z  {told.event_type}{views}"
    yield f"why: {told.told}"
    if told.cure:
        yield f"what helps: {told.cure}"
    if told.usable and not told.name:
        yield f"to say who it was: edgeface people confirm {told.event_id} --as NAME"
