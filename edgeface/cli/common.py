"""Opens settings, network and gallery for a command when it asks for them, and prints results."""

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from edgeface.config import schema
from edgeface.config.load import load
from edgeface.enrollment.enroller import Enroller
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.recognition.pipeline import Pipeline
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import SHIPPED, ModelCard, load_card

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]


class Setup:
    """The options before the command, and the parts made with them, each when it is first asked for."""

    def __init__(self, file: Path | None, model: Path = SHIPPED) -> None:
        self.file, self.model = file, model
        self._opened = ExitStack()
        self.close = self._opened.close

    @cached_property
    def config(self) -> schema.Config:
        return load(self.file)

    @cached_property
    def card(self) -> ModelCard:
        return load_card(self.model)

    @cached_property
    def gallery(self) -> Gallery:
        gallery = open_gallery(self.config, self.card)
        self._opened.callback(gallery.close)
        return gallery

    @cached_property
    def enroller(self) -> Enroller:
        return Enroller(Pipeline(self.config, Embedder(self.model), self.gallery), self.gallery)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, such as "1 face", "2 faces", "1 person" and "2 people"."""
    return f"1 {noun}" if number == 1 else f"{number} people" if noun == "person" else f"{number} {noun}s"


def print_json(value: Any) -> None:
    """Print one JSON document as one line, and flush it."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def show(value: Any, lines: Iterable[str], asides: Iterable[str] = (), *, json: bool) -> None:
    """Print a result: as JSON, or as lines, with asides on standard error."""
    if json:
        print_json(value)
        return
    for line in lines:
        typer.echo(line)
    for aside in asides:
        typer.echo(aside, err=True)
