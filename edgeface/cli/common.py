"""Opens the settings and the gallery, and prints results, for several commands."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from edgeface.config import schema
from edgeface.config.load import load
from edgeface.errors import EdgefaceError
from edgeface.gallery.audit import Audit
from edgeface.gallery.sqlite import is_read_only, refuse_for_good
from edgeface.platform import environment
from edgeface.vision.model_card import load_card

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]


@dataclass(frozen=True, slots=True)
class Setup:
    """The options before the command: the settings' file and the network's folder."""

    file: Path | None
    model: Path

    @property
    def config(self) -> schema.Config:
        """Read and validate the configuration."""
        return load(self.file)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, such as "1 face", "2 faces", "1 person" and "2 people"."""
    return f"1 {noun}" if number == 1 else f"{number} people" if noun == "person" else f"{number} {noun}s"


def print_json(value: Any) -> None:
    """Print one JSON document as one line, and flush it."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


@contextmanager
def open_pipeline(setup: Setup) -> Iterator[tuple[Any, Any]]:
    """Open the pipeline and the gallery of the settings."""
    from edgeface.gallery.open import open_gallery
    from edgeface.recognition.pipeline import Pipeline
    from edgeface.vision.embedding import Embedder

    settings = setup.config
    embedder = Embedder(setup.model)
    gallery = open_gallery(settings, embedder.card)
    try:
        yield Pipeline(settings, embedder, gallery), gallery
    finally:
        gallery.close()


@contextmanager
def open_gallery(context: typer.Context) -> Iterator[Any]:
    """Open the gallery of the settings."""
    from edgeface.gallery.open import open_gallery

    gallery = open_gallery(context.obj.config, load_card(context.obj.model))
    try:
        yield gallery
    finally:
        gallery.close()


def through_the_daemon(settings: schema.Config) -> bool:
    """Return whether the daemon must access the gallery, because this user cannot see or open its file.

    Raises:
        EdgefaceError: this user cannot open the file, and may ask no daemon.
    """
    from edgeface.control import discovery

    path = settings.gallery_path
    refuse_for_good(path, "gallery.path")
    try:
        there = path.exists()
    except OSError:  # a folder on the way is closed
        there = False
        closed = True
    else:
        closed = there and not (os.access(path, os.R_OK) and (os.access(path, os.W_OK) or is_read_only(path)))
    if there and not closed:
        key_here = os.access(settings.key_path, os.R_OK) or environment.credentials()
        return not key_here and discovery.answers(settings)  # the key may be a credential that only the service gets
    if discovery.answers(settings, strict=True):
        return True
    if closed:
        raise EdgefaceError(
            f"{path} is closed to you, and no daemon with these settings runs that you may ask; "
            "do it as its user: sudo -u edgeface edgeface ..."
        )
    return False


def audit(context: typer.Context) -> Audit:
    """Return the audit log of the settings."""
    return Audit(context.obj.config.audit_path)
