"""The command line: prints and exit codes; the work is done elsewhere."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from edgeface import __version__, config
from edgeface.audit import Audit
from edgeface.errors import ConfigError, EdgefaceError
from edgeface.files import write_whole
from edgeface.modelcard import SHIPPED, load_card
from edgeface.types import Person

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Face recognition for a Raspberry Pi: faces in front of a camera become events on MQTT.",
)
people_app = typer.Typer(
    no_args_is_help=True, help="Who is enrolled: list, rename, forget, export, import; confirm and reject what events said."
)
events_app = typer.Typer(no_args_is_help=True, help="The events that wait for people confirm or people reject.")
config_app = typer.Typer(no_args_is_help=True, help="The settings: show, check, print the defaults.")
mqtt_app = typer.Typer(
    no_args_is_help=True, help="The broker: clear what it keeps of this device, and the contract as a document."
)
app.add_typer(people_app, name="people")
app.add_typer(events_app, name="events")
app.add_typer(config_app, name="config")
app.add_typer(mqtt_app, name="mqtt")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]
Who = Annotated[str, typer.Argument(metavar="PERSON", help="A name, or an id from edgeface people list.")]
EventId = Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event_id of an event; see edgeface events list.")]
PassphraseFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file whose first line is the passphrase; else it is asked for.")
]


@dataclass(frozen=True, slots=True)
class Setup:
    """What the options before the command say."""

    file: Path | None
    model: Path

    @property
    def config(self) -> config.Config:
        """The configuration, read and validated."""
        return config.load(self.file)


def main() -> None:
    """Run the command line; an error becomes one line and an exit code."""
    try:
        app()
    except EdgefaceError as error:
        typer.echo(f"edgeface: {error}", err=True)
        sys.exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgeface {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings; else EDGEFACE_CONFIG, /etc/edgeface/edgeface.toml, defaults."),
    ] = None,
    model: Annotated[
        Path, typer.Option("--model", metavar="DIR", help="Another network: a folder that train export wrote.")
    ] = SHIPPED,
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    context.obj = Setup(file, model)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _print_json(value: Any) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where to draw the contact sheet.")] = Path("edgeface-demo.png"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave broker and daemon running until Ctrl-C.")] = False,
) -> None:
    """Show it all on bundled photos: enrol two people, watch them and a stranger, listen on a broker of its own.

    Needs no camera, no broker and no network, and touches no gallery but its own. Exits with 0 only if both people were
    recognised and the stranger was not.
    """
    try:
        from edgeface.demo import show
    except ModuleNotFoundError as error:
        raise EdgefaceError(f"the demo needs {error.name}: pip install '.[demo]' in a clone of edgeface") from None
    raise typer.Exit(0 if show(out, keep=keep, tell=typer.echo) else 1)


@app.command()
def run(context: typer.Context) -> None:
    """Watch the camera and publish events until stopped; without a broker, print them as JSON lines.

    SIGHUP makes a service read its settings again; if they are wrong, the old ones hold.

    \b
    Example: edgeface --config edgeface.toml run
    """
    from edgeface import logs
    from edgeface.service import Service

    logs.set_up()
    Service(context.obj.file, context.obj.model).run()


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Ask the running daemon how it is; exits with 1 if none is running or something is broken, with a line for each.

    \b
    Examples: edgeface status
              edgeface status --json | jq .camera_state
    """
    from edgeface import control
    from edgeface import status as answers

    try:
        told = control.ask(context.obj.config, "status")
    except ConfigError:
        raise
    except EdgefaceError as error:
        told = answers.absent(str(error))
    if json:
        _print_json(told)
    elif told["running"]:
        typer.echo(answers.describe(told))
    for trouble in told["troubles"]:
        typer.echo(f"edgeface: {trouble}", err=True)
    if told["troubles"]:
        raise typer.Exit(1)


@contextmanager
def _parts(setup: Setup) -> Iterator[tuple[Any, Any]]:
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


