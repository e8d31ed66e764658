"""Defines the commands of ``edgeface people``."""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, Setup, counted, show
from edgeface.cli.completion import Who
from edgeface.cli.operations import perform
from edgeface.cli.rules import in_words
from edgeface.errors import ConfigError, EdgefaceError, os_errors_as
from edgeface.gallery import portable
from edgeface.gallery.audit import Audit
from edgeface.gallery.export import MAX_IMPORT_BYTES
from edgeface.operations.registry import CONFIRM, FORGET, PEOPLE, REJECT, RENAME
from edgeface.platform.files import write_whole
from edgeface.platform.text import local
from edgeface.wire.commands import ConfirmRequest, ForgetRequest, PeopleRequest, RejectRequest, RenameRequest, Verdict

EventId = Annotated[
    str,
    typer.Argument(
        metavar="EVENT_ID", help="The event_id of an event; see edgeface events list.", autocompletion=completion.events
    ),
]
PassphraseFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file whose first line is the passphrase; without it, you are asked.")
]

app = typer.Typer(
    no_args_is_help=True,
    help="""List, rename or forget people; confirm or reject events.

\b
Examples: edgeface people list
          edgeface people rename Anna "Anna B."
          edgeface people confirm 01M86GTN766HKSFCZ15NNMEFKP --as Anna""",
)


@app.command("list")
def people_list(context: typer.Context, json: Json = False) -> None:
    """List who is enrolled.

    \b
    Examples: edgeface people list
              edgeface people list --json | jq -r '.people[].name'
    """
    listed = perform(context.obj, PEOPLE, PeopleRequest())
    lines = (
        f"{one.id}  {counted(one.templates, 'template'):>13}  since {local(one.enrolled)[:10]}  {one.name}"
        + (f"  ({in_words(one.rules)})" if one.rules else "")
        for one in listed.people
    )
    show(listed, lines, [] if listed.people else ["nobody is enrolled yet: edgeface enroll NAME"], json=json)


@app.command()
def rename(
    context: typer.Context, person: Who, name: Annotated[str, typer.Argument(metavar="NAME")], json: Json = False
) -> None:
    """Give a person another name; the id, and so the topics, stay.

    \b
    Example: edgeface people rename Anna "Anna B."
    """
    renamed = perform(context.obj, RENAME, RenameRequest(person=person, name=name))
    show(renamed, [f"{person} is now {renamed.name}"], json=json)


@app.command()
def forget(
    context: typer.Context,
    person: Who,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, as without a terminal.")] = False,
    json: Json = False,
) -> None:
    """Erase a person with all templates and events.

    What is kept of faces that look like theirs goes, too. On a terminal it asks first.

    \b
    Examples: edgeface people forget Anna
              edgeface people forget Anna --yes
    """
    if not (yes or json) and sys.stdin.isatty() and sys.stdout.isatty():
        _ask_to_forget(context.obj, person)
    forgotten = perform(context.obj, FORGET, ForgetRequest(person=person))
    show(forgotten, [f"{forgotten.name} is forgotten"], json=json)
    if left := forgotten.left_in:
        line = f"edgeface: {forgotten.name} may still be in backups that cannot be changed now: {', '.join(left)};"
        typer.echo(f"{line} the daemon, or edgeface gallery backup, erases them there as soon as it can", err=True)


def _ask_to_forget(setup: Setup, reference: str) -> None:
    """Ask whether to erase a person; an unknown one is left to the operation, which refuses them."""
    for one in perform(setup, PEOPLE, PeopleRequest()).people:
        if reference.strip() in (one.name, one.id):
            typer.confirm(f"Erase {one.name} with {counted(one.templates, 'template')} and all events?", abort=True)
            return


@app.command()
def reject(
    context: typer.Context,
    event_id: EventId,
    force: Annotated[bool, typer.Option("--force", help="Reject the face even if it seems to be that person's.")] = False,
    json: Json = False,
) -> None:
    """Say that an event named the wrong person.

    Such a face is no longer recognized as that person: the face's embedding becomes a negative template. people confirm
    takes that back.

    \b
    Example: edgeface people reject 01M86GTN766HKSFCZ15NNMEFKP
    """
    _print_verdict(perform(context.obj, REJECT, RejectRequest(event_id=event_id, force=force)), json)


