"""edgeface gallery."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from edgeface.cli.common import Json, audit, counted, open_gallery, print_json, serve
from edgeface.errors import EdgefaceError
from edgeface.modelcard import load_card

app = typer.Typer(
    no_args_is_help=True,
    help="""The templates: check them, drop one, make all anew; one gallery for several devices: key, sync.

\b
Examples: edgeface gallery check
          edgeface gallery drop 3f9a12cd
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
    told = serve(context, "check")
    if json:
        print_json(told)
    for finding in [] if json else told["findings"]:
        typer.echo(f"{finding['kind']:<11}  {finding['found']}")
        typer.echo(f"{'':<11}  -> {finding['cure']}")
    if told["findings"]:
        raise typer.Exit(1)
    if not json:
        typer.echo(f"{told['people']} enrolled, nothing to mend")


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
    left = serve(context, "drop", template=template)
    if json:
        print_json(left)
    else:
        whose = f", {left['name']} has {counted(left['templates'], 'template')} left" if left["id"] else ""
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
    from edgeface import changes
    from edgeface.reembed import Reembedded

    settings = context.obj.config
    done = changes.take_over(audit(context), settings, context.obj.model, drop=drop)
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
    from edgeface import envelope

    settings = context.obj.config
    if take:
        envelope.take_key(settings, sys.stdin.read(1000))
        typer.echo(f"the shared key is in {settings.sync_key_path}", err=True)
    else:
        typer.echo(envelope.make_key(settings))


@app.command()
def sync(context: typer.Context, json: Json = False) -> None:
    """Follow the shared gallery once, and share this one; with sync.enabled, the daemon does so all the time.

    Exits with 1 if what is there is sealed with another key, or of another network.

    \b
    Example: edgeface gallery sync
    """
    from edgeface import sync as following

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
