"""edgeface gallery."""

import sys
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from edgeface.cli.common import Json, counted, open_gallery, print_json
from edgeface.cli.operations import perform
from edgeface.errors import EdgefaceError
from edgeface.operations.registry import BACKUP, BACKUPS, CHECK, DROP, RESTORE
from edgeface.vision.model_card import load_card
from edgeface.wire.commands import (
    BackupRequest,
    BackupsRequest,
    CheckRequest,
    DropRequest,
    ListedBackup,
    RestoreRequest,
)

app = typer.Typer(
    no_args_is_help=True,
    help="""The templates: check them, drop one, make all anew; backups; one gallery for several devices: key, sync.

\b
Examples: edgeface gallery check
          edgeface gallery drop 3f9a12cd
          edgeface gallery restore
          edgeface gallery sync""",
)


@app.command()
def check(context: typer.Context, json: Json = False) -> None:
    """Look for what makes people be mistaken or missed, with the command that cures each; exits with 1 if there is any.

    A damaged record is one that cannot be read any more. Look-alikes are two people of whom one passes for the other. A
    mislabelled template is nearer to another person than to its own, a weak one is hardly like the others of its person.

    \b
    Examples: edgeface gallery check
              edgeface gallery check --json | jq -r '.findings[].cure'
    """
    checked = perform(context.obj, CHECK, CheckRequest())
    if json:
        print_json(checked)
    for finding in [] if json else checked.findings:
        typer.echo(f"{finding.kind:<11}  {finding.found}")
        typer.echo(f"{'':<11}  -> {finding.cure}")
    if checked.threshold and not json:
        typer.echo(f"{'threshold':<11}  {checked.threshold}")
    if checked.findings:
        raise typer.Exit(1)
    if not json:
        typer.echo(f"{checked.people} enrolled, nothing to mend")


@app.command()
def drop(
    context: typer.Context,
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="Its eight digits, from edgeface gallery check.")],
    json: Json = False,
) -> None:
    """Erase one template of a person, or one damaged record; the others stay.

    \b
    Example: edgeface gallery drop 3f9a12cd
    """
    left = perform(context.obj, DROP, DropRequest(template=template))
    if json:
        print_json(left)
    else:
        whose = f", {left.name} has {counted(left.templates, 'template')} left" if left.id else ""
        typer.echo(f"{template} is erased{whose}")


@app.command()
def reembed(
    context: typer.Context,
    drop: Annotated[bool, typer.Option("--drop", help="Forget whom no faces are kept of.")] = False,
    json: Json = False,
) -> None:
    """Take a gallery of another network over to this one: new templates, of the faces that gallery.keep_faces has kept.

    edgeface run does so by itself at its start, as long as nobody is lost.

    \b
    Examples: edgeface gallery reembed
              edgeface --model run/model gallery reembed
    """
    from edgeface.gallery.migration import Reembedded
    from edgeface.operations.whole import reembed as reembed_gallery

    done = reembed_gallery(context.obj.config, context.obj.model, drop=drop)
    if json:
        print_json(asdict(done or Reembedded(0, 0, 0)))
    else:
        typer.echo(done or "there is nothing to do: no gallery, or one of this network")


