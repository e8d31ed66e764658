"""edgeface events."""

from typing import Annotated

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, print_json, serve

app = typer.Typer(
    no_args_is_help=True,
    help="""The events that wait for people confirm or people reject.

\b
Example: edgeface events list""",
)


@app.command("list")
def events_list(
    context: typer.Context,
    person: Annotated[
        str | None,
        typer.Option(metavar="PERSON", help="Only those that named this person.", autocompletion=completion.people),
    ] = None,
    json: Json = False,
) -> None:
    """List the recognized and unknown events that are still kept, the newest last.

    \b
    Example: edgeface events list --person Anna
    """
    rows = serve(context, "events", person=person)["events"]
    if json:
        print_json({"events": rows})
    for row in [] if json else rows:
        who, verdict = row["name"] or "somebody unknown", f"  {row['verdict']}" if row["verdict"] else ""
        typer.echo(f"{row['event_id']}  {row['ts'][:19]}Z  {row['event_type']:<10}  score {row['score']:.2f}  {who}{verdict}")
    if not rows and not json:
        typer.echo("no event is kept; see [events] in edgeface config default", err=True)
