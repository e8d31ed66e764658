"""Enrolment."""

from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, audit, counted, open_pipeline, print_json
from edgeface.errors import EdgefaceError

app = typer.Typer()


@app.command()
def enroll(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The person; who is enrolled already gains templates.")],
    image: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A photo in place of the camera; may be repeated.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--from", metavar="DIR", help="A folder of photos of this one person.")] = None,
    count: Annotated[
        int, typer.Option(min=1, max=20, help="Views to take from the camera at most; fewer if no more of them differ.")
    ] = 9,
    timeout: Annotated[float, typer.Option(min=1, max=600, help="Seconds to wait for the camera's views.")] = 60.0,
    force: Annotated[bool, typer.Option("--force", help="Enrol a face though it is known under another name.")] = False,
    json: Json = False,
) -> None:
    """Enrol a person from the camera, or from photos that each show one face, large and sharp.

    The camera's sitting says what to do, takes five to nine views that differ, and ends by itself.

    Another face counts only if it is a quarter as large at least: who is far behind does not spoil a photo.

    \b
    Examples: edgeface enroll Anna
              edgeface enroll Anna --image anna1.jpg --image anna2.jpg
              edgeface enroll Anna --from photos/anna
    """
    from edgeface import cameras, changes
    from edgeface.enrolment import Enrolment, read_images
    from edgeface.sitting import Sitting, sit

    with open_pipeline(context.obj) as (pipeline, gallery):
        enrolment = Enrolment(pipeline, gallery)
        if image or folder:
            photos = read_images([*(image or []), *([folder] if folder else [])])
            report = changes.enroll(audit(context), enrolment, name, photos, force=force)
        else:
            sitting = Sitting(enrolment, name, most=count, timeout=timeout, force=force)
            camera = cameras.create(context.obj.config.camera)
            try:
                views = sit(sitting, camera, lambda guidance: typer.echo(guidance.text, err=True))
                report = changes.enroll_views(audit(context), enrolment, name, views, force=force)
            finally:
                camera.close()
    if json:
        print_json(
            {
                "id": report.person.id if report.person else None,
                "name": report.person.name if report.person else name,
                "accepted": report.accepted,
                "refused": [{"path": path, "reason": reason} for path, reason in report.refused],
            }
        )
    else:
        for path, reason in report.refused:
            typer.echo(f"{path}: {reason}", err=True)
        if report.person:
            accepted, templates = counted(len(report.accepted), "image"), counted(report.person.templates, "template")
            typer.echo(f"{report.person.name}: {accepted} enrolled, {templates} in all")
    if report.person is None:
        raise EdgefaceError(f"{name} was not enrolled: no image was accepted")
