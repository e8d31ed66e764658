"""Defines the commands of ``edgeface gallery``."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, counted, show
from edgeface.cli.operations import perform
from edgeface.control import discovery
from edgeface.enrollment.gallery_check import Finding
from edgeface.errors import EdgefaceError, os_errors_as
from edgeface.gallery.copies import FOREIGN
from edgeface.gallery.migration import Reembedded
from edgeface.gallery.store import Gallery
from edgeface.operations import whole
from edgeface.operations.registry import BACKUP, BACKUPS, CHECK, DROP, RESTORE
from edgeface.platform.files import write_whole
from edgeface.platform.text import local
from edgeface.wire.commands import DropRequest, ListedBackup, Request, RestoreRequest

app = typer.Typer(
    no_args_is_help=True,
    help="""Check, back up, restore and share the gallery.

\b
Examples: edgeface gallery check
          edgeface gallery drop 3f9a12cd
          edgeface gallery restore
          edgeface gallery sync""",
)


@app.command()
def check(
    context: typer.Context,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the kept faces of doubtful templates here; see gallery.keep_faces."),
    ] = None,
    json: Json = False,
) -> None:
    """Find what causes false matches and misses, each with a cure.

    Exits with 1 if there is any. A damaged record cannot be read any more. Look-alikes are two people of whom one passes
    for the other. An unusual template is nearer to another person than to its own: look at it before you drop it. A weak one
    is hardly like the others of its person.

    \b
    Examples: edgeface gallery check
              edgeface gallery check --pictures doubtful
              edgeface gallery check --json | jq -r '.findings[].cure'
    """
    checked = perform(context.obj, CHECK, Request())
    written = _write_faces(context.obj.gallery, checked.findings, pictures) if pictures else {}
    lines = [line for one in checked.findings for line in _describe(one, written)]
    if checked.threshold:
        lines.append(f"{'threshold':<11}  {checked.threshold}")
    if not checked.findings:
        lines.append(f"{checked.people} enrolled, nothing to mend")
    doubtful = any(one.template for one in checked.findings)
    asides = ["no face of these templates is kept; see gallery.keep_faces"] if pictures and doubtful and not written else []
    show(checked, lines, asides, json=json)
    if checked.findings:
        raise typer.Exit(1)


def _write_faces(gallery: Gallery, findings: Sequence[Finding], folder: Path) -> dict[str, Path]:
    """Write the faces that are kept of the templates of findings; return the file of each template."""
    faces = gallery.kept_faces({one.template for one in findings if one.template})
    written = {template: folder / f"{template}.png" for template in faces}
    with os_errors_as(EdgefaceError, folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for template, png in faces.items():
            write_whole(written[template], png, 0o600)
    return written


def _describe(one: Finding, written: Mapping[str, Path]) -> Iterator[str]:
    kind = "unusual" if one.kind == "mislabelled" else one.kind
    yield f"{kind:<11}  {one.found}"
    if one.event_id and one.ts:
        yield f"{'':<11}  learned from event {one.event_id} of {local(one.ts)}"
    if one.template and one.template in written:
        yield f"{'':<11}  its face is in {written[one.template]}"
    yield f"{'':<11}  -> {one.cure}"


@app.command()
def drop(
    context: typer.Context,
    template: Annotated[
        str, typer.Argument(metavar="TEMPLATE", help="The template's eight digits, from edgeface gallery check.")
    ],
    json: Json = False,
) -> None:
    """Erase one template of a person, or one damaged record. edgeface people undo takes a template back.

    \b
    Example: edgeface gallery drop 3f9a12cd
    """
    left = perform(context.obj, DROP, DropRequest(template=template))
    whose = f", {left.name} has {counted(left.templates, 'template')} left" if left.id else ""
    asides = [f"edgeface people undo {left.change} takes it back"] if left.change else []
    show(left, [f"{template} is erased{whose}"], asides, json=json)


@app.command()
def reembed(
    context: typer.Context,
    drop: Annotated[bool, typer.Option("--drop", help="Forget people of whom no faces are kept.")] = False,
    json: Json = False,
) -> None:
    """Compute all templates anew for another network.

    It needs the faces that gallery.keep_faces has kept. edgeface run does so by itself at its start, unless somebody would
    be lost.

    \b
    Examples: edgeface gallery reembed
              edgeface --model run/model gallery reembed
    """
    done = whole.reembed(context.obj.config, context.obj.model, drop=drop)
    told = str(done) if done else "there is nothing to do: no gallery, or one of this network"
    show(done or Reembedded(0, 0, 0), [told], json=json)


@app.command()
def key(
    context: typer.Context,
    take: Annotated[bool, typer.Option("--set", help="Take another device's key, from standard input.")] = False,
) -> None:
    """Print the key that devices with one gallery share, or make one. Whoever has it can read all templates.

    \b
    Examples: edgeface gallery key
              ssh door edgeface gallery key | edgeface gallery key --set
    """
    from edgeface.sync import messages

    settings = context.obj.config
    if take:
        messages.take_key(settings, sys.stdin.read(1000))
        typer.echo(f"the shared key is in {settings.sync_key_path}", err=True)
    else:
        typer.echo(messages.make_key(settings))


@app.command()
def sync(context: typer.Context, json: Json = False) -> None:
    """Merge the shared gallery and this one once.

    With sync.enabled, the daemon does so all the time. Exits with 1 if the shared gallery is sealed with another key, or is
    of another network.

    \b
    Example: edgeface gallery sync
    """
    from edgeface.sync import follower

    setup = context.obj
    outcome = follower.once(setup.config, follower.replica(setup.config, setup.gallery, setup.card))
    changes = [f"{change.name}: {change.what}, by {change.device}" for change in outcome.changes]
    shared, ignored = counted(outcome.shared, "person"), counted(outcome.ignored, "message")
    show(outcome, changes, [f"{shared} shared, {outcome.sent} sent, {ignored} ignored"], json=json)
    if outcome.trouble:
        raise EdgefaceError(outcome.trouble)


@app.command()
def backup(context: typer.Context, json: Json = False) -> None:
    """Make a backup now; the daemon makes one a day.

    A backup is a sealed copy of the gallery, checked by reading it. It holds people, templates and kept faces, no events.
    It cannot be read without the gallery's key, which is not in it.

    \b
    Example: edgeface gallery backup
    """
    done = perform(context.obj, BACKUP, Request())
    one = done.backup
    made = [f"{one.file}: {counted(one.people or 0, 'person')}, {_size(one)}"] if one else []
    asides = [] if one else ["nobody is enrolled: there is nothing to back up"]
    asides += [f"edgeface: the backup {name} cannot be read to its end; delete it" for name in done.damaged]
    show(done, made, asides, json=json)


@app.command()
def backups(context: typer.Context, json: Json = False) -> None:
    """List the backups, the newest first.

    A line says when it was made, how many people it has, and whether it can be read. Exits with 1 if one is damaged.

    \b
    Examples: edgeface gallery backups
              edgeface gallery backups --json | jq -r '.backups[] | select(.state == "ok").file'
    """
    listed = perform(context.obj, BACKUPS, Request())
    asides = [] if listed.backups else [f"there is no backup in {listed.folder} yet: edgeface gallery backup"]
    show(listed, map(_line, listed.backups), asides, json=json)
    if any(one.state not in ("ok", FOREIGN) for one in listed.backups):
        raise typer.Exit(1)


@app.command()
def restore(
    context: typer.Context,
    copy: Annotated[
        str | None,
        typer.Argument(
            metavar="COPY",
            help="The backup's number or name, from edgeface gallery backups, or a path.",
            autocompletion=completion.backups,
        ),
    ] = None,
    person: Annotated[
        str | None, typer.Option(metavar="NAME", help="Restore only this person, by name or id; the daemon may run.")
    ] = None,
    json: Json = False,
) -> None:
    """Restore a backup, the newest good one unless COPY says which. People who were forgotten since stay forgotten.

    The present gallery is kept as a backup first. With --person nothing is replaced: as with people import, a person who is
    there gains the templates that are new.

    \b
    Examples: edgeface gallery restore
              edgeface gallery restore 12 --person Anna
    """
    if person is not None:
        _restore_person(context, copy, person, json)
        return

    settings = context.obj.config
    if discovery.answers(settings, strict=True):
        raise EdgefaceError(
            "the daemon runs with this gallery: stop it (sudo systemctl stop edgeface), or take one person back with --person"
        )
    done = whole.restore_whole(settings, context.obj.model, copy)
    aside = f"; the gallery of before is {done.kept_aside}" if done.kept_aside else ""
    told = f"{done.copy}: {counted(done.people, 'person')}, {counted(done.templates, 'template')} restored{aside}"
    show(done, [told], json=json)


def _restore_person(context: typer.Context, copy: str | None, person: str, json: bool) -> None:
    done = perform(context.obj, RESTORE, RestoreRequest(copy=copy, person=person))
    gained = counted(done.added, "template")
    outcome = f"restored with {gained}" if done.new else f"there already, gained {gained}" if done.added else "there already"
    show(done, [f"{done.name}: {outcome}, from {done.copy}"], json=json)


def _line(one: ListedBackup) -> str:
    made = datetime.fromisoformat(one.date).astimezone()
    people = counted(one.people, "person") if one.people is not None else ""
    return f"{one.number:>4}  {made:%Y-%m-%d %H:%M}  {people:>9}  {_size(one):>8}  {one.state}  {one.file}"


def _size(one: ListedBackup) -> str:
    return f"{one.bytes / 1e6:.1f} MB" if one.bytes >= 1e6 else f"{one.bytes / 1e3:.0f} kB"