@app.command()
def confirm(
    context: typer.Context,
    event_id: EventId,
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="PERSON",
            help="Who it was, if the event named nobody or the wrong person.",
            autocompletion=completion.people,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say that an event named the right person.

    The face becomes a template, if it shows a side that is not known yet. people reject takes that back.

    \b
    Examples: edgeface people confirm 01M86GTN766HKSFCZ15NNMEFKP
              edgeface people confirm 01M86GTN766HKSFCZ15NNMEFKP --as Anna
    """
    _print_verdict(perform(context.obj, CONFIRM, ConfirmRequest(event_id=event_id, person=name)), json)


def _print_verdict(verdict: Verdict, json: bool) -> None:
    fields = msgspec.to_builtins(verdict)
    told = fields.pop("told")
    show(fields, [told], json=json)


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; - prints it.")],
    passphrase_file: PassphraseFile = None,
    plain: Annotated[bool, typer.Option("--plain", help="Write JSON that any program can read, unencrypted.")] = False,
    json: Json = False,
) -> None:
    """Write all people and their templates to a file.

    It is encrypted with a passphrase. It is biometric data: keep it safe. With --json it prints {"file", "encrypted",
    "people": [{"id", "name", "templates"}]}.

    \b
    Examples: edgeface people export people.sealed
              edgeface people export - --plain | jq '.people[].name'
    """
    if json and str(file) == "-":
        raise ConfigError("--json tells what was written to a file, and - prints what would be: give a file, or leave --json")
    secret = "" if plain else portable.checked(_passphrase(passphrase_file, twice=True))
    gallery = context.obj.gallery
    data, broken = gallery.export(), gallery.broken
    people = [
        {"id": person["id"], "name": person["name"], "templates": len(person["templates"])}
        for person in msgspec.json.decode(data)["people"]
    ]
    if not plain:
        data = portable.seal(data, secret)
    if not Audit(context.obj.config.audit_path).note("export", people=len(people), encrypted=not plain, to=str(file)):
        raise EdgefaceError("nothing was exported, because it cannot be noted in the audit log")
    if str(file) == "-":
        typer.echo(data.decode())
        return
    with os_errors_as(EdgefaceError, file):
        write_whole(file, data, 0o600)
    written = f"{counted(len(people), 'person')} written to {file}"
    show({"file": str(file), "encrypted": not plain, "people": people}, [], [written], json=json)
    if broken:
        typer.echo("edgeface: what is damaged is not in it; see edgeface gallery check", err=True)


@app.command("import")
def import_people(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    """Add the people of a file that export wrote; all of them or none.

    A person who is there already (the same id) gains the templates that are new, and is skipped if there are none.
    With --json it prints {"file", "people": [{"id", "name", "outcome", "added", "templates"}]}, where the outcome is
    imported, merged or skipped.

    \b
    Examples: edgeface people import people.sealed
              edgeface people import people.sealed --passphrase-file FILE --json
    """
    with os_errors_as(EdgefaceError, file), file.open("rb") as stream:
        data = stream.read(2 * MAX_IMPORT_BYTES)  # base64 makes a sealed file a third larger
    if portable.is_sealed(data):
        data = portable.unseal(data, _passphrase(passphrase_file, twice=False))
    imported = context.obj.gallery.import_(data)
    Audit(context.obj.config.audit_path).note("import", people=len(imported), file=str(file))
    people = [
        {
            "id": one.person.id,
            "name": one.person.name,
            "outcome": "imported" if one.new else "merged" if one.added else "skipped",
            "added": one.added,
            "templates": one.person.templates,
        }
        for one in imported
    ]
    outcomes = Counter(one["outcome"] for one in people)
    line = f"{counted(outcomes['imported'], 'person')} imported, {outcomes['merged']} merged, {outcomes['skipped']} skipped"
    show({"file": str(file), "people": people}, [line], json=json)


def _passphrase(file: Path | None, *, twice: bool) -> str:
    if file is not None:
        return portable.read_passphrase(file)
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for a passphrase: give --passphrase-file FILE")
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True))