@app.command()
def enroll(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The person; who is enrolled already gains templates.")],
    image: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A photo in place of the camera; may be repeated.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--from", metavar="DIR", help="A folder of photos of this one person.")] = None,
    count: Annotated[int, typer.Option(min=1, max=50, help="How many views to take from the camera.")] = 5,
    timeout: Annotated[float, typer.Option(min=1, max=600, help="Seconds to wait for the camera's views.")] = 60.0,
    force: Annotated[bool, typer.Option("--force", help="Enrol a face though it is known under another name.")] = False,
    json: Json = False,
) -> None:
    """Enrol a person from the camera, or from photos that each show one face, large and sharp.

    Another face counts only if it is a quarter as large at least: who is far behind does not spoil a photo.

    \b
    Examples: edgeface enroll Anna
              edgeface enroll Anna --image anna1.jpg --image anna2.jpg
              edgeface enroll Anna --from photos/anna
    """
    from edgeface import cameras, changes
    from edgeface.enrolment import Enrolment, read_images

    with _parts(context.obj) as (pipeline, gallery):
        enrolment = Enrolment(pipeline, gallery)
        if image or folder:
            photos = read_images([*(image or []), *([folder] if folder else [])])
            report = changes.enroll(_audit(context), enrolment, name, photos, force=force)
        else:
            camera = cameras.create(context.obj.config.camera)
            try:
                views = enrolment.capture(camera, name, count, timeout, lambda hint: typer.echo(hint, err=True), force=force)
                report = changes.enroll(_audit(context), enrolment, name, views, force=force)
            finally:
                camera.close()
    if json:
        _print_json(
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
            accepted, templates = _count(len(report.accepted), "image"), _count(report.person.templates, "template")
            typer.echo(f"{report.person.name}: {accepted} enrolled, {templates} in all")
    if report.person is None:
        raise EdgefaceError(f"{name} was not enrolled: no image was accepted")


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
    with _parts(context.obj) as (pipeline, _):
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
        _print_json({"images": results})
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


@app.command()
def listen(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="The events of every device under edgeface/ on the broker.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print each event as one line of JSON.")] = False,
) -> None:
    """Subscribe to the broker and print events as they come, until Ctrl-C.

    \b
    Example: edgeface listen --json | jq .name
    """
    from edgeface.listen import describe, events

    for event in events(context.obj.config, every_device=every, ready=lambda: typer.echo("listening", err=True)):
        _print_json(event) if json else typer.echo(describe(event))


@app.command()
def doctor(context: typer.Context, json: Json = False) -> None:
    """Check everything that the daemon needs, one line each, with a cure for what is wrong."""
    from edgeface.doctor import examine

    checks = []
    for check in examine(context.obj.file, context.obj.model):
        checks.append(check)
        if not json:
            typer.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<11}  {check.found}")
            if check.cure:
                typer.echo(f"      {'':<11}  -> {check.cure}")
    if json:
        _print_json({"checks": [asdict(check) for check in checks]})
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.command()
def bench(
    context: typer.Context,
    peers: Annotated[
        bool, typer.Option("--peers", help="Time other installed networks beside ours: SFace, MobileFaceNet.")
    ] = False,
    peer_files: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look for the peers' files below this folder; implies --peers.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100_000, help="How often each step is timed.")] = 200,
    json: Json = False,
) -> None:
    """Time detection, alignment, embedding and matching on this machine, on one thread, in microseconds.

    The frame is a bundled photo at 640 x 480, the settings are the defaults, the galleries hold 10 and 1,000 random people.
    "embed" is a probe's embedding; a template's takes a second pass, for the mirror image. "ours/its" is our fastest embedding
    over a peer's fastest.

    \b
    Examples: edgeface bench
              edgeface bench --peers --json > bench.json
    """
    from edgeface import bench as benchmark
    from edgeface.peers import HOW_TO_INSTALL, find_peers

    benchmark.restart_on_one_thread()
    found = find_peers(peer_files) if peers or peer_files else []
    if (peers or peer_files) and not found:
        raise EdgefaceError(f"no peer is {f'below {peer_files}' if peer_files else 'installed'}: {HOW_TO_INSTALL}")
    report = benchmark.measure(context.obj.model, rounds, found)
    if json:
        _print_json(asdict(report))
    else:
        _print_report(report)


