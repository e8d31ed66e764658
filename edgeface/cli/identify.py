"""Defines the command ``edgeface identify``."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, print_json
from edgeface.cli.operations import perform
from edgeface.enrollment.enroller import read_images
from edgeface.errors import ConfigError, EdgefaceError, os_errors_as
from edgeface.operations.context import Photo
from edgeface.operations.registry import IDENTIFY
from edgeface.platform.text import scored
from edgeface.types import Box, Decision, Image
from edgeface.vision.drawing import AMBER, GREEN, GREY, check_suffix, draw_boxes, save_image
from edgeface.vision.images import image_files
from edgeface.wire.identify import Identified, IdentifiedFace, IdentifiedImage, IdentifyRequest

app = typer.Typer()


@app.command()
def identify(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Photos, or folders of photos.")],
    annotate: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Draw the faces: into an image for one photo, else into a folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Say who is in photos, with score and threshold.

    \b
    Examples: edgeface identify party.jpg --annotate party-names.png
              edgeface identify --json *.jpg
    """
    drawing = Drawing(annotate, images) if annotate else None
    results: list[IdentifiedImage] = []

    def photos() -> Iterator[Photo]:
        results.clear()  # the daemon may have to be asked again
        for path, image in read_images(images):
            if isinstance(image, EdgefaceError):
                results.append(IdentifiedImage(path=path, error=str(image), faces=[]))
                continue
            yield path, image
            if drawing:
                drawing.draw(path, image, results[-1])

    perform(context.obj, IDENTIFY, IdentifyRequest(), photos, results.append)
    if json:
        print_json(Identified(results))
    else:
        for result in results:
            _print_faces(result)
    if any(result.error for result in results):
        raise typer.Exit(1)


class Drawing:
    """Draws the faces of photos: of one into the image ``annotate``, of several into that folder."""

    def __init__(self, annotate: Path, images: Sequence[Path]) -> None:
        self._annotate = annotate
        self._originals = {Path(os.path.realpath(file)) for path in images for file in (path, *_inside(path))}
        self._into = _place(annotate, images)
        self._drawn: set[Path] = set()

    def draw(self, path: str, image: Image, result: IdentifiedImage) -> None:
        """Draw the faces of a photo; raise ``EdgefaceError`` if that would replace a photo, or the file cannot be written."""
        stem = Path(path).stem
        names = chain([f"{stem}.png"], (f"{stem}-{again}.png" for again in count(2)))
        into = self._into
        out = self._annotate if into is None else next(into / name for name in names if into / name not in self._drawn)
        self._drawn.add(out)
        if out.resolve() in self._originals:
            raise ConfigError(f"{out} is one of the photos: draw somewhere else")
        picture = image.copy()
        scale = picture.shape[1] / result.size[0] if result.size else 1.0
        draw_boxes(picture, [_boxed(face, scale) for face in result.faces])
        save_image(out, picture)


def _boxed(face: IdentifiedFace, scale: float) -> tuple[Box, str, tuple[int, int, int]]:
    """Return the box of a face with its label and colour: green is accepted, amber unsure, grey unknown."""
    colour = {Decision.ACCEPT: GREEN, Decision.UNSURE: AMBER, Decision.REJECT: GREY}[face.decision]
    return Box(*(scale * side for side in face.box)), f"{_who(face)} {face.score:.2f}", colour


def _inside(path: Path) -> list[Path]:
    with suppress(OSError):
        return list(image_files(path)) if path.is_dir() else []
    return []


def _place(annotate: Path, images: Sequence[Path]) -> Path | None:
    """Return the folder to draw into, ``None`` for one photo and a file. Raise ``EdgefaceError`` if neither can be drawn to."""
    single = len(images) == 1 and not os.path.isdir(images[0])  # noqa: PTH112 (which raises where a folder is closed)
    folder = annotate.parent if single and not annotate.is_dir() else annotate
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; to draw several photos give a folder")
    if folder is not annotate:
        check_suffix(annotate, ConfigError)
    with os_errors_as(EdgefaceError, folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder if folder is annotate else None


def _print_faces(result: IdentifiedImage) -> None:
    if result.error:
        typer.echo(f"edgeface: {result.error}", err=True)
        return
    faces = [_describe(face) for face in result.faces]
    if len(faces) > 1:
        typer.echo("\n  ".join([f"{result.path}: {len(faces)} faces", *faces]))
    else:
        typer.echo(f"{result.path}: {faces[0] if faces else 'no face'}")


def _describe(face: IdentifiedFace) -> str:
    near = f", nearest is {face.nearest.name}" if face.nearest and face.name is None else ""
    return f"{_who(face)}  {scored(face.score, face.threshold)}, quality {face.quality:.2f}{near}"


def _who(face: IdentifiedFace) -> str:
    return {Decision.ACCEPT: face.name or "", Decision.UNSURE: "unsure", Decision.REJECT: "unknown"}[face.decision]
