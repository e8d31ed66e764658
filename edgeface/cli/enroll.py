"""Enrollment."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli import completion
from edgeface.cli.common import Json, audit, counted, open_pipeline, print_json, through_the_daemon
from edgeface.errors import EdgefaceError
from edgeface.gallery.names import clean_name

app = typer.Typer()
SENT_SIDE, SENT_FIDELITY = 2048, 98
"""Pixels and JPEG quality of photos that the daemon looks at: as good as the files."""


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
    if report["id"] is None:
        raise EdgefaceError(f"{name} was not enrolled: no image was accepted")


def _enroll_all(context: typer.Context, folder: Path, count: int, timeout: float, force: bool, json: bool) -> None:
    """Everybody who has a folder of photos here; those who are done stay, whatever comes of the others."""
    from edgeface.cli.live import counting

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
                refused = [{"path": place, "reason": str(error)}]
                reports.append({"id": None, "name": shown, "accepted": [], "refused": refused, "assessment": None})
    if json:
        print_json({"people": reports})
    for report in [] if json else reports:
        _tell(report, briefly=True)
    missing = [report["name"] for report in reports if report["id"] is None]
    if not json:
        typer.echo(f"{_done(reports)} of {len(reports)} people enrolled; see edgeface gallery check")
    if missing:
        raise EdgefaceError(f"not enrolled: {', '.join(missing)}")


def _done(reports: list[dict[str, Any]]) -> int:
    return sum(report["id"] is not None for report in reports)


def _enroll(context: typer.Context, name: str, photos: list[Path], count: int, timeout: float, force: bool) -> dict[str, Any]:
    """From photos, or from the camera if there are none; by the daemon if it has the camera, or if the gallery is its own."""
    from edgeface.cli.live import guiding
    from edgeface.control import client, discovery

    name, settings = clean_name(name), context.obj.config
    if photos:
        if through_the_daemon(settings):
            return _photos_sent(settings, name, photos, force)
    elif through_the_daemon(settings) or discovery.answers(settings):
        with guiding() as tell:
            report: dict[str, Any] = {}
            for told in client.talk(settings, "enroll", name=name, most=count, timeout=timeout, force=force):
                report = told
                if "hint" in told:
                    tell(told["text"], told["taken"], told["least"], told["most"])
        return report
    return _enroll_here(context, name, photos, count, timeout, force)


def _photos_sent(settings: Any, name: str, photos: list[Path], force: bool) -> dict[str, Any]:
    """Have the daemon look at photos that it need not be able to read itself; those that nobody can read are not sent."""
    from edgeface.control import client as control_client
    from edgeface.enrollment.enroller import read_images
    from edgeface.vision.images import encode_jpeg

    unread: list[dict[str, str]] = []

    def sent() -> Iterator[tuple[str, bytes]]:
        unread.clear()
        for label, image in read_images(photos):
            if isinstance(image, EdgefaceError):
                unread.append({"path": label, "reason": str(image).removeprefix(f"{label}: ")})
            else:
                yield label, encode_jpeg(image, SENT_SIDE, SENT_FIDELITY)[0]

    report: dict[str, Any] = list(control_client.talk(settings, "photos", sent, name=name, force=force))[-1]
    return report | {"refused": [*unread, *report["refused"]]}


def _enroll_here(
    context: typer.Context, name: str, photos: list[Path], count: int, timeout: float, force: bool
) -> dict[str, Any]:
    from edgeface import cameras
    from edgeface.cli.live import guiding
    from edgeface.enrollment.assessment import assess
    from edgeface.enrollment.enroller import Enroller, read_images
    from edgeface.enrollment.session import EnrollmentSession, sit
    from edgeface.operations import audited

    settings = context.obj.config
    with open_pipeline(context.obj) as (pipeline, gallery):
        enroller = Enroller(pipeline, gallery)
        if photos:
            report = audited.enroll(audit(context), enroller, name, read_images(photos), force=force)
        else:
            sitting = EnrollmentSession(enroller, name, most=count, timeout=timeout, force=force)
            camera = cameras.create(settings.camera)
            try:
                with guiding() as tell:
                    views = sit(sitting, camera, lambda told: tell(told.text, told.taken, told.least, told.most))
                report = audited.enroll_views(audit(context), enroller, name, views, force=force)
            finally:
                camera.close()
        if report.person:
            with suppress(KeyboardInterrupt):  # they are enrolled, and that is to be told
                report.assessment = assess(pipeline, settings, report.person, report.views)
    return report.payload(name)


def _tell(report: dict[str, Any], *, briefly: bool = False) -> None:
    for refused in report["refused"]:
        typer.echo(f"{refused['path']}: {refused['reason']}", err=True)
    if report["id"] is None:
        return
    accepted, templates = counted(len(report["accepted"]), "image"), counted(report["templates"], "template")
    typer.echo(f"{report['name']}: {accepted} enrolled, {templates} in all")
    stands = report["assessment"]
    if briefly or stands is None:
        return
    if stands["nearest"] is not None:
        ahead = "" if stands["margin"] is None else f", {stands['margin']:.2f} behind"
        typer.echo(
            f"  most alike: {stands['nearest']}, score {stands['score']:.2f} of the {stands['threshold']:.2f} that count{ahead}"
        )
    if stands["weakest"] is not None:
        typer.echo(f"  weakest: {stands['weakest']}, score {stands['weakest_score']:.2f} with the others")
    typer.echo(f"  {stands['told']}")
    for advice in stands["advice"]:
        typer.echo(f"  -> {advice}")
