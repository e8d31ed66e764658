"""Enrollment."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, counted, print_json, through_the_daemon
from edgeface.errors import EdgefaceError
from edgeface.gallery.names import clean_name

if TYPE_CHECKING:
    from edgeface.operations.enroll import Enrollment

app = typer.Typer()


@app.command()
def enroll(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="The person; who is enrolled already gains templates.",
            autocompletion=completion.people,
        ),
    ] = None,
    image: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A photo in place of the camera; may be repeated.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="DIR", help="A folder of photos of this one person; without NAME, of a folder for each person."
        ),
    ] = None,
    count: Annotated[
        int,
        typer.Option(min=1, max=20, help="Views to take from the camera at most; fewer if no more of them differ."),
    ] = 9,
    timeout: Annotated[float, typer.Option(min=1, max=600, help="Seconds to wait for the camera's views.")] = 60.0,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Enroll a face though it is known under another name, or unlike the person's own templates."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Enroll a person from the camera, or from photos that each show one face, large and sharp.

    The camera's sitting says what to do, takes five to nine views that differ, and ends by itself; Ctrl-C leaves nothing.
    Then it says how the person stands: who is most alike, the weakest view, and from how far they will be recognised.

    Another face counts only if it is a quarter as large at least: who is far behind does not spoil a photo.

    \b
    Examples: edgeface enroll Anna
              edgeface enroll Anna --image anna1.jpg --image anna2.jpg
              edgeface enroll Anna --from photos/anna --json | jq .assessment
              edgeface enroll --from photos
    """
    if name is None and (folder is None or image):
        raise typer.BadParameter("give NAME, or --from DIR that has a folder for each person")
    try:
        if name is None and folder is not None:
            _enroll_all(context, folder, count, timeout, force, json)
            return
        assert name is not None
        report = _enroll(context, name, [*(image or []), *([folder] if folder else [])], count, timeout, force)
    except KeyboardInterrupt:
        # What the daemon has begun to write is told by nobody any more.
        kept = "see edgeface people list" if through_the_daemon(context.obj.config) else "nothing was kept"
        typer.echo(f"edgeface: cancelled, {kept}", err=True)
        raise typer.Exit(130) from None
    print_json(report) if json else _tell(report)
    if report.id is None:
        raise EdgefaceError(f"{name} was not enrolled: no image was accepted")


def _enroll_all(context: typer.Context, folder: Path, count: int, timeout: float, force: bool, json: bool) -> None:
    """Everybody who has a folder of photos here; those who are done stay, whatever comes of the others."""
    from edgeface.cli.live import counting
    from edgeface.operations.enroll import Enrollment
    from edgeface.wire.commands import Refused

    try:
        folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise EdgefaceError(f"{folder}: {error.strerror or error}") from None
    if not folders:
        raise EdgefaceError(f"{folder}: there is no folder of a person in it; for photos of one person give NAME too")
    reports = []
    with counting(len(folders)) as step:
        for one in folders:
            shown, place = (os.fsencode(told).decode(errors="replace") for told in (one.name, one))
            step(shown)
            try:
                reports.append(_enroll(context, one.name, [one], count, timeout, force))
            except KeyboardInterrupt:
                typer.echo(f"edgeface: cancelled; {_done(reports)} of {len(folders)} people enrolled", err=True)
                raise typer.Exit(130) from None
            except EdgefaceError as error:
                reports.append(Enrollment(None, shown, 0, [], [Refused(place, str(error))]))
    if json:
        print_json({"people": reports})
    for report in [] if json else reports:
        _tell(report, briefly=True)
    missing = [report.name for report in reports if report.id is None]
    if not json:
        typer.echo(f"{_done(reports)} of {len(reports)} people enrolled; see edgeface gallery check")
    if missing:
        raise EdgefaceError(f"not enrolled: {', '.join(missing)}")


def _done(reports: "list[Enrollment]") -> int:
    return sum(report.id is not None for report in reports)


def _enroll(context: typer.Context, name: str, photos: list[Path], count: int, timeout: float, force: bool) -> "Enrollment":
    """Enroll from photos, or from the camera if there are none."""
    from edgeface.cli.live import guiding
    from edgeface.cli.operations import perform
    from edgeface.enrollment.enroller import read_images
    from edgeface.operations.registry import ENROLL, PHOTOS
    from edgeface.wire.commands import EnrollRequest, PhotosRequest

    name = clean_name(name)
    if photos:
        return perform(context.obj, PHOTOS, PhotosRequest(name=name, force=force), lambda: read_images(photos))
    request = EnrollRequest(name=name, count=count, timeout=timeout, force=force)
    with guiding() as show:
        return perform(context.obj, ENROLL, request, tell=lambda told: show(told.text, told.taken, told.least, told.most))


def _tell(report: "Enrollment", *, briefly: bool = False) -> None:
    for refused in report.refused:
        typer.echo(f"{refused.path}: {refused.reason}", err=True)
    if report.id is None:
        return
    accepted, templates = counted(len(report.accepted), "image"), counted(report.templates, "template")
    typer.echo(f"{report.name}: {accepted} enrolled, {templates} in all")
    found = report.assessment
    if briefly or found is None:
        return
    if found.nearest is not None:
        ahead = "" if found.margin is None else f", {found.margin:.2f} behind"
        typer.echo(f"  most alike: {found.nearest}, score {found.score:.2f} of the {found.threshold:.2f} that count{ahead}")
    if found.weakest is not None:
        typer.echo(f"  weakest: {found.weakest}, score {found.weakest_score:.2f} with the others")
    typer.echo(f"  {found.told}")
    for advice in found.advice:
        typer.echo(f"  -> {advice}")
