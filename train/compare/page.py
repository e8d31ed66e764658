"""Figures of a comparison -> a page in Markdown with its plots. Every number and every judgement in it is computed."""

import io
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from edgeface import config, detectors
from edgeface.annotate import contact_sheet, save_image
from edgeface.errors import DataError
from edgeface.files import write_whole
from edgeface.imaging import align, load_image
from edgeface.types import Image
from train.compare.groups import ADULT, FARS, GENDERS
from train.compare.quality import AWAY, PRESENT, REJECTED, SIZES
from train.compare.robustness import EFFECTS, FAR, PHOTO_TURNED, TURN, turned, worn
from train.evaluate import write_json

matplotlib.use("Agg")
Figures = dict[str, Any]

EXAMPLE = "obama_portrait.jpg"
"""A photo of the demo, in the public domain."""

FIFTH = int(np.searchsorted(REJECTED, 0.2 - 1e-9))
"""Where on the curves a fifth of the probes is turned away."""


def write(figures: Figures, out: Path) -> None:
    """Write the page to ``out``, and figures.json and the plots into the folder beside it that has its name.

    Raises:
        DataError: something cannot be written.
    """
    folder = out.with_suffix("")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(figures, folder / "figures.json")
        save_image(folder / "conditions.png", _conditions())
        _plot_robustness(figures["robustness"]["conditions"], list(figures["bytes"]), folder / "robustness.png")
        _plot_quality(figures["quality"], folder / "quality.png")
        if figures["groups"]:
            _plot_groups(figures["groups"], folder / "groups.png")
        write_whole(out, render(figures, folder.name).encode())
    except OSError as error:
        raise DataError(f"{out}: {error.strerror or error}") from None


