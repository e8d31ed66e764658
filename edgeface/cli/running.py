"""Defines the commands ``demo``, ``run``, ``status``, ``listen`` and ``doctor``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, Setup, print_json, show
from edgeface.cli.terminal import coloured
from edgeface.control import client
from edgeface.daemon.run import serve
from edgeface.daemon.status import describe
from edgeface.errors import ConfigError, EdgefaceError

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to draw the contact sheet.")] = Path("edgeface-demo.png"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave broker and daemon running until Ctrl-C.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print each event as one line of JSON, all else on standard error.")
    ] = False,
) -> None:
    """Show edgeface on bundled photos, without a camera or a broker.

    It enrolls two people, watches them, a stranger and a film of one of them on a tablet, and listens on a broker of its own.
    It needs no network and uses a gallery of its own, which keeps the stranger's face, too, and is erased at the end. Exits
    with 0 only if both people were recognized, the stranger was not, and the film was refused.

    \b
    Examples: edgeface demo
              edgeface demo --keep --out seen.png
              edgeface demo --json | jq .name
    """
    try:
        from edgeface.demo import show
    except ModuleNotFoundError as error:
        raise EdgefaceError(f"the demo needs {error.name}: pip install '.[demo]' in a clone of edgeface") from None
    told = show(out, keep=keep, tell=lambda line: typer.echo(line, err=json), take=print_json if json else None)
    raise typer.Exit(0 if told else 1)


@app.command()
def run(context: typer.Context) -> None:
    """Watch the camera and publish events until stopped.

    Without a broker it prints them: as JSON, an event a line, and on a terminal as text. SIGHUP makes a service read its
    settings again; if they are wrong, the old ones stay in force.

    \b
    Example: edgeface --config edgeface.toml run
    """
    serve(context.obj.file, context.obj.model)


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Show the state of the running daemon, and what is wrong.

    Exits with 1, and a line for each trouble, if there is any or no daemon runs.

    \b
    Examples: edgeface status
              edgeface status --json | jq .camera_state
    """
    try:
        found = _ask_status(context.obj)
    except ConfigError:
        raise
    except EdgefaceError as error:
        found = {"running": False, "troubles": [str(error)]}
    show(found, [describe(found)] if found["running"] else [], json=json)
    for trouble in found["troubles"]:
        typer.echo(f"edgeface: {trouble}", err=True)
    if found["troubles"]:
        raise typer.Exit(1)


def _ask_status(setup: Setup) -> dict[str, Any]:
    try:
        found: dict[str, Any] = client.ask(setup.config, "status")
    except ConfigError as wrong:  # the daemon may run on with its old settings
        found = client.ask_the_only_one("status")
        if found is None:
            raise
        found["troubles"].append(str(wrong))
    return found


@app.command()
def listen(
    context: typer.Context,
    every: Annotated[
        bool, typer.Option("--all", help="Print the events of every device under edgeface/ on the broker.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print each event as one line of JSON.")] = False,
) -> None:
    """Print the events on the broker as they come, until Ctrl-C.

    \b
    Example: edgeface listen --json | jq .name
    """
    from edgeface.mqtt import subscriber
    from edgeface.wire.description import describe

    for event in subscriber.events(context.obj.config, every_device=every, tell=lambda line: typer.echo(line, err=True)):
        print_json(event) if json else typer.echo(describe(event))


@app.command()
def doctor(
    context: typer.Context,
    only: Annotated[
        str,
        typer.Option(
            metavar="CHECK,...", help="Run only these checks, such as runtime,model,gallery.", autocompletion=completion.checks
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Check everything that the daemon needs; show cures for faults.

    \b
    Examples: edgeface doctor
              edgeface doctor --only runtime,model
              edgeface doctor --json | jq -r '.checks[] | select(.ok | not).cure'
    """
    from edgeface.doctor import examine

    checks = []
    for check in examine(context.obj.file, context.obj.model, [name for name in only.split(",") if name]):
        checks.append(check)
        if not json:
            outcome = coloured("ok  ", "green") if check.ok else coloured("FAIL", "red", bold=True)
            typer.echo(f"{outcome}  {check.name:<11}  {check.found}")
            if check.cure:
                typer.echo(f"      {'':<11}  -> {check.cure}; see {check.see}")
    if json:
        print_json({"checks": checks})
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
