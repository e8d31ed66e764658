"""Defines the command ``edgeface enroll``."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, Setup, counted, print_json
from edgeface.cli.live import counting, guiding
from edgeface.cli.operations import perform, through_the_daemon
from edgeface.enrollment.enroller import FORCE, read_images
from edgeface.errors import EdgefaceError, os_errors_as
from edgeface.gallery.names import clean_name
from edgeface.operations.enroll import Enrollment
from edgeface.operations.registry import ENROLL, PHOTOS
from edgeface.platform.text import scored
from edgeface.wire.commands import EnrollRequest, PhotosRequest, Refused

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]", help="The person; one who is enrolled already gains templates.", autocompletion=completion.people
    ),
]
Images = Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A photo in place of the camera; may be repeated.")]
Folder = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", help="A folder of photos of this person; without NAME, of a folder for each person."),
]
Count = Annotated[
    int, typer.Option(min=1, max=20, metavar="N", help="Views to take from the camera at most; fewer if no more differ.")
]
Timeout = Annotated[float, typer.Option(min=1, max=600, metavar="SECONDS", help="Seconds to wait for the camera's views.")]
Camera = Annotated[
    str | None, typer.Option(metavar="NAME", help="The camera to stand before, where there are several; else the first.")
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Enroll a face even if it is known under another name, or unlike the person's templates."),
]

app = typer.Typer()


@app.command()
def enroll(
    context: typer.Context,
    name: Name = None,
    image: Images = None,
    folder: Folder = None,
    count: Count = 9,
    timeout: Timeout = 60.0,
    force: Force = False,
    camera: Camera = None,
    json: Json = False,
) -> None:
    """Enroll a person from the camera, or from photos.

    Each photo shows one face, large and sharp. The camera session says what to do, takes five to nine views that differ,
    and ends by itself; Ctrl-C leaves nothing. Then it says who is most alike, which view is the weakest, and from how far
    the person will be recognized.

    A second face in a photo counts only if it is at least a quarter as large: people far behind do no harm.

    \b
    Examples: edgeface enroll Anna
              edgeface enroll Anna --image anna1.jpg --image anna2.jpg
              edgeface enroll Anna --from photos/anna --json | jq .assessment
              edgeface enroll --from photos
    """
    setup = context.obj
    try:
        if name is None:
            if folder is None or image:
                raise typer.BadParameter("give NAME, or --from DIR that has a folder for each person")
            _enroll_all(setup, folder, force=force, json=json)
            return
        if photos := [*(image or []), *([folder] if folder else [])]:
            report = _enroll_photos(setup, name, photos, force=force)
        else:
            request = EnrollRequest(name=clean_name(name), count=count, timeout=timeout, force=force, camera=camera)
            with guiding() as guide:
                report = perform(setup, ENROLL, request, tell=lambda now: guide(now.text, now.taken, now.least, now.most))
    except KeyboardInterrupt:
        # The daemon may have begun to write, and its answer is lost.
        kept = "see edgeface people list" if through_the_daemon(setup.config) else "nothing was kept"
        typer.echo(f"edgeface: cancelled, {kept}", err=True)
        raise typer.Exit(130) from None
    except EdgefaceError as error:
        raise type(error)(_as_option(str(error))) from None
    print_json(report) if json else _print(report)
    if report.id is None:
        raise EdgefaceError(f"{name} was not enrolled: no image was accepted")


def _enroll_all(setup: Setup, folder: Path, *, force: bool, json: bool) -> None:
    """Enroll each person who has a folder of photos in ``folder``; one who is refused does not stop the others."""
    with os_errors_as(EdgefaceError, folder):
        folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise EdgefaceError(f"{folder}: there is no folder of a person in it; for photos of one person give NAME too")
    reports = []
    with counting(len(folders)) as step:
        for one in folders:
            shown, place = (os.fsencode(text).decode(errors="replace") for text in (one.name, one))
            step(shown)
            try:
                reports.append(_enroll_photos(setup, one.name, [one], force=force))
            except KeyboardInterrupt:
                typer.echo(f"edgeface: cancelled; {_enrolled(reports)} of {len(folders)} people enrolled", err=True)
                raise typer.Exit(130) from None
            except EdgefaceError as error:
                reports.append(Enrollment(None, shown, 0, [], [Refused(place, str(error))]))
    if json:
        print_json({"people": reports})
    else:
        _print_all(reports, folder)
    if missing := [report.name for report in reports if report.id is None]:
        raise EdgefaceError(f"not enrolled: {', '.join(missing)}")


def _print_all(reports: list[Enrollment], folder: Path) -> None:
    """Print one line for each person, and why photos were refused."""
    for report in reports:
        used, refused = len(report.accepted), len(report.refused)
        outcome = counted(report.templates, "template") if report.id else "not enrolled"
        typer.echo(f"{report.name}: {used} of {counted(used + refused, 'image')}, {outcome}")
    typer.echo(f"{_enrolled(reports)} of {len(reports)} people enrolled; see edgeface gallery check")
    reasons = Counter(_kind(one.reason) for report in reports for one in report.refused)
    if reasons:
        typer.echo(
            f"{counted(reasons.total(), 'image')} refused; edgeface enroll NAME --from {folder}/NAME says which:", err=True
        )
    for reason, times in reasons.most_common():
        typer.echo(f"{times:>5}  {reason}", err=True)


def _kind(reason: str) -> str:
    """Return why an image was refused, without the figures and names of this one."""
    general = re.sub(r"^\d+ ", "several ", re.sub("that of '.*", "the person's templates", reason))
    return re.sub(r" as '.*|[:;].*", "", general)


def _as_option(reason: str) -> str:
    return reason.replace(FORCE, f"--{FORCE}")


def _enrolled(reports: list[Enrollment]) -> int:
    return sum(report.id is not None for report in reports)


def _enroll_photos(setup: Setup, name: str, photos: list[Path], *, force: bool) -> Enrollment:
    return perform(setup, PHOTOS, PhotosRequest(name=clean_name(name), force=force), lambda: read_images(photos))


def _print(report: Enrollment) -> None:
    for refused in report.refused:
        typer.echo(f"{refused.path}: {_as_option(refused.reason)}", err=True)
    if report.id is None:
        return
    accepted, templates = counted(len(report.accepted), "image"), counted(report.templates, "template")
    typer.echo(f"{report.name}: {accepted} enrolled, {templates} in all")
    found = report.assessment
    if found is None:
        return
    if found.nearest is not None and found.score is not None:
        ahead = "" if found.margin is None else f", {found.margin:.2f} behind"
        typer.echo(f"  most alike: {found.nearest}, {scored(found.score, found.threshold)}{ahead}")
    if found.weakest is not None:
        typer.echo(f"  weakest: {found.weakest}, score {found.weakest_score:.2f} with the others")
    typer.echo(f"  {found.told}")
    for advice in found.advice:
        typer.echo(f"  -> {advice}")
