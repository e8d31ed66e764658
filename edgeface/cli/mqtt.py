"""Defines the commands of ``edgeface mqtt``."""

from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, counted, show

app = typer.Typer(
    no_args_is_help=True,
    help="""Clear what the broker keeps; print grants' key; write docs.

\b
Examples: edgeface mqtt clear
          edgeface mqtt docs docs""",
)


@app.command()
def clear(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Remove even if the broker says that the daemon runs.")] = False,
    json: Json = False,
) -> None:
    """Remove all that the broker retains of this device.

    Subscribers and Home Assistant forget it then. Stop the daemon first: it would publish its state again. With --json it
    prints {"removed": [topic]}.

    \b
    Example: systemctl stop edgeface && edgeface mqtt clear
    """
    from edgeface.mqtt.retained import clear as remove

    removed = remove(context.obj.config, force=force)
    asides = [] if removed else ["the broker keeps nothing of this device"]
    show({"removed": removed}, (f"removed {topic}" for topic in removed), asides, json=json)


@app.command("grant-key")
def grant_key(context: typer.Context) -> None:
    """Print the public key by which locks check grants.

    It makes the key at first. Run it as the service's user, and reload the service after the first time.

    \b
    Example: sudo -u edgeface edgeface mqtt grant-key > door.pem
    """
    from edgeface.operations.signing import make_key

    typer.echo(make_key(context.obj.config))


@app.command()
def docs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write mqtt.md, asyncapi.json and schemas/*.json.")],
) -> None:
    """Write the reference of topics and payloads.

    It is a page, an AsyncAPI 3 document, and a JSON Schema of each payload.

    \b
    Example: edgeface mqtt docs docs
    """
    from edgeface.mqtt_reference import write

    typer.echo(f"{counted(len(write(folder)), 'file')} written to {folder}", err=True)
