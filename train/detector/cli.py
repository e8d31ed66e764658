"""Define the commands of ``python -m train detector``."""

import json as json_module
import os
from pathlib import Path
from typing import Annotated

import typer

from edgeface.vision.model_card import SHIPPED
from train.config import INTERRUPTED, Precision
from train.quiet import quieten

app = typer.Typer(no_args_is_help=True, help="Train our own face detector, measure it beside YuNet, and cut YuNet in two.")
Prepared = Annotated[Path, typer.Argument(metavar="PREPARED", help="The folder that prepare wrote.")]


@app.callback()
def main() -> None:
    quieten()


@app.command()
def prepare(
    portraits: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Portraits, of which pictures are composed.")],
    wider: Annotated[Path, typer.Option(help="Photos of WIDER FACE, in folders by event, with labels.json.")],
    scenes: Annotated[Path, typer.Option(help="Pictures that show no face.")],
    out: Annotated[Path, typer.Option(help="Where the labelled pictures go.")],
    frames: Annotated[
        list[Path] | None, typer.Option(help="Frames of cameras (repeatable); those in which YuNet is sure are used.")
    ] = None,
    faces: Annotated[int, typer.Option(min=1, help="Portraits to label, chosen at random.")] = 12_000,
    composites: Annotated[int, typer.Option(min=0, help="Pictures to compose.")] = 10_000,
    patterns: Annotated[int, typer.Option(min=0, help="Patterns without faces to draw.")] = 1_000,
    workers: Annotated[int, typer.Option(min=1, help="Threads.")] = os.cpu_count() or 1,
) -> None:
    """Label portraits, compose pictures of them, and keep them with true photos; run it again after an interruption."""
    from train.detector.prepare import Amounts, Sources
    from train.detector.prepare import prepare as work

    manifest = work(Sources(wider, scenes, portraits, frames or ()), out, Amounts(faces, composites, patterns), workers)
    for name in ("portraits", "training", "development"):
        typer.echo(f"{name}: {manifest[name]['pictures']} pictures, {manifest[name]['faces']} faces")


@app.command()
def fit(
    prepared: Prepared,
    out: Annotated[Path, typer.Option(help="The run's folder; a run that is there is resumed.")],
    pictures: Annotated[int, typer.Option(min=1, help="Pictures of 320 x 256 to present in all.")] = 3_000_000,
    batch: Annotated[int, typer.Option(min=1, help="Pictures of 320 x 256 a step.")] = 32,
    rate: Annotated[float, typer.Option(min=1e-9, max=1.0, help="Peak of the learning rate.")] = 3e-3,
    decay: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the run, at its end, in which the rate falls.")
    ] = 1.0,
    precision: Annotated[Precision, typer.Option(help="Measure which is faster here.")] = Precision.MIXED_BFLOAT16,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="WEIGHTS", help="Start from the weights.npz of another run.")
    ] = None,
) -> None:
    """Train the detector; Ctrl-C saves a checkpoint and stops, the same command goes on."""
    from train.detector.config import DetectorConfig
    from train.detector.fit import fit as work

    config = DetectorConfig(pictures=pictures, batch=batch, peak_rate=rate, decay=decay, precision=precision.value)
    done = work(prepared, out, config, start=start)["step"]
    typer.echo(f"weights in {out / 'weights.npz'}")
    if done < config.steps:
        typer.echo(f"stopped at step {done} of {config.steps}; the same command goes on", err=True)
        raise typer.Exit(INTERRUPTED)


@app.command()
def export(
    prepared: Prepared,
    run: Annotated[Path, typer.Option(help="The folder of a run of fit.")],
    out: Annotated[Path, typer.Option(help="Where detector.tflite and detector.json go.")],
    name: Annotated[str, typer.Option(help="The network's name in its card.")] = "edgeface",
) -> None:
    """Quantise the trained network to int8, set its threshold on the development photos, and write its card."""
    from train.detector.export import export as work

    card = work(run, prepared, out, name)
    typer.echo(f"{out}: {card.network.bytes / 1e3:.0f} KB, faces from a score of {card.min_score}, {card.metrics}")


@app.command()
def evaluate(
    prepared: Prepared,
    people: Annotated[Path, typer.Option(help="Photos of people in folders; those who are held out are recognized.")],
    model: Annotated[Path | None, typer.Option(help="The folder of an exported detector; else YuNet alone.")] = None,
    json: Annotated[Path | None, typer.Option(help="Where to write the figures; else they are printed.")] = None,
) -> None:
    """Measure a detector beside YuNet: recall, false alarms, landmarks, tilt left after alignment, recognition."""
    from train.detector.evaluate import evaluate as work

    text = json_module.dumps(work(model, prepared, people), indent=2) + "\n"
    if json:
        json.write_text(text)
    else:
        typer.echo(text, nl=False)


@app.command()
def yunet(
    source: Annotated[
        Path | None, typer.Argument(metavar="ONNX", help="YuNet; else the file beside the training module.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for its halves; else the device's.")] = SHIPPED,
) -> None:
    """Cut YuNet in two, so that its first layers can look at one strip of a picture after another."""
    from train.detector.yunet import SOURCE, split

    split(source or SOURCE, out)
