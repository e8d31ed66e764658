"""Man pages and shell completions, made from the command line itself: ``python deploy/manual.py FOLDER``.

click-man, which does the first for click, does not know Typer's own copy of click.
"""

import gzip
import sys
import time
from collections.abc import Iterator
from os import environ
from pathlib import Path
from typing import Any

from typer.completion import get_completion_script
from typer.main import get_command

from edgeface import __version__
from edgeface.cli import app

COMPLETIONS = {
    "bash": "bash-completion/completions/edgeface",
    "zsh": "zsh/vendor-completions/_edgeface",
    "fish": "fish/vendor_completions.d/edgeface.fish",
}
CLOSING = """\
.SH FILES
.TP
/etc/edgeface/edgeface.toml
settings, unless \\-\\-config or EDGEFACE_CONFIG names others; edgeface\\-config\\-default(1) prints all
.TP
/var/lib/edgeface
the service's gallery, its key, and the audit log
.SH EXIT STATUS
0 on success, 1 if an operation failed, 2 for wrong usage or settings.
"""


def write(folder: Path) -> None:
    """Write everything below ``folder`` as it stands below /usr/share."""
    environ["NO_COLOR"] = "1"  # help is coloured on a terminal
    root = get_command(app)
    found = dict(pages("edgeface", root))
    for name, (command, path) in found.items():
        page = folder / "man/man1" / f"{name}.1.gz"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes(gzip.compress(_page(name, path, command, list(found)).encode(), mtime=0))
    for shell, place in COMPLETIONS.items():
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(get_completion_script(prog_name="edgeface", complete_var="_EDGEFACE_COMPLETE", shell=shell) + "\n")


def pages(path: str, command: Any) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield each command as the name of its page, the command, and how it is called."""
    yield path.replace(" ", "-"), (command, path)
    for name, below in getattr(command, "commands", {}).items():
        yield from pages(f"{path} {name}", below)


def _page(name: str, path: str, command: Any, names: list[str]) -> str:
    context = command.make_context(path, [], resilient_parsing=True)
    told = command.help or ""
    date = time.strftime("%Y-%m-%d", time.gmtime(int(environ.get("SOURCE_DATE_EPOCH", time.time()))))
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH {_roff(name.upper())} 1 {date} "edgeface {__version__}" "edgeface"',
        f".SH NAME\n{_roff(name)} \\- {_roff(command.get_short_help_str(200).rstrip('.'))}",
        f".SH SYNOPSIS\n.B {_roff(path)}\n{_roff(usage)}",
        f".SH DESCRIPTION\n{_paragraphs(told)}",
    ]
    records = [record for parameter in command.get_params(context) if (record := parameter.get_help_record(context))]
    if records:
        lines.append(".SH OPTIONS")
        lines += [f".TP\n.B {_roff(what)}\n{_roff(meaning)}" for what, meaning in records]
    if below := getattr(command, "commands", {}):
        lines.append(".SH COMMANDS")
        lines += [f".TP\n.B {_roff(name)}\n{_roff(one.get_short_help_str(200))}" for name, one in below.items()]
    others = [other for other in names if other != name and (other == "edgeface" or other.startswith(f"{name}-"))]
    closing = [f".BR {_roff(other)} (1){',' if other != others[-1] else ''}" for other in others]
    return "\n".join([*lines, CLOSING.rstrip(), *([".SH SEE ALSO", *closing] if closing else [])]) + "\n"


def _paragraphs(text: str) -> str:
    """Help as click has it, where a paragraph that starts with a backspace keeps its lines."""
    blocks = []
    for block in text.strip().split("\n\n"):
        kept = block.startswith("\b")
        body = "\n".join(_roff(line) for line in block.removeprefix("\b").strip("\n").splitlines())
        blocks.append(f".nf\n{body}\n.fi" if kept else body)
    return "\n.PP\n".join(blocks)


def _roff(text: str) -> str:
    """Text as roff prints it literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    write(Path(sys.argv[1]))
