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


def robustness(conditions: Figures, names: Sequence[str], path: Path) -> None:
    """TAR of each network in each condition."""
    figure, axes = pyplot.subplots(figsize=(8, 5))
    rows = np.arange(len(conditions))[::-1]
    for name, marker in zip(names, "osD^v", strict=False):
        axes.plot([values[name]["tar"] for values in conditions.values()], rows, marker, markersize=8, label=name)
    axes.set(xlim=(0, 1), xlabel=f"true-accept rate at a false-accept rate of {100 * FAR:g} %")
    axes.set_yticks(rows, list(conditions))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    write_whole(path, png(figure))


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
    """Error against reject by each measure, a panel for each threshold."""
    told = figures["reported"]
    figure, panels = pyplot.subplots(1, len(FARS), figsize=(12, 4.5))
    for i, (axes, far) in enumerate(zip(panels, FARS, strict=True)):
        for number, (name, curve) in enumerate(told["curves"].items()):
            wide = 2.5 if name in (figures["chosen"], PRESENT) else 1.0
            axes.plot(100 * REJECTED, curve[i], "-" if number < 10 else "-.", label=name, linewidth=wide)
        axes.plot(100 * REJECTED, told["ideal"][i], "k--", label="ideal")
        axes.axhline(told["fnmr"][i], color="grey", linestyle=":", label="chance")
        axes.set(title=f"threshold for FAR {100 * far:g} %", xlabel="probes turned away, %", ylim=(0, None))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("FNMR of the rest")
    panels[-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    write_whole(path, png(figure))


def png(figure: Any) -> bytes:
    """A figure as a file, without the version that matplotlib writes: the same results give the same bytes."""
    figure.tight_layout()
    stream = io.BytesIO()
    figure.savefig(stream, dpi=100, format="png", metadata={"Software": None})
    pyplot.close(figure)
    return stream.getvalue()
