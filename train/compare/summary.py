"""Write the tables by which networks are judged side by side: verification, visits, strangers, cost."""

from collections.abc import Iterable
from typing import Any

from train.compare import protocol, visits
from train.compare.groups import FARS
from train.compare.text import listed, percent, short, table

Figures = dict[str, Any]
ALIKE = "gender and age band"
ENDS = ("<!-- written by python -m train compare -->", "<!-- end of what it writes -->")
"""What stands around the part of docs/accuracy.md that the command writes."""


def glance(figures: Figures) -> Iterable[str]:
    """Everything on one table, a row for each figure and a column for each network."""
    names, rows = list(figures["bytes"]), []
    if figures["verification"]:
        verified = figures["verification"]["networks"]
        rows.append([f"accuracy on {figures['pairs']}, %", *(percent(verified[name]["accuracy"]) for name in names)])
        for i, far in enumerate(protocol.FARS):
            rows.append([f"TAR there at FAR {short(far)} %", *(f"{verified[name]['tar'][i]:.3f}" for name in names)])
    for size, told in figures["visits"].get("sizes", {}).items():
        fnirs = (told["networks"][name][-1]["fnir"] for name in names)
        rows.append([f"visits missed at an FPIR of {short(visits.FPIRS[-1])} %, {size} enrolled, %", *map(percent, fnirs)])
    if figures["groups"]:
        shares = (figures["groups"]["adults"][name][-1].get(ALIKE, 0.0) for name in names)
        rows.append([f"adults of one {ALIKE} who pass for each other at {short(FARS[-1])} %, %", *map(short, shares)])
    if figures["robustness"]:
        drawn = figures["robustness"]["rebuilt"]
        rows.append(["faces that edgeface rebuilt recognized, %", *(percent(drawn[name]["tar"]) for name in names)])
    rows.append(["file, MB", *(f"{figures['bytes'][name] / 1e6:.1f}" for name in names)])
    rows.append(["a face, fastest, ms", *(f"{figures['cost'][name]['fastest'] / 1000:.2f}" for name in names)])
    yield table(["", *names], rows)


def verification(figures: Figures, pairs: str) -> Iterable[str]:
    """Accuracy and TAR on the protocol's pairs."""
    networks = figures["networks"]
    yield "## Verification"
    yield (
        f"All {figures['folds']} folds of {pairs}, {figures['pairs']:,} pairs of {figures['people']:,} people, by every "
        "network on the same chips. The first photo of a pair is a template, which edgeface averages with its mirror image, "
        f"the second a probe. In {figures['no_face']} photos no face was found; their pairs are rejected."
    )
    heads = [f"TAR at FAR {short(far)} %{what}" for what in ("", ", all comparisons") for far in protocol.FARS]
    yield table(
        ["network", "accuracy, %", *heads, "EER, %"],
        (
            [
                name,
                f"{percent(told['accuracy'])} ± {percent(told['accuracy_error'])}",
                *(f"{tar:.3f}" for tar in (*told["tar"], *told["tar_all"])),
                percent(told["eer"]),
            ]
            for name, told in networks.items()
        ),
    )
    yield (
        "Accuracy is that of the protocol, with the standard error of its mean over the folds. The first TARs are at "
        f"thresholds that the protocol's own unmatched pairs set, the others at those of all {figures['comparisons']:,} "
        "comparisons of a template with somebody else's probe."
    )
    first, *others = networks
    if others and others[-1].endswith("float"):
        lost = 100 * (networks[others[-1]]["accuracy"] - networks[first]["accuracy"])
        yield f"int8 is {lost:.2f} points of accuracy under float."