def render(figures: Figures, folder: str) -> str:
    """The page; its plots are in ``folder``."""
    sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in figures["bytes"].items())
    paragraphs = [
        "# The network, its peers, and where it fails",
        f"Written by `python -m train compare`, never by hand; all numbers are in [figures.json]({folder}/figures.json). "
        f"edgeface is the network `{figures['model'][:19]}`, in int8 as it ships. Sizes of the files: {sizes}.",
        *_robustness(figures["robustness"], list(figures["bytes"]), figures["pairs"], folder),
        *(_groups(figures["groups"], folder) if figures["groups"] else []),
        *_quality(figures["quality"], folder),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _robustness(figures: Figures, names: Sequence[str], pairs: str, folder: str) -> Iterable[str]:
    conditions = figures["conditions"]
    ours, others = names[0], names[1:]
    tar = {name: {condition: values[name]["tar"] for condition, values in conditions.items()} for name in names}
    error = np.sqrt(tar[ours]["clean"] * (1 - tar[ours]["clean"]) / figures["matched"])
    yield "## Worn probes"
    yield f"![One photo in every condition]({folder}/conditions.png)"
    yield (
        f"The first {figures['folds']} folds of {pairs}: {figures['pairs']:,} pairs of {figures['photos']:,} photos. The first photo "
        "of a pair is the template and stays clean; the second is the probe and is worn as above. Every network gets the same "
        "chips, found and aligned as on the device. edgeface averages a template with its mirror image, as it does on the device."
    )
    yield (
        "Sizes are for a face 80 pixels wide. Blur is Gaussian, of that standard deviation; noise has a standard deviation of "
        "16 of 255; at 1/4 light each value is divided by four; a 28-px face has 28 pixels from ear to ear. For *chip turned* the "
        f"aligned chip is turned by {TURN:g} degrees, as if alignment had failed by so much; for *{PHOTO_TURNED}* the photo is "
        "turned before the face is found and aligned."
    )
    yield _table(
        ["probe", *(f"{name}, accuracy" for name in names), *(f"{name}, TAR" for name in names)],
        [
            [condition]
            + [f"{_percent(v[name]['accuracy'])} ± {100 * v[name]['accuracy_error']:.1f}" for name in names]
            + [f"{v[name]['tar']:.3f}" for name in names]
            for condition, v in conditions.items()
        ],
    )
    yield (
        "Accuracy, in %, is that of the protocol, with the standard error of its mean over the folds. TAR is the share of the "
        f"{figures['matched']:,} matched pairs that are accepted where {_short(FAR)} % of {figures['unmatched']:,} unmatched "
        "comparisons are (each template with each probe of somebody else), the threshold being set anew in each condition. "
        f"The standard error of the first, {tar[ours]['clean']:.3f}, is {error:.3f}; the rows share their photos, so that "
        "differences between them are surer than that."
    )
    yield f"![TAR by condition]({folder}/robustness.png)"
    worst = {name: sorted((tar[name][c], c) for c in conditions if c != "clean")[:3] for name in names}
    told = "; ".join(f"{name} with {_listed(f'{c} ({value:.3f})' for value, c in worst[name])}" for name in names)
    yield f"The lowest TARs: {told}."
    for other in others:
        gaps = sorted((tar[other][c] - tar[ours][c], c) for c in conditions)
        (low, nearest), (high, farthest) = gaps[0], gaps[-1]
        yield (
            f"{other} less edgeface, in TAR: {tar[other]['clean'] - tar[ours]['clean']:+.3f} with clean probes, at least "
            f"{low:+.3f} ({nearest}), at most {high:+.3f} ({farthest})."
        )
    yield (
        f"Of the {TURN:g} degrees by which photos were turned, alignment took back {figures['taken_back']:.1f} on average; the rest "
        f"reached the networks. The detector found no face in {figures['no_face']['clean']} of the probes' photos as they are, and "
        f"in {figures['no_face'][PHOTO_TURNED]} of those turned; such a pair is a miss."
    )
    fixed = {condition: values["fixed"] for condition, values in conditions.items()}
    fars, tars = ([values[key] for values in fixed.values()] for key in ("far", "tar"))
    yield (
        "A device sets no new threshold for bad light. At the one that it has for a single template (cosine "
        f"{figures['threshold']:.3f}, set on held-out people for {_short(config.Matching().target_fpir)} % of false accepts), the "
        f"condition moves the misses and the false accepts so: strangers pass in {_short(min(fars))} to "
        f"{_short(max(fars))} % of comparisons, the right person in {_percent(min(tars))} to {_percent(max(tars))} %."
    )
    yield _table(
        ["probe", "matched pairs accepted, %", "unmatched comparisons accepted, %"],
        [[condition, _percent(v["tar"]), _short(v["far"])] for condition, v in fixed.items()],
    )


def _groups(figures: Figures, folder: str) -> Iterable[str]:
    rows, names = figures["groups"], list(figures["thresholds"])
    ages = list(dict.fromkeys(row["ages"] for row in rows))
    by_age = {age: [next((r for r in rows if (r["ages"], r["gender"]) == (age, g)), None) for g in GENDERS] for age in ages}
    yield "## Age and gender"
    yield (
        f"{sum(row['faces'] for row in rows):,} photos of UTKFace, whose names tell age and gender, one of every person as far as "
        f"is known; {figures['repeated']} that repeat another's picture are left out. Every face is compared with every other of "
        "its own group, so that a match is a false one. Thresholds are those at which held-out people of the training data, of "
        f"all groups together, match falsely in {_listed(f'{_short(far)} %' for far in FARS)} of comparisons; SFace, the teacher, "
        "has its own, set in the same way on the same people."
    )
    yield _table(
        ["ages", "faces", *(f"{name} at {_short(far)} %" for name in names for far in FARS), "missed when worn"],
        [
            [age, _both(by_age[age], lambda r: str(r["faces"]))]
            + [_both(by_age[age], lambda r, n=name, i=i: _short(r["fmr"][n][i][0])) for name in names for i in range(len(FARS))]
            + [_both(by_age[age], lambda r: _short(r["lost"]))]
            for age in ages
        ],
    )
    yield "Male / female, in %. Errors, one standard error each, are in the plot."
    yield f"![False-match rates by age band and gender]({folder}/groups.png)"
    ranked = sorted((row["fmr"][names[0]][-1][0], f"{row['gender']}, {row['ages']}") for row in rows)
    (low, lowest), (high, highest) = ranked[0], ranked[-1]
    bound = 10 * FARS[-1]
    alike = [name for rate, name in reversed(ranked) if rate > bound]
    yield "What can be concluded:"
    points = [
        f"At the threshold for {_short(FARS[-1])} %, strangers of one group pass for each other in {_short(low)} % of comparisons "
        f"({lowest}) to {_short(high)} % ({highest}). "
        + (
            f"Over {_short(bound)} %, ten times what the threshold is set for: {'; '.join(alike)}. Do not rely on names for them."
            if alike
            else f"No group is over {_short(bound)} %, ten times what the threshold is set for."
        ),
        f"The rank correlation of the groups' rates with the teacher's is {_rank_correlation(rows, names):.2f}; at 1 both order "
        "the groups alike, and the order is learnt from the teacher rather than by the network itself.",
    ]
    points += [
        f"{name}, two adults ({ADULT} and older) at the threshold for {_short(FARS[0])} %: "
        + ", ".join(f"{_short(rate)} % where they have {kind} in common" for kind, rate in sorted(kinds.items()))
        + "."
        for name, kinds in figures["adults"].items()
        if kinds
    ]
    yield "\n".join(f"- {point}" for point in points)
    yield "What cannot:"
    yield "\n".join(
        f"- {point}"
        for point in (
            "How often the right person is missed, by group: nobody has a second photo here. *Missed when worn* compares each photo "
            "with itself at a face width of 28 pixels and with noise, against the stricter threshold. It says whose features are "
            "lost first with detail, and nothing of age, pose or light between two photos.",
            "How it would be on new photos of the same kind: the network was trained on these (on the teacher's embeddings of them, "
            "without names or labels).",
            "What the cause is. The photos of each age come from other sources and cameras; crops are tight, so that chips have "
            "black edges; the same person twice counts as a false match; ages and genders were partly estimated by a program. "
            "Ancestry is not looked at, and gender is what the data set calls so.",
        )
    )


def _quality(figures: Figures, folder: str) -> Iterable[str]:
    first, second, chosen = figures["choosing"], figures["reported"], figures["chosen"]
    yield "## Quality"
    yield (
        "Can a view be turned away before it is compared, because it will be missed? Every photo of the pairs "
        f"({second['probes']:,} of {second['people']:,} people) is a clean template, and a probe that was shrunk to a face of "
        f"{SIZES[0]} to {SIZES[1]} pixels and worn at random, twice over, as in training. The detector finds the face again in "
        f"{_percent(1 - second['not_found'])} % of the probes; only those count: {second['comparisons']:,} comparisons of a person "
        "with themselves. The measure to use was chosen in the same way on other people, the "
        f"{first['people']:,} held out from training."
    )
    yield f"![Error against reject]({folder}/quality.png)"
    yield (
        "Each curve shows the share of misses (FNMR, at the card's thresholds) that is left once a share of the probes, those of the "
        "lowest measure, is turned away (Grother and Tabassi, 2007). The gain is the area that a curve saves, from 0 to "
        f"{_short(REJECTED[-1])} % turned away, as a share of what the ideal measure saves, which turns away misses alone: "
        "100 % is ideal, 0 % is chance, less is worse than chance."
    )
    yield _table(
        ["measure", *(f"gain, held out, FAR {_short(far)} %" for far in FARS), *(f"gain, FAR {_short(far)} %" for far in FARS)]
        + [f"FNMR at FAR {_short(FARS[-1])} %, a fifth away"],
        [
            [f"**{name}**" if name == chosen else name]
            + [_percent(gain) for gain in first["gain"][name]]
            + [_percent(gain) for gain in second["gain"][name]]
            + [_percent(second["curves"][name][-1][FIFTH])]
            for name in second["curves"]
        ],
    )
    yield (
        f"In %. With nothing turned away the FNMR is {_percent(second['fnmr'][-1])} %. Best on the held-out people, and by that the one "
        f"to use: {chosen}. Reconstruction error is the mean squared difference between the shrunken face and the one that the "
        "decoder rebuilds, and its contrast the variance of the former."
    )
    gates = figures["gates"]
    names = {
        "none": "none",
        "present": f"`detector.min_quality`, {config.Detector().min_quality:g}",
        "chosen": f"{chosen}, {figures['limit']:.4g}",
        "both": "both",
    }
    yield (
        f"As a gate: {chosen} has to reach what all but {_short(AWAY)} % of the clean faces of held-out people reach. Each row is "
        "what a gate turns away, and the errors of what it lets through."
    )
    yield _table(
        ["gate", "clean probes away", "worn probes away", *(f"FNMR at FAR {_short(far)} %" for far in FARS)]
        + [f"FMR at FAR {_short(FARS[-1])} %"],
        [
            [names[name], _percent(gate["clean_away"]), _percent(gate["worn_away"])]
            + [_percent(gate["fnmr"][i]) for i in range(len(FARS))]
            + [_short(gate["fmr"])]
            for name, gate in gates.items()
        ],
    )
    yield (
        "In %. Wear is simulated on portraits that were aligned while they were clean, so these figures say which measure to use, "
        "and not how often a camera's views are missed."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _short(share: float) -> str:
    """In per cent too, for rates of any size."""
    return f"{100 * share:.3g}"


def _both(pair: Sequence[Any], tell: Callable[[Any], str]) -> str:
    return " / ".join("" if row is None else tell(row) for row in pair)


def _listed(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _rank_correlation(rows: Sequence[Any], names: Sequence[str]) -> float:
    """Spearman's, of the networks' rates at the first threshold; 0 where one of them does not vary."""
    ranks = [np.argsort(np.argsort([row["fmr"][name][0][0] for row in rows])) for name in names]
    return float(np.corrcoef(ranks)[0, 1]) if len(rows) > 1 else 0.0


def _conditions() -> Image:
    with as_file(files("edgeface.demo") / "photos" / EXAMPLE) as path:
        photo = load_image(path)
    detector = detectors.create()
    askew = turned(photo, TURN)
    chip, again = (align(image, detector.detect(image)[0].landmarks) for image in (photo, askew))
    tiles = [(name, picture) for name in EFFECTS for picture in worn([chip], name) if picture is not None]
    tiles.append((PHOTO_TURNED, again))
    half = (len(tiles) + 1) // 2
    return contact_sheet([("The probe, in every condition", tiles[:half]), ("", tiles[half:])], (140, 140))


def _plot_robustness(conditions: Figures, names: Sequence[str], path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    rows = np.arange(len(conditions))[::-1]
    for name, marker in zip(names, "osD^v", strict=False):
        axes.plot([values[name]["tar"] for values in conditions.values()], rows, marker, markersize=8, label=name)
    axes.set(yticks=rows, xlim=(0, 1), xlabel=f"true-accept rate at a false-accept rate of {_short(FAR)} %")
    axes.set_yticklabels(list(conditions))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    _save(figure, path)


def _plot_groups(figures: Figures, path: Path) -> None:
    from matplotlib import pyplot

    names, rows = list(figures["thresholds"]), figures["groups"]
    ages = list(dict.fromkeys(row["ages"] for row in rows))
    figure, panels = pyplot.subplots(1, len(names), figsize=(11, 4.5), sharey=True)
    for axes, name in zip(panels, names, strict=True):
        for i, far in enumerate(FARS):
            for gender, marker, colour in zip(GENDERS, "os", ("tab:blue", "tab:orange"), strict=True):
                mine = [(row["ages"], *row["fmr"][name][i]) for row in rows if row["gender"] == gender]
                axes.errorbar(
                    [ages.index(age) for age, _, _ in mine],
                    [max(rate, 1e-5) for _, rate, _ in mine],
                    [error for _, _, error in mine],
                    color=colour,
                    marker=marker,
                    linestyle=("-", "--")[i],
                    label=f"{gender}, threshold for {_short(far)} %",
                )
            axes.axhline(far, color="grey", linestyle=("-", "--")[i], linewidth=0.8)
        axes.set(title=name, yscale="log", ylim=(1e-5, 1.2), xlabel="age")
        axes.set_xticks(range(len(ages)), ages, rotation=45)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("false-match rate within the group")
    panels[-1].legend(fontsize=8)
    _save(figure, path)


def _plot_quality(figures: Figures, path: Path) -> None:
    from matplotlib import pyplot

    told = figures["reported"]
    figure, panels = pyplot.subplots(1, len(FARS), figsize=(11, 4.5), sharey=True)
    for i, (axes, far) in enumerate(zip(panels, FARS, strict=True)):
        for name, curve in told["curves"].items():
            thick = name in (figures["chosen"], PRESENT)
            axes.plot(100 * REJECTED, curve[i], label=name, linewidth=2.5 if thick else 1, alpha=1 if thick else 0.7)
        axes.plot(100 * REJECTED, told["ideal"][i], "k--", label="ideal")
        axes.axhline(told["fnmr"][i], color="grey", linestyle=":", label="chance")
        axes.set(title=f"threshold for FAR {_short(far)} %", xlabel="probes turned away, %", ylim=(0, None))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("FNMR of the rest")
    panels[-1].legend(fontsize=7, loc="lower left")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.tight_layout()
    stream = io.BytesIO()
    figure.savefig(stream, dpi=100, format="png")
    pyplot.close(figure)
    write_whole(path, stream.getvalue())
