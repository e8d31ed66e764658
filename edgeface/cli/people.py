"""edgeface people."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli.common import Json, Who, audit, counted, open_gallery, print_json
from edgeface.errors import ConfigError, EdgefaceError
from edgeface.files import write_whole
from edgeface.modelcard import load_card
from edgeface.types import Person

EventId = Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event_id of an event; see edgeface events list.")]
PassphraseFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file whose first line is the passphrase; else it is asked for.")
]

app = typer.Typer(
    no_args_is_help=True, help="Who is enrolled: list, rename, forget, export, import; confirm and reject what events said."
)


@app.command("list")
def people_list(context: typer.Context, json: Json = False) -> None:
    """List who is enrolled."""
    from edgeface.publishers.payloads import timestamp

    with open_gallery(context) as gallery:
        people: list[Person] = gallery.people()
    if json:
        print_json({"people": [{**asdict(person), "enrolled": timestamp(person.enrolled)} for person in people]})
    for person in [] if json else people:
        typer.echo(
            f"{person.id}  {counted(person.templates, 'template'):>13}  since {timestamp(person.enrolled)[:10]}  {person.name}"
        )
    if not people and not json:
        typer.echo("nobody is enrolled yet: edgeface enroll NAME", err=True)


@app.command()
def rename(context: typer.Context, person: Who, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Give a person another name; the id, and so the topics, stay."""
    from edgeface import changes

    with open_gallery(context) as gallery:
        renamed = changes.rename(audit(context), gallery, person, name)
    typer.echo(f"{person} is now {renamed.name}")


@app.command()
def forget(context: typer.Context, person: Who) -> None:
    """Erase a person: templates, events, and what is kept of faces that look like theirs."""
    from edgeface import changes

    with open_gallery(context) as gallery:
        forgotten = changes.forget(audit(context), gallery, person)
    typer.echo(f"{forgotten.name} is forgotten")


@app.command()
def reject(
    context: typer.Context,
    event_id: EventId,
    force: Annotated[bool, typer.Option("--force", help="Reject a face that seems to be that person's after all.")] = False,
    json: Json = False,
) -> None:
    """Not this person: the face of an event is not whom it named, and shall not be taken for them again.

    Its embedding becomes a negative template. people confirm takes that back.

    \b
    Example: edgeface people reject 01M86GTN766HKSFCZ15NNMEFKP
    """
    from edgeface import changes

    with open_gallery(context) as gallery:
        outcome = changes.reject(audit(context), gallery, context.obj.config.matching, event_id, force=force)
    _tell_verdict("rejected", outcome, json)


@app.command()
def confirm(
    context: typer.Context,
    event_id: EventId,
    name: Annotated[str | None, typer.Option("--as", metavar="PERSON", help="Who it was, if the event does not say.")] = None,
    json: Json = False,
) -> None:
    """The face of an event is that person: it becomes a template, if it shows a side that is not known yet.

    people reject takes that back.

    \b
    Examples: edgeface people confirm 01M86GTN766HKSFCZ15NNMEFKP
              edgeface people confirm 01M86GTN766HKSFCZ15NNMEFKP --as Anna
    """
    from edgeface import changes

    with open_gallery(context) as gallery:
        card, settings = load_card(context.obj.model), context.obj.config.matching
        outcome = changes.confirm(audit(context), gallery, card, settings, event_id, name)
    _tell_verdict("confirmed", outcome, json)


def _tell_verdict(verdict: str, outcome: Any, json: bool) -> None:
    event_id, person = outcome.event_id, outcome.person
    if json:
        print_json(
            {"event_id": event_id, "verdict": verdict, "person_id": person.id, "name": person.name, "added": outcome.added}
        )
    else:
        typer.echo(outcome.told)


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; - prints it.")],
    passphrase_file: PassphraseFile = None,
    plain: Annotated[bool, typer.Option("--plain", help="Do not encrypt it: JSON that any program can read.")] = False,
) -> None:
    """Write everybody with their templates to a file, encrypted with a passphrase. It is biometric data: keep it safe.

    \b
    Examples: edgeface people export people.sealed
              edgeface people export - --plain | jq '.people[].name'
    """
    from edgeface import passphrase

    secret = "" if plain else passphrase.checked(_passphrase(passphrase_file, twice=True))
    with open_gallery(context) as gallery:
        data: bytes = gallery.export()
        count = len(gallery.people())
    if not plain:
        data = passphrase.seal(data, secret)
    if not audit(context).note("export", people=count, encrypted=not plain, to=str(file)):
        raise EdgefaceError("nothing was exported, because it cannot be noted in the audit log")
    if str(file) == "-":
        typer.echo(data.decode())
        return
    try:
        write_whole(file, data, 0o600)
    except OSError as error:
        raise EdgefaceError(f"{file}: {error.strerror or error}") from None
    typer.echo(f"{count} people written to {file}", err=True)


@app.command("import")
def import_people(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Add the people of a file that export wrote; all of them or none."""
    from edgeface import passphrase
    from edgeface.gallery import MAX_IMPORT_BYTES

    try:
        with file.open("rb") as stream:
            data = stream.read(2 * MAX_IMPORT_BYTES)  # base64 of what is sealed makes a third more
    except OSError as error:
        raise EdgefaceError(f"{file}: {error.strerror or error}") from None
    if passphrase.is_sealed(data):
        data = passphrase.unseal(data, _passphrase(passphrase_file, twice=False))
    with open_gallery(context) as gallery:
        count = len(gallery.import_(data))
    audit(context).note("import", people=count, file=str(file))
    typer.echo(f"{count} people imported")


def _passphrase(file: Path | None, *, twice: bool) -> str:
    from edgeface.passphrase import read_passphrase

    if file is not None:
        return read_passphrase(file)
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for a passphrase: give --passphrase-file FILE")
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True))
