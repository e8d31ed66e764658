"""The same aligned faces on two machines: ``embed.py write FILE`` keeps chips and codes, ``embed.py compare FILE`` prints a row
of a table in Markdown of how far this machine's codes are from those. It fails where one is more than a step away.
"""

import platform
import sys
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from edgeface import detectors
from edgeface.embedding import Embedder
from edgeface.imaging import align, image_files, load_image

VIEWS, SHAKE = 25, 0.05
"""Chips of each face, and the standard deviation of its landmarks in them, in distances of the eyes."""
ROOT = Path(__file__).parent.parent.parent
PHOTOS = (ROOT / "edgeface" / "demo" / "photos", ROOT / "tests" / "photos")


def chips():
    """The faces of all photos that come with the project, shape (faces * VIEWS, 112, 112, 3)."""
    detector, random, found = detectors.create(), np.random.default_rng(0), []
    for folder in PHOTOS:
        for path in image_files(folder):
            image = load_image(path)
            for face in detector.detect(image):
                reach = SHAKE * np.linalg.norm(face.landmarks[0] - face.landmarks[1])
                found += [align(image, face.landmarks + random.normal(0, reach, (5, 2))) for _ in range(VIEWS)]
    return np.stack(found)


def main():
    what, file = sys.argv[1:]
    embedder = Embedder()
    if what == "write":
        faces = chips()
        np.savez(file, chips=faces, codes=[embedder.codes(chip)[0] for chip in faces])
        return
    theirs = np.load(file)
    ours = np.stack([embedder.codes(chip)[0] for chip in theirs["chips"]])
    network = embedder._encoder
    (output,) = (each for each in network.get_output_details() if each["shape"][-1] == ours.shape[1])
    off = np.rint(np.abs(ours - theirs["codes"]) / output["quantization"][0])
    delegated = any(operator["op_name"] == "DELEGATE" for operator in network._get_ops_details())
    print(
        f"{platform.python_version()} {platform.machine()}, {embedder.runtime} {version(embedder.runtime)}"
        f"{' with XNNPACK' if delegated else ''}, OpenCV {cv2.__version__}"
        f" | {embedder.card.encoder.sha256[:12]} | {off.size:,} of {len(off)} chips | {(off > 0).sum()} | {off.max():.0f}"
    )
    sys.exit(bool(off.max() > 1))


main()
