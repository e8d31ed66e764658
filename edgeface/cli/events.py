"""Defines the commands of ``edgeface events``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, counted, show
from edgeface.cli.operations import perform
from edgeface.enrollment.enroller import read_images
from edgeface.operations.registry import EVENTS, EXPLAIN, FIND
from edgeface.platform.text import local
from edgeface.wire.commands import EventsRequest, Explained, ExplainRequest, FindRequest, FoundEvent, ListedEvent

app = typer.Typer(
    no_args_is_help=True,
    help="""List, explain, search, name or erase the kept events.

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
    """List the events that are kept, the newest last. An event without a name says why.

    \b
    Example: edgeface events list --person Anna
    """
    listed = perform(context.obj, EVENTS, EventsRequest(person=person))
    asides = [] if listed.events else ["no event is kept; see [events] in edgeface config default"]
    asides += [listed.switched_off] if listed.switched_off else []
    show(listed, map(_line, listed.events), asides, json=json)


def _line(event: ListedEvent) -> str:
    who, verdict = event.name or event.why or "somebody unknown", f"  {event.verdict}" if event.verdict else ""
    score = f"score {event.score:.2f}" if event.score else "no score  "
    return f"{event.event_id}  {local(event.ts)}  {event.event_type:<10}  {score}  {who}{verdict}"


@app.command("find")
def events_find(
    context: typer.Context,
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="[PHOTO...]", help="Photos of one person, each with nobody else.")
    ] = None,
    event: Annotated[str | None, typer.Option(metavar="EVENT_ID", help="Search for the face of this kept event.")] = None,
    json: Json = False,
) -> None:
    """Say when a face was here, by the events that are still kept.

    They are compared with photos, or with an event; the newest is first.

    \b
    Examples: edgeface events find visitor.jpg
              edgeface events find --event 01M86GTN766HKSFCZ15NNMEFKP
    """
    if not photos and not event:
        raise typer.BadParameter("give a photo, or --event EVENT_ID")
    found = perform(context.obj, FIND, FindRequest(event_id=event), lambda: read_images(photos or []))
    asides = [f"{one.path}: {one.reason}" for one in found.refused]
    if not found.events:
        asides.append(f"not seen in the {counted(found.compared, 'event')} that are kept and show a face")
    asides += [found.switched_off] if found.switched_off else []
    show(found, map(_found, found.events), asides, json=json)


def _found(event: FoundEvent) -> str:
    doubt = "" if event.sure else "  maybe"
    who = event.name or event.stranger_id or "somebody unknown"
    return f"{event.event_id}  {local(event.ts)}  {event.camera}  score {event.score:.2f}  {who}{doubt}"


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
    yield f"{told.event_id}  {local(told.ts)}  {told.event_type}{views}"
    yield f"why: {told.told}"
    if told.cure:
        yield f"what helps: {told.cure}"
    if told.usable and not told.name:
        yield f"to say who it was: edgeface people confirm {told.event_id} --as NAME"
    if told.switched_off:
        yield f"to say who it was, a face is needed; {told.switched_off}"
