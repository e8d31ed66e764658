"""Colours help and findings where standard output is a terminal; elsewhere the text stays plain."""

import sys
from collections.abc import Sequence

import typer
from typer.core import TyperCommand, TyperGroup

from edgeface.platform import environment


def coloured(text: str, colour: str | None = None, *, bold: bool = False) -> str:
    """Return a text in a colour if standard output is a terminal, and NO_COLOR is not set (no-color.org)."""
    plain = not sys.stdout.isatty() or environment.text("NO_COLOR")
    return text if plain else typer.style(text, fg=colour, bold=bold or None)


class _Formatter(typer.Context.formatter_class):  # type: ignore[misc,valid-type]  # Typer's own, or Click's, as its version has it
    """Writes a page of help with bold headings and coloured names, and what must be given without braces."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(coloured(prog, bold=True), args.replace("{", "").replace("}", ""), prefix)

    def write_heading(self, heading: str) -> None:
        super().write_heading(coloured(heading, bold=True))

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl([(coloured(first, "cyan"), second) for first, second in rows], col_max, col_spacing)


class _HelpContext(typer.Context):
    formatter_class = _Formatter


def format_help() -> None:
    """Have Typer, which takes no formatter, write all help through ours."""
    TyperCommand.context_class = TyperGroup.context_class = _HelpContext