@app.command()
def key(
    context: typer.Context,
    take: Annotated[bool, typer.Option("--set", help="Take another device's key, from standard input.")] = False,
) -> None:
    """Print the key that devices with one gallery share, made if there is none. Whoever has it can read all templates.

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
    """Follow the shared gallery once, and share this one; with sync.enabled, the daemon does so all the time.

    Exits with 1 if what is there is sealed with another key, or of another network.

    \b
    Example: edgeface gallery sync
    """
    from edgeface.sync import follower as following

    settings = context.obj.config
    with open_gallery(context) as gallery:
        outcome = following.once(settings, following.replica(settings, gallery, load_card(context.obj.model)))
    if json:
        print_json(asdict(outcome))
    else:
        for change in outcome.changes:
            typer.echo(f"{change.name}: {change.what}, by {change.device}")
        shared, ignored = counted(outcome.shared, "person"), counted(outcome.ignored, "message")
        typer.echo(f"{shared} shared, {outcome.sent} sent, {ignored} ignored", err=True)
    if outcome.trouble:
        raise EdgefaceError(outcome.trouble)


@app.command()
def backup(context: typer.Context, json: Json = False) -> None:
    """Make a backup now: a copy of the gallery, sealed as it is, that was read to its end. The daemon makes one a day.

    It holds people, templates and kept faces, no events. Without the gallery's key, which is not in it, it is of no use.

    \b
    Example: edgeface gallery backup
    """
    done = perform(context.obj, BACKUP, BackupRequest())
    if json:
        print_json(done)
    elif done.backup:
        typer.echo(f"{done.backup.file}: {counted(done.backup.people or 0, 'person')}, {_size(done.backup)}")
    else:
        typer.echo("nobody is enrolled: there is nothing to back up", err=True)
    for name in [] if json else done.damaged:
        typer.echo(f"edgeface: the backup {name} cannot be read to its end; delete it", err=True)


@app.command()
def backups(context: typer.Context, json: Json = False) -> None:
    """List the backups, the newest first, each read to its end: when it was made, who is in it, and whether it is good.

    Exits with 1 if one is damaged.

    \b
    Examples: edgeface gallery backups
              edgeface gallery backups --json | jq -r '.backups[] | select(.state == "ok").file'
    """
    from edgeface.gallery.copies import FOREIGN

    listed = perform(context.obj, BACKUPS, BackupsRequest())
    if json:
        print_json(listed)
    for one in [] if json else listed.backups:
        made = datetime.fromisoformat(one.date).astimezone()
        people = counted(one.people, "person") if one.people is not None else ""
        typer.echo(f"{one.number:>4}  {made:%Y-%m-%d %H:%M}  {people:>9}  {_size(one):>8}  {one.state}  {one.file}")
    if not listed.backups and not json:
        typer.echo(f"there is no backup in {listed.folder} yet: edgeface gallery backup", err=True)
    if any(one.state not in ("ok", FOREIGN) for one in listed.backups):
        raise typer.Exit(1)


@app.command()
def restore(
    context: typer.Context,
    copy: Annotated[
        str | None, typer.Argument(metavar="COPY", help="Its number or name, from edgeface gallery backups, or a path.")
    ] = None,
    person: Annotated[
        str | None, typer.Option(metavar="NAME", help="Take back this person alone, by name or id; while the daemon runs, too.")
    ] = None,
    json: Json = False,
) -> None:
    """Take a backup back, the newest good one unless COPY says which. Who was forgotten since stays forgotten.

    The gallery that is there is kept as a backup first. With --person nothing is replaced: as with people import, who is there
    gains the templates that are new.

    \b
    Examples: edgeface gallery restore
              edgeface gallery restore 12 --person Anna
    """
    if person is not None:
        _restore_person(context, copy, person, json)
        return
    from edgeface.control import discovery
    from edgeface.operations.whole import restore_whole

    settings = context.obj.config
    if discovery.answers(settings, strict=True):
        raise EdgefaceError(
            "the daemon runs with this gallery: stop it (sudo systemctl stop edgeface), or take one person back with --person"
        )
    done = restore_whole(settings, context.obj.model, copy)
    if json:
        print_json(asdict(done))
        return
    aside = f"; the gallery of before is {done.kept_aside}" if done.kept_aside else ""
    typer.echo(f"{done.copy}: {counted(done.people, 'person')}, {counted(done.templates, 'template')} restored{aside}")


def _restore_person(context: typer.Context, copy: str | None, person: str, json: bool) -> None:
    done = perform(context.obj, RESTORE, RestoreRequest(copy=copy, person=person))
    if json:
        print_json(done)
        return
    gained = counted(done.added, "template")
    told = f"restored with {gained}" if done.new else f"there already, gained {gained}" if done.added else "there already"
    typer.echo(f"{done.name}: {told}, from {done.copy}")


def _size(one: ListedBackup) -> str:
    return f"{one.bytes / 1e6:.1f} MB" if one.bytes >= 1e6 else f"{one.bytes / 1e3:.0f} kB"
