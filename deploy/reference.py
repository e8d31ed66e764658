"""Write cli.md, settings.md and openapi.json from commands, settings and calls: ``python deploy/reference.py docs``."""

import json
import sys
from collections.abc import Iterator
from os import environ
from pathlib import Path
from typing import Any

import msgspec
from manual import pages
from typer.main import get_command

from edgeface.cli import app
from edgeface.config.schema import MORE_CAMERAS, Config
from edgeface.web.openapi import document

WIDTH = 80
CLI = """\
# Commands

What `--help` says of each command. Commands exit with 0 on success, 1 if an operation failed, and 2 for wrong usage or
settings. `python deploy/reference.py docs` writes this page.
"""
SETTINGS = """\
# Settings

Every setting, by its section of `edgeface.toml`. `edgeface config default` prints a file with all of them, and
`edgeface config check FILE` tries one; [operating.md](operating.md#settings) says where settings are read from.
`python deploy/reference.py docs` writes this page.
"""


def write(folder: Path) -> None:
    """Write the two pages and the OpenAPI document into a folder."""
    environ["NO_COLOR"] = "1"  # help is coloured on a terminal
    (folder / "cli.md").write_text("\n".join([CLI, *_commands()]), encoding="utf-8")
    (folder / "settings.md").write_text("\n".join([SETTINGS, *_sections()]), encoding="utf-8")
    (folder / "openapi.json").write_text(json.dumps(document(), indent=2) + "\n", encoding="utf-8")


def _commands() -> Iterator[str]:
    for command, path in dict(pages("edgeface", get_command(app))).values():
        context = command.make_context(path, [], resilient_parsing=True, terminal_width=WIDTH)
        yield f"## {path}\n\n```text\n{command.get_help(context).strip()}\n```\n"


def _sections() -> Iterator[str]:
    for section in msgspec.structs.fields(Config):
        if section.name == "cameras":
            yield f"## [[cameras]]\n\n{MORE_CAMERAS}\n"
            continue
        fields = msgspec.json.schema(section.type)["$defs"][section.type.__name__]["properties"]
        rows = [
            f"| `{name}` | `{_toml(field['default'])}` | {_limits(field)} | {_meaning(field)} |"
            for name, field in fields.items()
        ]
        head = ["| setting | default | limits | meaning |", "| --- | --- | --- | --- |"]
        yield "\n".join([f"## [{section.name}]\n\n{section.type.__doc__}\n", *head, *rows]) + "\n"


def _toml(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _meaning(field: dict[str, Any]) -> str:
    return str(field.get("description", "")).replace("|", "\\|").replace("<", "\\<")


def _limits(field: dict[str, Any]) -> str:
    over, least, most = (field.get(name) for name in ("exclusiveMinimum", "minimum", "maximum"))
    if most is None:
        return ""
    return f"over {over}, to {most}" if over is not None else f"{least} to {most}"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