def _print_report(report: Any) -> None:
    machine, model = report.machine, report.model
    operations = f", {model.multiply_adds / 1e6:.0f} M multiply-adds" if model.multiply_adds else ""
    typer.echo(f"machine  {machine.cpu}, {machine.arch}, {_count(machine.cores, 'core')}")
    typer.echo(f"         Python {machine.python}, {machine.runtime}, OpenCV {machine.opencv}, numpy {machine.numpy}")
    typer.echo(f"model    {model.digest[:19]}…, {model.bytes / 1e6:.2f} MB{operations}")
    typer.echo(f"\nmicroseconds, one thread, {_count(report.rounds, 'round')}\n")
    typer.echo(f"{'':<13}{'min':>10}{'p50':>10}{'p90':>10}{'p99':>10}{'   ours/its' if report.peers else ''}")
    for timing in report.steps:
        typer.echo(_timing_row(timing))
    for peer in report.peers:
        typer.echo(f"{_timing_row(peer)}{peer.ratio:>11.3f}  {peer.bytes / 1e6:.2f} MB, {peer.runtime}")
    if report.cpu_share < 0.95:
        typer.echo(
            f"the machine was busy: this had a processor for {report.cpu_share:.0%} of the time; measure again", err=True
        )


def _timing_row(timing: Any) -> str:
    return f"{timing.name:<13}" + "".join(f"{value:>10.1f}" for value in (timing.min, timing.p50, timing.p90, timing.p99))


@app.command()
def evaluate(
    context: typer.Context,
    gallery: Annotated[Path, typer.Option(metavar="DIR", help="Photos to enrol: DIR/PERSON/*.jpg.")],
    visits: Annotated[Path, typer.Option(metavar="DIR", help="Frames by name, as a camera saw them: DIR/PERSON/VISIT/*.jpg.")],
    strangers: Annotated[Path | None, typer.Option(metavar="DIR", help="The same of people who are not enrolled.")] = None,
    people: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", help="Enrol N people at a time, drawn at random, and not all; may be repeated."),
    ] = None,
    galleries: Annotated[int, typer.Option(min=1, help="How many galleries of N people there are at most.")] = 20,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw FNIR over FPIR as the target varies, e.g. det.png.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure how sure it is on folders of frames: strangers announced, people missed or misnamed, and how long it takes.

    The frames go through detector, network, tracks and presence as in the daemon, at camera.fps of the settings but as fast as
    this machine can. The gallery is one of its own; who is not in it is a stranger.

    \b
    Examples: edgeface evaluate --gallery photos --visits recorded --strangers postmen
              edgeface evaluate --gallery photos --visits recorded --people 10 --people 100 --plot det.png
    """
    from edgeface.annotate import save_image
    from edgeface.det import draw_det
    from edgeface.evaluate import evaluate as work

    report = work(
        context.obj.config,
        context.obj.model,
        gallery,
        [visits, strangers] if strangers else [visits],
        people or [],
        galleries,
        curve=plot is not None,
        tell=lambda line: typer.echo(line, err=True),
    )
    if plot:
        curves = {f"{one.people} enrolled": curve for one, curve in zip(report.figures, report.curves, strict=True)}
        save_image(plot, draw_det({label: [(f.fpir.rate, f.fnir.rate) for f in curve] for label, curve in curves.items()}))
    if json:
        _print_json(asdict(report))
    else:
        _print_figures(report)


def _print_figures(report: Any) -> None:
    refused = f", {len(report.refused)} could not be" if report.refused else ""
    typer.echo(f"model     {report.model[:19]}…, {report.fps:g} frames/s")
    typer.echo(f"enrolled  {report.enrolled}{refused}")
    for one in report.figures:
        typer.echo(f"\n{one.people} at a time, {one.galleries} x, for a target FPIR of {one.target_fpir:.3%}")
        rows = {
            "FPIR: strangers announced as somebody": one.fpir,
            "strangers announced as unknown": one.unknown,
            "FNIR: enrolled and not announced": one.fnir,
            "enrolled and announced as somebody else": one.wrong,
        }
        for label, rate in rows.items():
            typer.echo(f"  {label:<40} {rate.rate:>8.3%}  [{rate.low:.3%}, {rate.high:.3%}]  {rate.count} of {rate.of} visits")
        typer.echo(f"  {'names taken back':<40} {one.corrected:>8}")
        if one.frames:
            typer.echo(
                f"  {'time to recognition, median and p90':<40} {one.seconds[0]:.1f} s, {one.seconds[1]:.1f} s "
                f"({one.frames[0]:g} and {one.frames[1]:g} frames)"
            )


@contextmanager
def _gallery(context: typer.Context) -> Iterator[Any]:
    from edgeface import build

    gallery = build.gallery(context.obj.config, load_card(context.obj.model))
    try:
        yield gallery
    finally:
        gallery.close()


@people_app.command("list")
def people_list(context: typer.Context, json: Json = False) -> None:
    """List who is enrolled."""
    from edgeface.publishers.payloads import timestamp

    with _gallery(context) as gallery:
        people: list[Person] = gallery.people()
    if json:
        _print_json({"people": [{**asdict(person), "enrolled": timestamp(person.enrolled)} for person in people]})
    for person in [] if json else people:
        typer.echo(
            f"{person.id}  {_count(person.templates, 'template'):>13}  since {timestamp(person.enrolled)[:10]}  {person.name}"
        )
    if not people and not json:
        typer.echo("nobody is enrolled yet: edgeface enroll NAME", err=True)


def _audit(context: typer.Context) -> Audit:
    return Audit(context.obj.config.audit_path)


@people_app.command()
def rename(context: typer.Context, person: Who, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Give a person another name; the id, and so the topics, stay."""
    from edgeface import changes

    with _gallery(context) as gallery:
        renamed = changes.rename(_audit(context), gallery, person, name)
    typer.echo(f"{person} is now {renamed.name}")


