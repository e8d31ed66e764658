"""Write the figures of a comparison as a page in Markdown. Every number and every judgement in it is computed."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.config import schema
from edgeface.errors import DataError
from edgeface.platform.files import write_whole
from edgeface.types import Image
from edgeface.vision.drawing import save_image
from train.compare import plots, summary
from train.compare.groups import FARS, GENDERS
from train.compare.quality import REJECTED, SIZES, TIE
from train.compare.robustness import FAR, PHOTO_TURNED, TURN
from train.compare.text import listed, percent, short, table
from train.export.export import POOR_SHARE

Figures = dict[str, Any]

FIFTH = int(np.searchsorted(REJECTED, 0.2 - 1e-9))
"""Where on the curves a fifth of the probes is turned away."""


def write(figures: Figures, rebuild: dict[str, Callable[[Image], Image]], out: Path) -> None:
    """Write the page to ``out``, and figures.json and the plots into the folder beside it that has its name.

    accuracy.md beside it gets the first table, where it has the marks for it. ``rebuild`` draws a chip from each network's
    codes.

    Raises:
        DataError: something cannot be written.
    """
    folder, beside = out.with_suffix(""), out.with_name("accuracy.md")
    figures = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 6))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "figures.json", json.dumps(figures).encode() + b"\n")
        if figures["robustness"]:
            save_image(folder / "conditions.png", plots.conditions())
            save_image(folder / "rebuilt.png", plots.rebuilt(rebuild))
        plots.draw(figures, folder)
        write_whole(out, render(figures, folder.name).encode())
        if beside.is_file():
            part = [
                f"[{out.name}]({out.name}) says how these were measured, and where the network fails:",
                *summary.glance(figures),
            ]
            write_whole(beside, summary.replaced(beside.read_text(), part).encode())
    except OSError as error:
        raise DataError(f"{out}: {error.strerror or error}") from None


def render(figures: Figures, folder: str) -> str:
    """The page; its plots are in ``folder``."""
    worn, left_out = figures["robustness"], "\n".join(f"- {what}" for what in figures["left_out"])
    paragraphs = [
        "# The network, its peers, and where it fails",
        "Written by `python -m train compare`, never by hand; all numbers are in "
        f"[figures.json]({folder}/figures.json). edgeface is the network `{figures['model'][:19]}`, in int8 as it ships.",
        *summary.glance(figures),
        *(["Left out:", left_out] if left_out else []),
        *(summary.verification(figures["verification"], figures["pairs"]) if figures["verification"] else []),
        *(summary.missed_visits(figures["visits"]) if figures["visits"].get("sizes") else []),
        *summary.cost(figures),
        *(_robustness(worn, list(figures["bytes"]), figures["pairs"], folder) if worn else []),
        *(_rebuilt(worn, folder) if worn else []),
        *(_groups(figures["groups"], folder) if figures["groups"] else []),
        *(_quality(figures["quality"], figures["pairs"], folder) if figures["quality"] else []),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _robustness(figures: Figures, names: Sequence[str], pairs: str, folder: str) -> Iterable[str]:
    conditions = figures["conditions"]
    ours = conditions["clean"][names[0]]["tar"]
    error = np.sqrt(ours * (1 - ours) / figures["matched"])
    yield "## Worn probes"
    yield f"![One photo in every condition]({folder}/conditions.png)"
    yield (
        f"The first {figures['folds']} folds of {pairs}: {figures['pairs']:,} pairs of {figures['photos']:,} photos. The "
        "first photo of a pair is the template and stays clean; the second is the probe and is worn as above. Every network "
        "gets the same chips, found and aligned as on the device. edgeface averages a template with its mirror image, as it "
        "does on the device."
    )
    yield (
        "Sizes are for a face 80 pixels wide, from ear to ear. Blur is Gaussian, of that standard deviation; noise has a "
        "standard deviation of 16 of 255; at 1/4 light each value is divided by four; a 28-px face is one with 28 pixels in "
        f"place of the 80. For *chip turned* the aligned chip is turned by {TURN:g} degrees, as if alignment had failed by so "
        f"much; for *{PHOTO_TURNED}* the photo is turned before the face is found and aligned."
    )
    yield table(
        ["probe", *(f"{name}, accuracy" for name in names), *(f"{name}, TAR" for name in names)],
        (
            [
                condition,
                *(f"{percent(values[name]['accuracy'])} ± {percent(values[name]['accuracy_error'])}" for name in names),
                *(f"{values[name]['tar']:.3f}" for name in names),
            ]
            for condition, values in conditions.items()
        ),
    )
    yield (
        "Accuracy, in %, is that of the protocol, with the standard error of its mean over the folds. TAR is the share of the "
        f"{figures['matched']:,} matched pairs that are accepted where {short(FAR)} % of the {figures['unmatched']:,} "
        "unmatched comparisons are (each template with each probe of somebody else); the threshold for it is set anew in each "
        f"condition. The standard error of the first, {ours:.3f}, is {error:.3f}; the rows share their photos, so "
        "that differences between them are surer than that."
    )
    yield f"![TAR by condition]({folder}/robustness.png)"
    yield from _gaps(conditions, names)
    yield (
        f"Of the {TURN:g} degrees by which photos were turned, alignment took back {figures['taken_back']:.1f} on average; the "
        f"rest reached the networks. The detector found no face in {figures['no_face']['clean']} of the probes' photos as they "
        f"are, and in {figures['no_face'][PHOTO_TURNED]} of those turned; such a pair counts as rejected."
    )
    yield from _fixed(conditions, figures["threshold"])


def _gaps(conditions: Figures, names: Sequence[str]) -> Iterable[str]:
    """Where each network is worst, and how far the peers lead."""
    tar = {name: {condition: values[name]["tar"] for condition, values in conditions.items()} for name in names}
    ours = tar[names[0]]
    worst = {name: sorted((tar[name][c], c) for c in conditions if c != "clean")[:3] for name in names}
    told = (f"{name} with {listed(f'{c} ({value:.3f})' for value, c in worst[name])}" for name in names)
    yield f"The lowest TARs: {'; '.join(told)}."
    for other in names[1:]:
        gaps = sorted((tar[other][c] - ours[c], c) for c in conditions)
        (low, nearest), (high, farthest) = gaps[0], gaps[-1]
        yield (
            f"{other} less edgeface, in TAR: {tar[other]['clean'] - ours['clean']:+.3f} with clean probes, at least "
            f"{low:+.3f} ({nearest}), at most {high:+.3f} ({farthest}). edgeface's is at least {other}'s in "
            f"{sum(gap <= 0 for gap, _ in gaps)} of {len(gaps)}, and within 0.01 of it in "
            f"{sum(0 < gap <= 0.01 for gap, _ in gaps)} more."
        )


def _fixed(conditions: Figures, threshold: float) -> Iterable[str]:
    """How our network fares at the threshold of the device."""
    fixed = {condition: values["fixed"] for condition, values in conditions.items()}
    fars, tars = ([values[key] for values in fixed.values()] for key in ("far", "tar"))
    yield (
        "A device sets no new threshold for bad light. At the one that edgeface has for a gallery of one template, cosine "
        f"{threshold:.3f}, set on held-out people for {short(schema.MatchingSettings().target_fpir)} % of false "
        "accepts, "
        f"the right person passes in {percent(min(tars))} to {percent(max(tars))} % of comparisons, by condition, and "
        f"strangers in {short(min(fars))} to {short(max(fars))} %:"
    )
    yield table(
        ["probe", "matched pairs accepted, %", "unmatched comparisons accepted, %"],
        ([condition, percent(values["tar"]), short(values["far"])] for condition, values in fixed.items()),
    )


def _rebuilt(figures: Figures, folder: str) -> Iterable[str]:
    clean = figures["conditions"]["clean"]
    rates = (
        f"{name} accepts {percent(values['tar'])} % of them, of the photos themselves {percent(clean[name]['tar'])} %"
        for name, values in figures["rebuilt"].items()
        if name in clean and name != "fixed"
    )
    yield "## Rebuilt faces"
    yield f"![Faces of the demo, and what the decoder draws of their codes]({folder}/rebuilt.png)"
    yield (
        "The decoder draws a face from the identity code, made a unit vector, and the appearance code, and sees nothing else. "
        "How much of the person is in the drawing? The probes of the table above, replaced by their drawings and compared with "
        f"the photos of the templates at a false-accept rate of {short(FAR)} %: {'; '.join(rates)}."
    )


def _groups(figures: Figures, folder: str) -> Iterable[str]:
    rows, names = figures["groups"], list(figures["thresholds"])
    ages = list(dict.fromkeys(row["ages"] for row in rows))
    place = {(row["ages"], row["gender"]): row for row in rows}
    yield "## Age and gender"
    yield (
        f"{sum(row['faces'] for row in rows):,} photos whose names, as UTKFace gives them, tell age and gender: one of every "
        f"person, as far as is known; {figures['repeated']} that repeat another's picture are left out. Every face is compared "
        "with every other of its own group, so that a match is a false one. The thresholds are those at which held-out people "
        f"of the training data, of all groups together, match falsely in {listed(f'{short(far)} %' for far in FARS)} of "
        "comparisons, by each network, with thresholds of its own."
    )
    if figures["learnt_from"]:
        yield (
            f"The network learnt from these very photos ({listed(figures['learnt_from'])}), by the teacher's embeddings and "
            "without a label: faces that it has not seen may pass for each other more often."
        )
    yield table(
        ["ages", "faces", *(f"{name} at {short(far)} %" for name in names for far in FARS)],
        (
            [
                age,
                " / ".join(str(place[age, gender]["faces"]) if (age, gender) in place else "-" for gender in GENDERS),
                *(
                    " / ".join(
                        short(place[age, gender]["fmr"][name][i][0]) if (age, gender) in place else "-" for gender in GENDERS
                    )
                    for name in names
                    for i in range(len(FARS))
                ),
            ]
            for age in ages
        ),
    )
    yield f"{' / '.join(GENDERS).capitalize()}, false-match rates in %. The bars in the plot are standard errors."
    yield f"![False-match rates by age band and gender]({folder}/groups.png)"
    yield from summary.strangers(figures)
    yield "What can be concluded:"
    yield "\n".join(f"- {point}" for point in _conclusions(figures))
    yield "What cannot:"
    yield (
        "- How often the right person is missed, by group: nobody has a second photo here.\n"
        "- What the cause is. Photos of different ages come from different sources and cameras; crops are tight, so that chips "
        "have black edges; somebody who is there twice in different photos counts as false matches; ages and genders were "
        "partly estimated by a program. Ancestry is not looked at, and gender is what the data set calls so."
    )


def _conclusions(figures: Figures) -> Iterable[str]:
    rows, names = figures["groups"], list(figures["thresholds"])
    far, ours = FARS[-1], names[0]
    ranked = sorted(rows, key=lambda row: row["fmr"][ours][-1][0])
    low, high = ranked[0], ranked[-1]
    yield (
        f"At {ours}'s threshold for {short(far)} %, strangers of one group pass for each other in "
        f"{short(low['fmr'][ours][-1][0])} % of comparisons ({low['gender']}, {low['ages']}) to "
        f"{short(high['fmr'][ours][-1][0])} % ({high['gender']}, {high['ages']})."
    )
    alike = {
        gender: [r["ages"] for r in rows if r["gender"] == gender and r["fmr"][ours][-1][0] > 10 * far] for gender in GENDERS
    }
    told = "; ".join(f"{gender} {', '.join(bands)}" for gender, bands in alike.items() if bands)
    yield (
        f"Over ten times what the threshold is set for: {told}. A name that is given to such a face is not to be relied on."
        if told
        else "No group is over ten times what the threshold is set for."
    )
    if len(rows) > 1 and len(names) > 1:
        ranks = [np.argsort(np.argsort([row["fmr"][name][0][0] for row in rows])) for name in names]
        yield (
            f"The rank correlation of the groups' rates with {names[-1]}'s is {np.corrcoef(ranks)[0, -1]:.2f}; at 1 both "
            "networks order the groups alike."
        )


def _quality(figures: Figures, pairs: str, folder: str) -> Iterable[str]:
    first, second, chosen = figures["choosing"], figures["reported"], figures["chosen"]
    yield "## Quality"
    yield (
        f"Can a view be turned away because it will be missed? Every photo of {pairs}, {second['probes']:,} of "
        f"{second['people']:,} people, is a clean template, and a probe that was shrunk to a face of {SIZES[0]} to {SIZES[1]} "
        "pixels and worn at random, twice over, as training wears its faces. The detector finds the face again in "
        f"{percent(1 - second['not_found'])} % of the probes, and only those count: {second['comparisons']:,} comparisons of "
        "somebody with themselves. The measure to use was chosen in the same way on other people, the "
        f"{first['people']:,} held out from training."
    )
    yield f"![Error against reject]({folder}/quality.png)"
    yield (
        "A curve shows the share of misses (FNMR) that is left at the card's threshold when the probes with the lowest measure "
        "are turned away (Grother and Tabassi, 2007). The gain is the area that a curve saves, from 0 to "
        f"{short(REJECTED[-1])} % turned away, as a share of what an ideal measure saves, which turns away misses alone: "
        "100 % is ideal, 0 % is chance."
    )
    yield table(
        [
            "measure",
            *(f"gain on held-out people, FAR {short(far)} %" for far in FARS),
            *(f"gain, FAR {short(far)} %" for far in FARS),
            f"FNMR at FAR {short(FARS[-1])} %, a fifth turned away",
        ],
        (
            [
                f"**{name}**" if name == chosen else name,
                *(percent(gain) for gain in [*first["gain"][name], *second["gain"][name]]),
                percent(second["curves"][name][-1][FIFTH]),
            ]
            for name in second["curves"]
        ),
    )
    yield (
        f"In %; with nothing turned away the last column is {percent(second['fnmr'][-1])}. Best on the held-out people, or "
        f"the first of those that are within {short(TIE)} % of the best, and so the one to use: **{chosen}**. Quality and its "
        "parts are those of `quality.py`. The reconstruction error is the mean squared difference between the shrunken face "
        "and the one that the decoder rebuilds; contrast is the variance of the former."
    )
    yield from _gates(figures)


def _gates(figures: Figures) -> Iterable[str]:
    """What gates on a measure turn away, and the errors of what they let through."""
    chosen = figures["chosen"]
    names = {
        "none": "none",
        "present": f"quality, `detector.min_quality` = {schema.DetectorSettings().min_quality:g}",
        "chosen": f"{chosen}, {figures['limit']:.4g}",
        "both": "both",
    }
    yield (
        f"As a gate, {chosen} has to reach what all but {short(POOR_SHARE)} % of the clean faces of held-out people reach. "
        "What gates turn away, and the errors of what they let through:"
    )
    yield table(
        [
            "gate",
            "clean probes turned away",
            "worn probes turned away",
            *(f"FNMR at FAR {short(far)} %" for far in FARS),
            f"FMR at FAR {short(FARS[-1])} %",
        ],
        (
            [
                names[name],
                *(percent(share) for share in (gate["clean_away"], gate["worn_away"], *gate["fnmr"])),
                short(gate["fmr"]),
            ]
            for name, gate in figures["gates"].items()
        ),
    )
    yield (
        "In %. Wear is simulated, on portraits that were aligned while they were clean: the figures say which measure to use, "
        "and not how often a camera's views are missed."
    )
