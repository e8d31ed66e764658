"""Define the commands of ``python -m train pad``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import print_json
from edgeface.vision.model_card import SHIPPED
from train.quiet import quieten

app = typer.Typer(no_args_is_help=True, help="Train the network that tells live faces from screens and prints, and measure it.")
Prepared = Annotated[Path, typer.Argument(metavar="PREPARED", help="The folder that prepare wrote.")]
Development = Annotated[
    Path, typer.Option(help="Replay-Attack's clips of other people, in live/ and attack/, by which thresholds are set.")
]
Teachers = Annotated[Path, typer.Option(help="The folder of minifasnet_v2.onnx and minifasnet_v1se.onnx.")]


@app.callback()
def main() -> None:
    quieten()


@app.command()
def prepare(
    photos: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Photos of people, which count as live.")],
    replay: Annotated[Path, typer.Option(help="Replay-Attack's clips to learn from, in live/ and attack/.")],
    scenes: Annotated[list[Path], typer.Option(help="Pictures of what may be behind a simulated attack (repeatable).")],
    teachers: Teachers,
    out: Annotated[Path, typer.Option(help="Where the views go.")],
    count: Annotated[int, typer.Option("--photos", min=0, help="Photos to use, chosen at random.")] = 18_000,
    recaptures: Annotated[int, typer.Option(min=0, help="Simulated attacks with each live frame; one with each photo.")] = 30,
    workers: Annotated[int, typer.Option(min=1, help="Threads.")] = os.cpu_count() or 1,
) -> None:
    """Cut views out of frames and photos, and simulate attacks; run it again after an interruption."""
    from train.pad.prepare import Sources
    from train.pad.prepare import prepare as work

    for name, kinds in work(Sources(replay, photos, scenes, teachers), out, count, recaptures, workers)["views"].items():
        typer.echo(f"{name}: " + ", ".join(f"{number} {kind}" for kind, number in kinds.items()))


@app.command()
def fit(
    prepared: Prepared,
    out: Annotated[Path, typer.Option(help="The run's folder; a run that is there is resumed.")],
    views: Annotated[int, typer.Option(min=1, help="Views to present in all.")] = 600_000,
    simulated: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of simulated attacks in what is presented; 0 leaves them out.")
    ] = 0.26,
    taught: Annotated[
        float, typer.Option(min=0.0, help="Weight of the teachers' features in the loss; 0 leaves them out.")
    ] = 0.3,
    seed: Annotated[int, typer.Option(help="Of chance.")] = 1,
) -> None:
    """Train the network; the same command goes on after an interruption, from the last epoch."""
    from train.pad.fit import PadConfig
    from train.pad.fit import fit as work

    done = work(prepared, out, PadConfig(views=views, simulated=simulated, taught=taught, seed=seed))
    typer.echo(f"weights in {out / 'weights.npz'}: " + ", ".join(f"{name} {value:.4f}" for name, value in done.items()))


@app.command()
def export(
    prepared: Prepared,
    run: Annotated[Path, typer.Option(help="The folder of a run of fit.")],
    development: Development,
    out: Annotated[Path, typer.Option(help="Where pad.tflite and pad.json go.")],
    photos: Annotated[
        list[Path] | None,
        typer.Option(help="Photos of other live people by other cameras (repeatable): few of each set may count as an attack."),
    ] = None,
    name: Annotated[str, typer.Option(help="The network's name in its card.")] = "edgeface",
) -> None:
    """Quantise the trained network to int8, set its thresholds, and write its card."""
    from train.pad.export import export as work

    card = work(run, prepared, development, photos or (), out, name)
    typer.echo(f"{out}: {card.network.bytes / 1e6:.2f} MB, live at {card.live_at}, an attack below {card.attack_at}")


@app.command()
def visits(
    test: Annotated[Path, typer.Argument(metavar="CLIPS", help="Replay-Attack's clips, in live/ and attack/.")],
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Play clips to the whole pipeline: who is named with [liveness] mode off and refuse, and how much later."""
    from train.pad.visits import play_clips, summary

    table = summary(play_clips(test))
    if json:
        told = {
            kind: {**named._asdict(), "off": named.off._asdict(), "refuse": named.refuse._asdict()}
            for kind, named in table.items()
        }
        print_json(told)
        return
    for kind, (off, refuse, later) in table.items():
        for mode, (value, low, high, clips) in (("off", off), ("refuse", refuse)):
            typer.echo(f"{kind}, {mode}: named {value:.1%} ({low:.1%} to {high:.1%}) of {clips} clips")
        if later is not None:
            typer.echo(f"{kind}: named {later:.2g} s later with refuse (median)")


@app.command()
def evaluate(
    development: Development,
    test: Annotated[Path, typer.Option(help="Replay-Attack's clips of people that nothing was learnt from or chosen by.")],
    model: Annotated[Path, typer.Option(help="The folder of pad.tflite and pad.json.")] = SHIPPED,
    photos: Annotated[
        list[Path] | None, typer.Option(help="Photos of live people by other cameras (repeatable); 1,000 of each are scored.")
    ] = None,
    teachers: Annotated[Path | None, typer.Option(help="Measure the published networks in this folder, too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Print APCER and BPCER a clip, with 95 % intervals by person, by attack and condition (ISO/IEC 30107-3)."""
    from edgeface.vision.passive_liveness import PassiveLiveness
    from train.pad import evaluate as measured
    from train.pad.teachers import Teachers as Published

    network = PassiveLiveness(model)
    scores = {"edgeface": network.score}
    if teachers:
        scores |= Published(teachers).scores()
    tables = {name: measured.evaluate(development, test, score) for name, score in scores.items()}
    tables["edgeface at its card's thresholds"] = measured.decisions(test, network)
    others = {str(folder): measured.on_photos(folder, network) for folder in photos or ()}
    speed = measured.milliseconds(network)
    if json:
        told = {
            name: {group: {what: share._asdict() for what, share in row.items()} for group, row in table.items()}
            for name, table in tables.items()
        }
        print_json({"clips": told, "photos": others, "milliseconds": speed})
        return
    for name, table in tables.items():
        typer.echo(name)
        for group, row in table.items():
            for what, (value, low, high, clips) in row.items():
                typer.echo(f"  {group} {what}: {value:.1%} ({low:.1%} to {high:.1%}) of {clips} clips")
    for folder, figures in others.items():
        typer.echo(f"{folder}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    typer.echo("ms a face: " + ", ".join(f"{name} {value:.2f}" for name, value in speed.items()))
