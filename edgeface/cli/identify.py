"""Defines the command ``edgeface identify``."""

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli.common import Json, print_json
from edgeface.enrollment.enroller import read_images
from edgeface.errors import ConfigError, EdgefaceError, os_errors_as
from edgeface.platform.text import scored
from edgeface.vision.drawing import check_suffix, draw_faces, save_image
from edgeface.vision.images import image_files
from edgeface.wire.events import face_payload

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
    results: list[dict[str, Any]] = []
    drawn: set[Path] = set()
    originals = {Path(os.path.realpath(file)) for path in images for file in (path, *_inside(path))}
    pipeline = context.obj.enroller.pipeline
    into = None if annotate is None else _place(annotate, images)
    for path, image in read_images(images):
        if isinstance(image, EdgefaceError):
            results.append({"path": path, "error": str(image), "faces": []})
            continue
        faces = pipeline.observe(image, every_face=True)
        results.append({"path": path, "faces": [face_payload(face) for face in faces]})
        if annotate:
            stem = Path(path).stem
            names = chain([f"{stem}.png"], (f"{stem}-{again}.png" for again in count(2)))
            out = annotate if into is None else next(into / name for name in names if into / name not in drawn)
            drawn.add(out)
            if out.resolve() in originals:
                raise ConfigError(f"{out} is one of the photos: draw somewhere else")
            save_image(out, draw_faces(image, faces))
    if json:
        print_json({"images": results})
    else:
        for result in results:
            _print_faces(result)
    if any("error" in result for result in results):
        raise typer.Exit(1)


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


def _print_faces(result: dict[str, Any]) -> None:
    if "error" in result:
        typer.echo(f"edgeface: {result['error']}", err=True)
        return
    faces = [_describe(face) for face in result["faces"]]
    if len(faces) > 1:
        typer.echo("\n  ".join([f"{result['path']}: {len(faces)} faces", *faces]))
    else:
        typer.echo(f"{result['path']}: {faces[0] if faces else 'no face'}")


def _describe(face: dict[str, Any]) -> str:
    who = {"accept": face["name"], "unsure": "unsure", "reject": "unknown"}[face["decision"]]
    nearest = face["nearest"] if face["name"] is None else None
    near = f", nearest is {nearest['name']}" if nearest else ""
    return f"{who}  {scored(face['score'], face['threshold'])}, quality {face['quality']:.2f}{near}"
