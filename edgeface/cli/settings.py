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


@app.command("set")
def config_set(
    context: typer.Context,
    setting: Annotated[str, typer.Argument(metavar="SETTING", help="Its dotted name, as config show prints it.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="A number, true, false, or a language.")],
    json: Json = False,
) -> None:
    """Change a setting on the device, as the page does. The settings file stays as it is; a daemon takes the change at once.

    \b
    Example: edgeface config set events.keep_days 30
    """
    _configure(context, setting, value, json=json)


@app.command("reset")
def config_reset(
    context: typer.Context,
    setting: Annotated[str, typer.Argument(metavar="SETTING", help="Its dotted name, as config show prints it.")],
    json: Json = False,
) -> None:
    """Take back a setting that was changed on the device. The settings file, or the default, is in effect again.

    \b
    Example: edgeface config reset events.keep_days
    """
    _configure(context, setting, None, json=json)


def _configure(context: typer.Context, setting: str, value: str | None, *, json: bool) -> None:
    """Change a setting in the daemon if one runs, so that it takes the change, else in this process."""
    from edgeface.cli.operations import perform
    from edgeface.control import client, discovery
    from edgeface.operations.registry import CONFIGURE
    from edgeface.wire.commands import Configured, ConfigureRequest

    request, settings = ConfigureRequest(values={setting: value}), context.obj.config
    if discovery.answers(settings):
        done: Configured = list(client.perform(settings, CONFIGURE, request))[-1]
    else:
        done = perform(context.obj, CONFIGURE, request)
    show(done, [f"{name}: {'taken back' if value is None else value}" for name in done.settings], json=json)


@app.command("default")
def config_default() -> None:
    """Print a settings file with every default and its meaning.

    \b
    Example: edgeface config default > edgeface.toml
    """
    typer.echo(load.default_toml(), nl=False)