@people_app.command()
def forget(context: typer.Context, person: Who) -> None:
    """Erase a person: templates, events, and what is kept of faces that look like theirs."""
    from edgeface import changes

    with _gallery(context) as gallery:
        forgotten = changes.forget(_audit(context), gallery, person)
    typer.echo(f"{forgotten.name} is forgotten")


@people_app.command()
def reject(
    context: typer.Context,
    event_id: EventId,
    force: Annotated[bool, typer.Option("--force", help="Reject a face that seems to be that person's after all.")] = False,
    json: Json = False,
) -> None:
    """Not this person: the face of an event is not whom it named, and shall not be taken for them again.

    Its embedding becomes a negative template. people confirm takes that back.

    \b
    Example: edgeface people reject 01M86GTN766HKSFCZ15NNMEFKP
    """
    from edgeface import feedback

    with _gallery(context) as gallery:
        outcome = feedback.reject(gallery, context.obj.config.matching, event_id, force=force)
    _tell_verdict(context, "rejected", outcome, json)


@people_app.command()
def confirm(
    context: typer.Context,
    event_id: EventId,
    name: Annotated[str | None, typer.Option("--as", metavar="PERSON", help="Who it was, if the event does not say.")] = None,
    json: Json = False,
) -> None:
    """The face of an event is that person: it becomes a template, if it shows a side that is not known yet.

    people reject takes that back.

    \b
    Examples: edgeface people confirm 01M86GTN766HKSFCZ15NNMEFKP
              edgeface people confirm 01M86GTN766HKSFCZ15NNMEFKP --as Anna
    """
    from edgeface import feedback

    with _gallery(context) as gallery:
        card, settings = load_card(context.obj.model), context.obj.config.matching
        outcome = feedback.confirm(gallery, card, settings, event_id, name)
    _tell_verdict(context, "confirmed", outcome, json)


def _tell_verdict(context: typer.Context, verdict: str, outcome: Any, json: bool) -> None:
    event_id, person = outcome.event_id, outcome.person
    _audit(context).note(verdict, event=event_id, person=person.id, added=outcome.added)
    if json:
        _print_json(
            {"event_id": event_id, "verdict": verdict, "person_id": person.id, "name": person.name, "added": outcome.added}
        )
    else:
        typer.echo(outcome.told)


@people_app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; - prints it.")],
    passphrase_file: PassphraseFile = None,
    plain: Annotated[bool, typer.Option("--plain", help="Do not encrypt it: JSON that any program can read.")] = False,
) -> None:
    """Write everybody with their templates to a file, encrypted with a passphrase. It is biometric data: keep it safe.

    \b
    Examples: edgeface people export people.sealed
              edgeface people export - --plain | jq '.people[].name'
    """
    from edgeface import passphrase

    secret = "" if plain else passphrase.checked(_passphrase(passphrase_file, twice=True))
    with _gallery(context) as gallery:
        data: bytes = gallery.export()
        count = len(gallery.people())
    if not plain:
        data = passphrase.seal(data, secret)
    if not _audit(context).note("export", people=count, encrypted=not plain, to=str(file)):
        raise EdgefaceError("nothing was exported, because it cannot be noted in the audit log")
    if str(file) == "-":
        typer.echo(data.decode())
        return
    try:
        write_whole(file, data, 0o600)
    except OSError as error:
        raise EdgefaceError(f"{file}: {error.strerror or error}") from None
    typer.echo(f"{count} people written to {file}", err=True)


