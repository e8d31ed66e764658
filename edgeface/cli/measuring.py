"""Defines the commands ``edgeface bench`` and ``edgeface evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Json, counted, print_json
from edgeface.errors import ConfigError, EdgefaceError
from edgeface.operations.strangers import switched_off
from edgeface.vision.drawing import check_suffix, save_image

if TYPE_CHECKING:
    from edgeface.measurement.evaluate import Trials

Gallery = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Photos to enroll: DIR/PERSON/*.jpg. Without it, measure your own gallery.")
]
Visits = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Frames by name, as a camera saw them: DIR/PERSON/VISIT/*.jpg.")
]
Strangers = Annotated[Path | None, typer.Option(metavar="DIR", help="The same, of people who are not enrolled.")]
People = Annotated[
    list[int] | None,
    typer.Option(min=1, metavar="N", help="Enroll N people at a time, drawn at random, instead of all; may be repeated."),
]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw FNIR over FPIR as the target varies, e.g. det.png.")]
Fpir = Annotated[
    float | None,
    typer.Option(
        min=1e-6,
        max=0.5,
        metavar="RATE",
        help="Your own gallery: the FPIR that a proposal must keep to; else matching.target_fpir.",
    ),
]

app = typer.Typer()


@app.command()
def bench(
    context: typer.Context,
    peers: Annotated[
        bool, typer.Option("--peers", help="Time other installed networks beside ours: SFace, MobileFaceNet.")
    ] = False,
    peer_files: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look for the peers' files below this folder; implies --peers.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="How often each step is timed.")] = 200,
    json: Json = False,
) -> None:
    """Time every step of recognition on this machine.

    It times detection, alignment, embedding and matching on one thread, in microseconds. The frame is a bundled photo at
    640 x 480, the settings are the defaults, the galleries hold 10 and 1,000 random people. "embed" is a probe's embedding;
    a template's takes a second pass, for the mirror image. "ours/its" is our fastest embedding over a peer's fastest.

    \b
    Examples: edgeface bench
              edgeface bench --peers --json > bench.json
    """
    from edgeface.measurement import bench as benchmark
    from edgeface.measurement.baselines import HOW_TO_INSTALL, find_peers

    benchmark.restart_on_one_thread()
    found = find_peers(peer_files) if peers or peer_files else []
    if peers and not found:
        raise EdgefaceError(f"no peer is installed: {HOW_TO_INSTALL}")
    report = benchmark.measure(context.obj.model, rounds, found)
    print_json(report) if json else _print_report(report)


def _print_report(report: Any) -> None:
    machine, model = report.machine, report.model
    operations = f", {model['multiply_adds'] / 1e6:.0f} M multiply-adds" if model["multiply_adds"] else ""
    typer.echo(f"machine  {machine['cpu']}, {machine['arch']}, {counted(machine['cores'], 'core')}")
    typer.echo("         Python {python}, {runtime}, OpenCV {opencv}, numpy {numpy}".format_map(machine))
    typer.echo(f"model    {model['digest'][:19]}…, {model['bytes'] / 1e6:.2f} MB{operations}")
    typer.echo(f"\nmicroseconds, one thread, {counted(report.rounds, 'round')}\n")
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
    gallery: Gallery = None,
    visits: Visits = None,
    strangers: Strangers = None,
    people: People = None,
    galleries: Annotated[int, typer.Option(min=1, metavar="N", help="How many galleries of N people there are at most.")] = 20,
    plot: Plot = None,
    fpir: Fpir = None,
    json: Json = False,
) -> None:
    """Measure recognition, of your gallery or on folders of frames.

    It counts strangers who are announced, and people who are missed or misnamed. Without folders, propose a value for
    matching.target_fpir where there is enough data. Templates of one session are more alike than views of another day, so
    their FNIR is a lower limit. Intervals are 95 %, by a bootstrap over people.

    With folders, the frames go through detector, network, tracks and presence as in the daemon, as if at camera.fps, but as
    fast as this machine can. The gallery is made for this; people who are not in it are strangers.

    \b
    Examples: edgeface evaluate
              edgeface evaluate --fpir 0.05
              edgeface evaluate --gallery photos --visits recorded --strangers postmen
              edgeface evaluate --gallery photos --visits recorded --people 10 --people 100 --plot det.png
    """
    if gallery is None and visits is None:
        if strangers or people or plot:
            raise ConfigError("--strangers, --people and --plot need --gallery and --visits")
        _evaluate_own(context, fpir, json)
        return
    if gallery is None or visits is None:
        raise ConfigError("--gallery and --visits need each other; without both, your own gallery is measured")
    if fpir:
        raise ConfigError("--fpir is for your own gallery, without --gallery and --visits")
    from edgeface.measurement.evaluate import Trials

    trials = Trials(people or [], galleries, curve=plot is not None)
    _evaluate_folders(context, gallery, [visits, strangers] if strangers else [visits], trials, plot, json)


def _evaluate_folders(
    context: typer.Context, gallery: Path, visits: list[Path], trials: "Trials", plot: Path | None, json: bool
) -> None:
    from edgeface.measurement import evaluate
    from edgeface.measurement.det_plot import draw_det

    if plot:
        check_suffix(plot, ConfigError)
    if plot and not plot.absolute().parent.is_dir():
        raise ConfigError(f"{plot}: there is no folder {plot.parent}")
    report = evaluate.evaluate(
        context.obj.config, context.obj.model, gallery, visits, trials, tell=lambda line: typer.echo(line, err=True)
    )
    if plot:
        curves = {f"{one.people} enrolled": curve for one, curve in zip(report.figures, report.curves, strict=True)}
        save_image(plot, draw_det({label: [(f.fpir.rate, f.fnir.rate) for f in curve] for label, curve in curves.items()}))
    print_json(report) if json else _print_figures(report)


def _evaluate_own(context: typer.Context, fpir: float | None, json: bool) -> None:
    from edgeface.measurement.own_gallery import evaluate_own

    report = evaluate_own(context.obj.gallery, context.obj.card, context.obj.config.matching, fpir)
    if json:
        print_json(report)
        return
    typer.echo(f"model     {report.model[:19]}…")
    typer.echo(f"gallery   {counted(report.people, 'person')}, {counted(report.templates, 'template')}")
    if report.unjudged:
        typer.echo(f"          {counted(report.unjudged, 'recognized event')} without a verdict: people confirm, people reject")
    if off := switched_off(context.obj.config):
        typer.echo(f"strangers {off}")
    rows = {f"{one.target_fpir:g}": one for one in report.curve}
    for title, table in (("from", report.by_source), ("target", rows)):
        for rate, meaning in (("fpir", "FPIR: strangers announced as somebody"), ("fnir", "FNIR: enrolled and not announced")):
            typer.echo(f"\n{title:<11}{meaning}")
            for label, one in table.items():
                typer.echo(f"{label:<11}{_error_rate(getattr(one, rate))}")
    value = report.proposal.target_fpir
    typer.echo(f"\nproposal  {'none' if value is None else f'matching.target_fpir = {value:g}'}: {report.proposal.reason}")


def _error_rate(one: Any) -> str:
    if not one.trials:
        return "no trial"
    return f"{one.rate:.2%} [{one.low:.2%}, {one.high:.2%}]  {one.count} of {one.trials}, {counted(one.people, 'person')}"


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
