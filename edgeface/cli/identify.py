"""Who is in photos."""

import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli.common import Json, open_pipeline, print_json
from edgeface.errors import EdgefaceError

app = typer.Typer()


@app.command()
def identify(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Photos, or folders of photos.")],
    annotate: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Draw what was found: an image for one photo, else a folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Say who is in photos, with score and threshold.

    \b
    Examples: edgeface identify party.jpg --annotate party-names.png
              edgeface identify --json *.jpg
    """
    from edgeface.annotate import draw_faces, save_image
    from edgeface.enrolment import read_images
    from edgeface.publishers.payloads import face_payload

    results: list[dict[str, Any]] = []
    drawn: Counter[str] = Counter()
    failed = False
    with open_pipeline(context.obj) as (pipeline, _):
        single = len(images) == 1 and not os.path.isdir(images[0])  # noqa: PTH112 (which raises where a folder is closed)
        for path, image in read_images(images):
            if isinstance(image, EdgefaceError):
                failed = True
                results.append({"path": path, "error": str(image), "faces": []})
                continue
            faces = pipeline.observe(image, every_face=True)
            results.append({"path": path, "faces": [face_payload(face) for face in faces]})
            if annotate:
                stem = Path(path).stem
                drawn[stem] += 1
                again = f"-{drawn[stem]}" if drawn[stem] > 1 else ""
                out = annotate if single else annotate / f"{stem}{again}.png"
                _make_folder(out.parent)
                save_image(out, draw_faces(image, faces))
    if json:
        print_json({"images": results})
    else:
        for result in results:
            _print_faces(result)
    if failed:
        raise typer.Exit(1)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgefaceError(f"{folder}: {error.strerror or error}") from None


def _print_faces(result: dict[str, Any]) -> None:
    if "error" in result:
        typer.echo(f"edgeface: {result['error']}", err=True)
    elif not result["faces"]:
        typer.echo(f"{result['path']}: no face")
    for face in result["faces"]:
        who = {"accept": face["name"], "unsure": "unsure", "reject": "unknown"}[face["decision"]]
        typer.echo(
            f"{result['path']}: {who}  score {face['score']:.2f} of {face['threshold']:.2f}, quality {face['quality']:.2f}"
        )
