"""Defines ``edgeface people about``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, counted, show
from edgeface.cli.operations import perform
from edgeface.cli.rules import in_words
from edgeface.enrollment.enroller import read_images
from edgeface.operations.registry import ABOUT, ERASE
from edgeface.platform.text import local
from edgeface.wire.about import About, AboutRequest, Erased, EraseRequest, KnownEvent, KnownPerson

app = typer.Typer()


@app.command("about")
def people_about(
    context: typer.Context,
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos of one person, each with nobody else.")],
    erase: Annotated[bool, typer.Option("--erase", help="Erase all of it; on a terminal it asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, as without a terminal.")] = False,
    json: Json = False,
) -> None:
    """Say everything that is kept of the face in photos, and erase it.

    That is who it is, events, rejected faces and backups. What may only be somebody alike says so. --erase leaves people who
    may only be alike, and their events, as they are.

    \b
    Examples: edgeface people about me.jpg
              edgeface people about me.jpg --erase
    """
    told = perform(context.obj, ABOUT, AboutRequest(), lambda: read_images(photos))
    if not (erase and json):
        asides = [f"{one.path}: {one.reason}" for one in told.refused]
        asides += ["nothing is kept that shows this face"] if _is_empty(told) else []
        asides += [told.switched_off] if told.switched_off else []
        show(told, _lines(told), asides, json=json)
    if not erase:
        return
    wanted = told.erase
    if not (yes or json) and sys.stdin.isatty() and sys.stdout.isatty() and _counted(wanted):
        typer.confirm(f"Erase {_counted(wanted)}?", abort=True)
    done = perform(context.obj, ERASE, wanted) if _counted(wanted) else Erased(people=[], events=0, rejected=0)
    show(done, [_erased(done)], _left(done), json=json)


def _is_empty(told: About) -> bool:
    return not (told.people or told.rejected or told.events or told.changes)


def _lines(told: About) -> Iterator[str]:
    for person in told.people:
        yield _person(person)
    for face in told.rejected:
        yield f"rejected as {face.name}  {face.id}  score {face.score:.2f}{'' if face.sure else '  maybe'}"
    for event in told.events:
        stays = "" if event.event_id in told.erase.event_ids else "  maybe, and not to be erased"
        yield _event(event) + stays
    for stranger in told.strangers:
        visits = f"{counted(stranger.visits, 'visit')} from {local(stranger.first)} to {local(stranger.last)}"
        yield f"{stranger.stranger_id}  {visits}"
    if told.changes:
        yield f"in {counted(len(told.changes), 'change')} that can be undone: {', '.join(told.changes)}"
    if told.backups:
        yield f"in backups, too, people of these: {', '.join(told.backups)}"


def _person(person: KnownPerson) -> str:
    kept = counted(person.templates, "template") + (f", {person.faces} with the face" if person.faces else "")
    rules = f"  ({in_words(person.rules)})" if person.rules else ""
    maybe = "" if person.sure else f"  maybe; to erase them: edgeface people forget {person.id}"
    return f"{person.id}  {kept}  since {local(person.enrolled)[:10]}  score {person.score:.2f}  {person.name}{rules}{maybe}"


def _event(event: KnownEvent) -> str:
    who = event.name or event.stranger_id or "somebody unknown"
    picture = "  with a picture" if event.picture else ""
    return f"{event.event_id}  {local(event.ts)}  {event.camera}  score {event.score:.2f}  {who}{picture}"


def _counted(wanted: EraseRequest) -> str:
    numbers = (
        (wanted.people, "person"),
        (wanted.event_ids, "event"),
        (wanted.rejected, "rejected face"),
        (wanted.changes, "change"),
    )
    return ", ".join(counted(len(some), noun) for some, noun in numbers if some)


def _erased(done: Erased) -> str:
    names = "".join(f"{person.name} with all that is theirs, " for person in done.people)
    return f"erased: {names}{counted(done.events, 'event')}, {counted(done.rejected, 'rejected face')}"


def _left(done: Erased) -> Iterator[str]:
    if done.left_in:
        yield f"edgeface: some of it may still be in backups: {', '.join(done.left_in)}; it goes with them"
    yield "exports and copies of backups that you made are yours to erase"