@people_app.command("import")
def import_people(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Add the people of a file that export wrote; all of them or none."""
    from edgeface import passphrase
    from edgeface.gallery import MAX_IMPORT_BYTES

    try:
        with file.open("rb") as stream:
            data = stream.read(2 * MAX_IMPORT_BYTES)  # base64 of what is sealed makes a third more
    except OSError as error:
        raise EdgefaceError(f"{file}: {error.strerror or error}") from None
    if passphrase.is_sealed(data):
        data = passphrase.unseal(data, _passphrase(passphrase_file, twice=False))
    with _gallery(context) as gallery:
        count = len(gallery.import_(data))
    _audit(context).note("import", people=count, file=str(file))
    typer.echo(f"{count} people imported")


def _passphrase(file: Path | None, *, twice: bool) -> str:
    from edgeface.passphrase import read_passphrase

    if file is not None:
        return read_passphrase(file)
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for a passphrase: give --passphrase-file FILE")
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True))


@events_app.command("list")
def events_list(
    context: typer.Context,
    person: Annotated[str | None, typer.Option(metavar="PERSON", help="Only those that named this person.")] = None,
    json: Json = False,
) -> None:
    """List the recognized and unknown events that are still kept, the newest last.

    \b
    Example: edgeface events list --person Anna
    """
    from edgeface.publishers.payloads import kept_event_payload

    with _gallery(context) as gallery:
        wanted = gallery.find(person).id if person else None
        names = {known.id: known.name for known in gallery.people()}
        kept = [event for event in gallery.events.all() if wanted in (None, event.person_id)]
    rows = [kept_event_payload(event, names) for event in kept]
    if json:
        _print_json({"events": rows})
    for row in [] if json else rows:
        who, verdict = row["name"] or "somebody unknown", f"  {row['verdict']}" if row["verdict"] else ""
        typer.echo(f"{row['event_id']}  {row['ts'][:19]}Z  {row['event_type']:<10}  score {row['score']:.2f}  {who}{verdict}")
    if not rows and not json:
        typer.echo("no event is kept; see [events] in edgeface config default", err=True)


@config_app.command("show")
def config_show(context: typer.Context, json: Json = False) -> None:
    """Show every setting in effect and where it comes from."""
    rows = config.settings(context.obj.file)
    if json:
        _print_json({"settings": [asdict(row) for row in rows]})
        return
    for row in rows:
        value = msgspec.json.encode(row.value).decode()
        typer.echo(f"{f'{row.section}.{row.name}':<27} {value:<22} ({row.origin})")


@config_app.command("check")
def config_check(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Else the file in effect.")] = None,
) -> None:
    """Check a settings file; exits with 2 if it is wrong."""
    path = config.find(file or context.obj.file)
    if path is None:
        raise ConfigError("there is no settings file; give one, or see edgeface config default")
    config.load(path)
    typer.echo(f"{path}: valid")


@config_app.command("default")
def config_default() -> None:
    """Print a settings file with every setting, its default and its meaning."""
    typer.echo(config.default_toml(), nl=False)


@mqtt_app.command()
def clear(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Though the broker says that the daemon is running.")] = False,
    json: Json = False,
) -> None:
    """Remove all that the broker keeps of this device, so that subscribers and Home Assistant forget it.

    Stop the daemon first: it would publish its state again. With --json it prints {"removed": [topic]}.

    \b
    Example: systemctl stop edgeface && edgeface mqtt clear
    """
    from edgeface.clearing import clear as remove

    removed = remove(context.obj.config, force=force)
    if json:
        _print_json({"removed": removed})
    for topic in [] if json else removed:
        typer.echo(f"removed {topic}")
    if not removed and not json:
        typer.echo("the broker keeps nothing of this device", err=True)


@mqtt_app.command()
def docs(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write mqtt.md and schemas/*.json.")]) -> None:
    """Write the reference of topics and payloads, and a JSON Schema of each payload.

    \b
    Example: edgeface mqtt docs docs
    """
    from edgeface.contract import write

    typer.echo(f"{_count(len(write(folder)), 'file')} written to {folder}", err=True)
