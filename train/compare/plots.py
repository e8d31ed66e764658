"""Draw the plots of a comparison."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib import pyplot
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.platform.files import write_whole
from edgeface.types import Image
from edgeface.vision.alignment import align
from edgeface.vision.drawing import contact_sheet
from edgeface.vision.images import load_image
from edgeface.vision.model_card import SHIPPED
from train.compare.groups import FARS, GENDERS
from train.compare.quality import PRESENT, REJECTED
from train.compare.robustness import EFFECTS, FAR, PHOTO_TURNED, TURN, turned, worn

matplotlib.use("Agg")
Figures = dict[str, Any]

TOLD = 4
"""Measures of quality that have a colour and a name in their plot."""
PHOTOS = SHIPPED.parent / "demo" / "photos"
"""In the public domain, so that a page may show them."""


def conditions() -> Image:
    """One photo in every condition."""
    photo = load_image(PHOTOS / "obama_portrait.jpg")
    detector = detectors.create()
    chip, askew = (align(image, detector.detect(image)[0].landmarks) for image in (photo, turned(photo, TURN)))
    tiles = [(name, picture) for name in EFFECTS for picture in worn([chip], name) if picture is not None]
    tiles.append((PHOTO_TURNED, askew))
    half = (len(tiles) + 1) // 2
    return contact_sheet([("A probe in every condition", tiles[:half]), ("", tiles[half:])], (112, 112))


def rebuilt(rebuild: dict[str, Callable[[Image], Image]]) -> Image:
    """The demo's faces over the same as each network's decoder draws them."""
    chips = demo_chips()
    drawn = [(f"Drawn by {name} from their codes", [draw(chip) for chip in chips]) for name, draw in rebuild.items()]
    return faces([("Faces", chips), *drawn])


def faces(rows: Sequence[tuple[str, Sequence[Image] | NDArray[np.uint8]]]) -> Image:
    """Titled rows of faces, in colour or, (height, width), grey."""
    coloured = ((title, [face if face.ndim == 3 else cv2.merge([face] * 3) for face in row]) for title, row in rows)
    return contact_sheet([(title, [("", np.asarray(face, np.uint8)) for face in row]) for title, row in coloured], (112, 112))


def demo_chips() -> NDArray[np.uint8]:
    """The aligned faces of the demo's photos, (n, 112, 112, 3)."""
    detector = detectors.create()
    photos = [load_image(path) for path in sorted(PHOTOS.glob("*.jpg"))]
    return np.stack([align(photo, detector.detect(photo)[0].landmarks) for photo in photos])


def draw(figures: Figures, folder: Path) -> None:
    """Draw every plot of ``figures`` into a folder."""
    if figures["robustness"]:
        robustness(figures["robustness"]["conditions"], list(figures["bytes"]), folder / "robustness.png")
    if figures["quality"]:
        quality(figures["quality"], folder / "quality.png")
    if figures["groups"]:
        groups(figures["groups"], folder / "groups.png")


def robustness(conditions: Figures, names: Sequence[str], path: Path) -> None:
    """TAR of each network in each condition, a network's above the next one's; named where they lie apart the most."""
    figure, axes = pyplot.subplots(figsize=(8, 0.42 * len(conditions) + 1.5))
    rows = np.arange(len(conditions))[::-1]
    rates = np.array([[values[name]["tar"] for name in names] for values in conditions.values()])
    apart = int(np.argmax(np.ptp(rates, axis=1)))
    for number, (name, marker) in enumerate(zip(names, "osD^v", strict=False)):
        places = rows + 0.24 * ((len(names) - 1) / 2 - number)
        (line,) = axes.plot(rates[:, number], places, marker, markersize=6)
        at, colour = (rates[apart, number], places[apart]), line.get_color()
        axes.annotate(name, at, (8, 0), textcoords="offset points", va="center", color=colour, fontweight="bold")
    axes.set(
        xlim=_around(rates), ylim=(-0.6, len(rows) - 0.4), xlabel=f"true-accept rate at a false-accept rate of {100 * FAR:g} %"
    )
    axes.set(title="How often the right person is accepted, by what is done to the probe", ylabel="probe")
    axes.set_yticks(rows, list(conditions))
    axes.hlines(rows[:-1] - 0.5, 0, 1, color="0.9", linewidth=0.8, zorder=0)
    axes.grid(axis="x", alpha=0.3)
    write_whole(path, png(figure))


