"""Defines the commands of ``edgeface people`` that merge and split people and move views, and undo that."""

from typing import Annotated

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, counted, show
from edgeface.cli.completion import Who
from edgeface.cli.operations import perform
from edgeface.operations.registry import BIN, EMPTY_BIN, MERGE, MOVE, SPLIT, UNDO, VIEWS
from edgeface.platform.text import local
from edgeface.wire.moves import (
    BinRequest,
    EmptyBinRequest,
    ListedView,
    MergeRequest,
    Moved,
    MoveRequest,
    SplitRequest,
    UndoRequest,
    ViewsRequest,
)

SomeViews = Annotated[
    list[str], typer.Argument(metavar="VIEW...", help="Eight digits each, from edgeface people views, of one person.")
]
app = typer.Typer()


@app.command()
def views(context: typer.Context, person: Who, json: Json = False) -> None:
    """List the views of a person, the oldest first.

    Each has its score against the others.

    \b
    Example: edgeface people views Anna
    """
    listed = perform(context.obj, VIEWS, ViewsRequest(person=person))
    show(listed, map(_line, listed.views), json=json)


def _line(view: ListedView) -> str:
    score = "the only one" if view.score is None else f"score {view.score:.2f}"
    source = f"from {view.event_id}" if view.event_id else "from enrollment"
    return f"{view.id}  quality {view.quality:.2f}  {score}  {source}" + (f"  more like {view.like.name}" if view.like else "")


@app.command()
def merge(
    context: typer.Context,
    person: Who,
    into: Annotated[
        str, typer.Argument(metavar="INTO", help="Who keeps name, id and rules.", autocompletion=completion.people)
    ],
    force: Annotated[bool, typer.Option("--force", help="Merge them even if they do not look alike.")] = False,
    json: Json = False,
) -> None:
    """Say that two people are one. INTO gets the views, events and groups of PERSON.

    \b
    Examples: edgeface people merge "Anna 2" Anna
              edgeface people merge "Anna 2" Anna --force
    """
    _print(perform(context.obj, MERGE, MergeRequest(person=person, into=into, force=force)), json)


@app.command()
def move(
    context: typer.Context,
    which: SomeViews,
    to: Annotated[str, typer.Option(metavar="PERSON", help="Who it is.", autocompletion=completion.people)],
    force: Annotated[bool, typer.Option("--force", help="Move them even if they are nearer to somebody else.")] = False,
    json: Json = False,
) -> None:
    """Say that views of one person are another one who is enrolled.

    \b
    Example: edgeface people move 3f9a12cd --to Bert
    """
    _print(perform(context.obj, MOVE, MoveRequest(views=which, to=to, force=force)), json)


@app.command()
def split(
    context: typer.Context,
    which: SomeViews,
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Who it is.")],
    force: Annotated[bool, typer.Option("--force", help="Split them off even if they pass for somebody enrolled.")] = False,
    json: Json = False,
) -> None:
    """Say that views of one person are somebody new.

    \b
    Example: edgeface people split 3f9a12cd 8b07e1aa --as Bert
    """
    _print(perform(context.obj, SPLIT, SplitRequest(views=which, name=name, force=force)), json)


@app.command()
def undo(
    context: typer.Context,
    change: Annotated[
        str | None, typer.Argument(metavar="[CHANGE]", help="A change, from edgeface people bin; without it, the latest.")
    ] = None,
    json: Json = False,
) -> None:
    """Undo a merge, a split, a move, or the deletion of a view.

    Each can be undone for gallery.bin_days, unless a person whom it concerns was forgotten.

    \b
    Examples: edgeface people undo
              edgeface people undo c_5b0e91d7
    """
    undone = perform(context.obj, UNDO, UndoRequest(change=change))
    show(undone, [undone.told], json=json)


@app.command("bin")
def list_bin(
    context: typer.Context,
    empty: Annotated[bool, typer.Option("--empty", help="Erase what is kept for that, at once.")] = False,
    json: Json = False,
) -> None:
    """List the changes that can be undone, the latest last.

    \b
    Examples: edgeface people bin
              edgeface people bin --empty
    """
    if empty:
        emptied = perform(context.obj, EMPTY_BIN, EmptyBinRequest())
        show(emptied, [f"{counted(emptied.changes, 'change')} erased: they cannot be undone any more"], json=json)
        return
    listed = perform(context.obj, BIN, BinRequest())
    lines = (f"{one.change}  {local(one.ts)}  until {local(one.until)[:10]}  {one.told}" for one in listed.changes)
    nothing = "there is nothing to undo" if listed.days else "there is nothing to undo: gallery.bin_days is 0"
    show(listed, lines, [] if listed.changes else [nothing], json=json)


def _print(moved: Moved, json: bool) -> None:
    asides = [f"edgeface people undo {moved.change} takes it back"] if moved.change else []
    show(moved, [moved.told], asides, json=json)
