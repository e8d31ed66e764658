"""Defines the commands of ``edgeface config``."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edgeface.cli.common import Json, show
from edgeface.config import load
from edgeface.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True,
    help="""The settings: show, check, print the defaults.

\b
Examples: edgeface config default > edgeface.toml
          edgeface config check edgeface.toml""",
)


@app.command("show")
def config_show(context: typer.Context, json: Json = False) -> None:
    """Show every setting in effect and where it comes from.

    Passwords in addresses are hidden.

    \b
    Examples: edgeface config show
              edgeface config show --json | jq -r '.settings[] | select(.origin != "default").name'
    """
    rows = load.settings(context.obj.file)
    values = [msgspec.json.encode(row.value).decode() for row in rows]
    lines = (f"{f'{row.section}.{row.name}':<27} {value:<22} ({row.origin})" for row, value in zip(rows, values, strict=True))
    show({"settings": rows}, lines, json=json)


@app.command("check")
def config_check(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The file to check; else the one in effect.")] = None,
) -> None:
    """Check a settings file and the files that it names.

    It does not try camera or broker; edgeface doctor does. Exits with 2 if something is wrong.

    \b
    Example: edgeface config check edgeface.toml
    """
    path = load.find(file or context.obj.file)
    if path is None:
        raise ConfigError("there is no settings file; give one, or see edgeface config default")
    from edgeface.daemon.assembly import verify

    verify(load.load(path))
    typer.echo(f"{path}: valid")


@app.command("default")
def config_default() -> None:
    """Print a settings file with every default and its meaning.

    \b
    Example: edgeface config default > edgeface.toml
    """
    typer.echo(load.default_toml(), nl=False)