def _around(values: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Return the limits of an axis that begins and ends where the values do, with room for a marker."""
    room = 0.04 * max(float(np.ptp(values)), 0.05)
    return float(values.min()) - room, float(values.max()) + room


def groups(figures: Figures, path: Path) -> None:
    """False-match rates by age band and gender, a panel for each network."""
    names, rows = list(figures["thresholds"]), figures["groups"]
    ages = list(dict.fromkeys(row["ages"] for row in rows))
    figure, panels = pyplot.subplots(1, len(names), figsize=(11, 4.5), sharey=True, squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        for (i, far), line in zip(enumerate(FARS), ("-", "--"), strict=True):
            for gender, marker, colour in zip(GENDERS, "os", ("tab:blue", "tab:orange"), strict=True):
                mine = [(ages.index(row["ages"]), *row["fmr"][name][i]) for row in rows if row["gender"] == gender]
                at, rates, errors = zip(*sorted(mine), strict=True) if mine else ((), (), ())
                label = f"{gender}, threshold for {100 * far:g} %"
                axes.errorbar(at, rates, errors, color=colour, marker=marker, linestyle=line, label=label)
            axes.axhline(far, color="grey", linestyle=line, linewidth=0.8)
        axes.set(title=name, yscale="log", ylim=(1e-4, 1.2), xlabel="age")
        axes.set_xticks(range(len(ages)), ages, rotation=45)
        axes.grid(alpha=0.3)
    panels[0, 0].set_ylabel("false-match rate within the group")
    panels[0, -1].legend(fontsize=8)
    write_whole(path, png(figure))


def quality(figures: Figures, path: Path) -> None:
    """Error against reject by the ``TOLD`` measures that matter most, and by all others in grey, a panel for each threshold."""
    told = figures["reported"]
    gain = {name: float(np.mean(gains)) for name, gains in told["gain"].items()}
    first = [name for name in (figures["chosen"], PRESENT) if name in gain]
    named = [*first, *(name for name in sorted(gain, key=lambda name: -gain[name]) if name not in first)][:TOLD]
    figure, panels = pyplot.subplots(1, len(FARS), figsize=(13, 5))
    for i, (axes, far) in enumerate(zip(panels, FARS, strict=True)):
        ends = {}
        for name, curve in told["curves"].items():
            if name not in named:
                axes.plot(100 * REJECTED, curve[i], color="0.82", linewidth=0.9, zorder=1)
        for name in named:
            wide = 2.5 if name in first else 1.4
            (line,) = axes.plot(100 * REJECTED, told["curves"][name][i], linewidth=wide, color=f"C{named.index(name)}")
            ends[name] = told["curves"][name][i][-1], line.get_color()
        axes.plot(100 * REJECTED, told["ideal"][i], "k--")
        axes.axhline(told["fnmr"][i], color="0.4", linestyle=":")
        ends |= {"ideal": (told["ideal"][i][-1], "black"), "chance": (told["fnmr"][i], "0.4")}
        if rest := [curve[i][-1] for name, curve in told["curves"].items() if name not in named]:
            ends[f"{len(rest)} other measure{'' if len(rest) == 1 else 's'}"] = float(np.median(rest)), "0.55"
        axes.set(title=f"at the threshold for a false-accept rate of {100 * far:g} %", xlabel="probes turned away, %")
        axes.set(xlim=(0, 100 * REJECTED[-1]), ylim=(0, 1.05 * told["fnmr"][i]), ylabel="share of misses (FNMR) in the rest")
        axes.grid(alpha=0.3)
        label_ends(axes, ends)
    figure.suptitle("Misses that are left when the poorest probes are turned away")
    write_whole(path, png(figure))


def label_ends(axes: Any, ends: dict[str, tuple[float, str]]) -> None:
    """Write each label beside the right end of its curve, (height, colour), apart from the others."""
    low, high = axes.get_ylim()
    ordered = sorted(ends.items(), key=lambda end: end[1][0])
    places = spread([height for _, (height, _) in ordered], 0.05 * (high - low))
    for (label, (_, colour)), place in zip(ordered, places, strict=True):
        axes.text(1.02, place, label, transform=axes.get_yaxis_transform(), va="center", color=colour, fontsize=9)


def spread(heights: Sequence[float], step: float) -> list[float]:
    """Return rising ``heights`` moved as little as need be for neighbours to lie ``step`` apart, or nearly so."""
    places = list(heights)
    for _ in range(100):
        for number in range(len(places) - 1):
            lack = max(0.0, step - (places[number + 1] - places[number])) / 2
            places[number], places[number + 1] = places[number] - lack, places[number + 1] + lack
    return places


def png(figure: Any) -> bytes:
    """A figure as a file, without the version that matplotlib writes: the same results give the same bytes."""
    figure.tight_layout()
    stream = io.BytesIO()
    figure.savefig(stream, dpi=100, format="png", metadata={"Software": None})
    pyplot.close(figure)
    return stream.getvalue()
