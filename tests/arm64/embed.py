"""The same aligned faces on two machines: ``embed.py write FILE`` keeps chips and codes, ``embed.py compare FILE`` prints a row
of a table in Markdown of how far this machine's codes are from those. It fails where a code is more than a step away, where
more than a stray one is, or where LiteRT has not the kernels that it has on a device.
"""

import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.vision.alignment import align
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import image_files, load_image

VIEWS, SHAKE = 25, 0.05
"""Chips of each face, and the standard deviation of its landmarks in them, in distances of the eyes."""
STRAY = 1e-3
"""Share of codes that may lie halfway between two steps."""
ROOT = Path(__file__).parent.parent.parent
PHOTOS = (ROOT / "edgeface" / "demo" / "photos", ROOT / "tests" / "photos")


def chips() -> NDArray[Any]:
    """The faces of all photos that come with the project, shape (faces * VIEWS, 112, 112, 3)."""
    detector, random, found = detectors.create(), np.random.default_rng(0), []
    for folder in PHOTOS:
        for path in image_files(folder):
            image = load_image(path)
            for face in detector.detect(image):
                reach = SHAKE * np.linalg.norm(face.landmarks[0] - face.landmarks[1])
                found += [align(image, face.landmarks + random.normal(0, reach, (5, 2))) for _ in range(VIEWS)]
    return np.stack(found)


def coded(embedder: Embedder, faces: NDArray[Any]) -> NDArray[Any]:
    """Identity and appearance codes of chips, joined, in steps: shape (faces, 192)."""
    steps = {output["shape"][-1]: output["quantization"][0] for output in embedder._encoder.get_output_details()}
    return np.rint([np.concatenate([code / steps[len(code)] for code in embedder.codes(chip)]) for chip in faces])


def main() -> None:
    what, file = sys.argv[1:]
    embedder = Embedder()
    if what == "write":
        faces = chips()
        np.savez(file, chips=faces, codes=coded(embedder, faces))
        return
    theirs = np.load(file)
    ours, wanted = coded(embedder, theirs["chips"]), theirs["codes"]
    off, (here, there) = np.abs(ours - wanted), (codes[:, : embedder.card.identity] for codes in (ours, wanted))
    least = ((here * there).sum(axis=1) / np.linalg.norm(here, axis=1) / np.linalg.norm(there, axis=1)).min()
    delegated = any(operator["op_name"] == "DELEGATE" for operator in embedder._encoder._get_ops_details())
    print(
        f"{platform.python_version()} {platform.machine()}, {embedder.runtime} {version(embedder.runtime)}"
        f"{' with XNNPACK' if delegated else ''}, OpenCV {cv2.__version__} | {embedder.card.encoder.sha256[:12]}"
        f" | {off.size:,}, from {len(off)} chips | {(off > 0).sum():,} | {off.max():.0f} | {least:.4f}"
    )
    lacking = embedder.runtime == "ai-edge-litert" and not delegated
    sys.exit(bool(lacking or off.max() > 1 or (off > 0).mean() > STRAY))


main()
