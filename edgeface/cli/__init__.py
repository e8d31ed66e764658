"""Joins the groups of commands, one file each, to the command line, and turns errors into exit codes."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edgeface import __version__
from edgeface.cli import (
    about,
    enroll,
    events,
    gallery,
    generated,
    home,
    identify,
    measuring,
    moves,
    mqtt,
    pause,
    people,
    rules,
    running,
    settings,
    web,
)
from edgeface.cli.common import Setup
from edgeface.cli.terminal import format_help
from edgeface.errors import EdgefaceError, SettingsError
from edgeface.vision.model_card import SHIPPED


class _Commands(TyperGroup):
    """The commands, of which ``enroll`` may be spelled as the British do."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, "enroll" if cmd_name == "enrol" else cmd_name)


format_help()
app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Face recognition for a Raspberry Pi: faces in front of a camera become events on MQTT.

\b
Examples: edgeface demo
          edgeface enroll Anna
          edgeface --config edgeface.toml run""",
)
for module in (running, enroll, identify, measuring, pause):
    app.add_typer(module.app)
people.app.add_typer(rules.app)
people.app.add_typer(about.app)
people.app.add_typer(moves.app)
people.app.add_typer(home.app)
GROUPS = {"people": people, "events": events, "gallery": gallery, "config": settings, "mqtt": mqtt, "web": web}
for name, module in GROUPS.items():
    app.add_typer(module.app, name=name)
generated.add_commands(app, {name: module.app for name, module in GROUPS.items()})


def main() -> None:
    try:
        app()
    except EdgefaceError as error:
        for line in error.faults if isinstance(error, SettingsError) else [error]:
            typer.echo(f"edgeface: {line}", err=True)
        sys.exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgeface {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings; else EDGEFACE_CONFIG, /etc/edgeface/edgeface.toml, defaults."),
    ] = None,
    model: Annotated[
        Path,
        typer.Option(
            "--model", metavar="DIR", show_default="the shipped one", help="Another network: a folder that train export wrote."
        ),
    ] = SHIPPED,
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    context.obj = Setup(file, model)
    context.call_on_close(context.obj.close)