def missed_visits(figures: Figures) -> Iterable[str]:
    """FNIR at a measured FPIR, by gallery size."""
    yield "## Visits"
    yield (
        f"{figures['enrolled']} of {figures['people']} people are enrolled from {visits.ENROLLED} photos each, "
        f"{figures['strangers']} are strangers; {figures['visits']:,} visits of {visits.FRAMES} frames are made of their other "
        "photos (`python -m train visits`). Every network runs in the device's pipeline, with its detector, tracks and fusion "
        "of views, and with a threshold of its own: the one at which just the stated share of the strangers' visits is "
        "announced, in this run. A peer's embedding has no norm that tells a poor view: none of its views is turned away."
    )
    heads = [head for fpir in visits.FPIRS for head in (f"FNIR at an FPIR of {short(fpir)} %", "edgeface's, times this")]
    for size, told in figures["sizes"].items():
        mated = f"{told['mated']:,} visits of {told['people']} enrolled people"
        yield f"{size} enrolled: {mated}, {told['non_mated']:,} of strangers."
        yield table(
            ["network", *heads],
            (
                [name, *(part for point in points for part in (_interval(point), _ratio(point)))]
                for name, points in told["networks"].items()
            ),
        )
    yield (
        "In %, with 95 % intervals from a bootstrap over people, each of which sets the thresholds anew. In the second column "
        "is how many times another network's misses ours are, by the same resampled people."
    )


def _interval(point: Figures) -> str:
    low, high = point["interval"]
    return f"{percent(point['fnir'])} ({percent(low)} to {percent(high)})"


def _ratio(point: Figures) -> str:
    low, high = point["ratio_interval"]
    return f"{point['ratio']:.2f} ({low:.2f} to {high:.2f})"


def cost(figures: Figures) -> Iterable[str]:
    """What networks cost, and what the decoder loses."""
    told = figures["cost"]
    ours = next(iter(told))
    yield "## Cost"
    yield table(
        ["network", "encoder, MB", "multiply-adds, M", "fastest, ms", "median, ms", f"{ours}'s fastest, times this"],
        (
            [
                name,
                f"{row['bytes'] / 1e6:.2f}",
                f"{row['multiply_adds'] / 1e6:.0f}" if row["multiply_adds"] else "-",
                *(f"{row[key] / 1000:.2f}" for key in ("fastest", "median")),
                f"{told[ours]['fastest'] / row['fastest']:.3f}",
            ]
            for name, row in told.items()
        ),
    )
    yield "A chip to its embedding on one thread of the machine that wrote this page, all networks in the same rounds."
    yield table(
        ["decoder", "MB", "picture", "mean squared error there", "at 112 x 112"],
        (
            [
                name,
                f"{row['bytes'] / 1e6:.2f}",
                f"{row['side']} x {row['side']}",
                *(f"{row[key]:.4f}" for key in ("mse", "mse_as_chip")),
            ]
            for name, row in figures["decoders"].items()
        ),
    )
    yield f"Pixels are 0 to 1; {figures['decoders'][ours]['faces']} faces of held-out people."


def strangers(figures: Figures) -> Iterable[str]:
    """How often two adults pass for each other by what they have in common, at both thresholds."""
    adults = figures["adults"]
    kinds = sorted({kind for rates in adults.values() for rate in rates for kind in rate})
    if kinds:
        yield table(
            ["two adults share", *(f"{name} at {short(far)} %" for far in FARS for name in adults)],
            ([kind, *(short(adults[name][i].get(kind, 0.0)) for i in range(len(FARS)) for name in adults)] for kind in kinds),
        )
    first, *others = adults
    rates = {name: adults[name][-1].get(ALIKE) for name in others}
    if against := [
        f"{adults[first][-1][ALIKE] / rate:.2f} times as often as by {name}" for name, rate in rates.items() if rate
    ]:
        yield f"At {short(FARS[-1])} %, two adults of one {ALIKE} pass for each other by {first} {listed(against)}."


def replaced(text: str, part: Iterable[str]) -> str:
    """A page with ``part`` in the place of what stood between the marks; as it was, if it has none."""
    before, mark, rest = text.partition(ENDS[0])
    _, end, after = rest.partition(ENDS[1])
    return "\n\n".join([before + mark, *part, end + after]) if mark and end else text
