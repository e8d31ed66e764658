"""What several commands share: what they are given, what they open, how they print."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from edgeface import config
from edgeface.audit import Audit
from edgeface.modelcard import load_card

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]
Who = Annotated[str, typer.Argument(metavar="PERSON", help="A name, or an id from edgeface people list.")]


@dataclass(frozen=True, slots=True)
class Setup:
    """What the options before the command say."""

    file: Path | None
    model: Path

    @property
    def config(self) -> config.Config:
        """The configuration, read and validated."""
        return config.load(self.file)


def counted(number: int, noun: str) -> str:
    """Such as "1 face" and "2 faces"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def print_json(value: Any) -> None:
    """Print one JSON document as one line, at once."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


@contextmanager
def open_pipeline(setup: Setup) -> Iterator[tuple[Any, Any]]:
    """Pipeline and gallery."""
    from edgeface import build
    from edgeface.embedding import Embedder

    settings = setup.config
    embedder = Embedder(setup.model)
    gallery = build.gallery(settings, embedder.card)
    try:
        yield build.pipeline(settings, embedder, gallery), gallery
    finally:
        gallery.close()


@contextmanager
def open_gallery(context: typer.Context) -> Iterator[Any]:
    """The gallery of the settings."""
    from edgeface import build

    gallery = build.gallery(context.obj.config, load_card(context.obj.model))
    try:
        yield gallery
    finally:
        gallery.close()


def audit(context: typer.Context) -> Audit:
    """The audit log of the settings."""
    return Audit(context.obj.config.audit_path)
