"""The same aligned faces on two machines: ``embed.py write FILE`` keeps chips and codes, ``embed.py compare FILE`` prints a row
of a table in Markdown of how far this machine's codes are from those. It fails where an embedding is less alike than ALIKE.
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

ALIKE = 0.99
"""Least cosine of the embeddings of one chip by which the comparison passes."""
ROOT = Path(__file__).parent.parent.parent
PHOTOS = (ROOT / "edgeface" / "demo" / "photos", ROOT / "tests" / "photos")


def chips():
    """The faces of all photos that come with the project, shape (faces, 112, 112, 3)."""
    detector, found = detectors.create(), []
    for folder in PHOTOS:
        for path in image_files(folder):
            image = load_image(path)
            found += [align(image, face.landmarks) for face in detector.detect(image)]
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
    (output,) = (each for each in embedder._encoder.get_output_details() if each["shape"][-1] == ours.shape[1])
    off = np.rint(np.abs(ours - theirs["codes"]) / output["quantization"][0])
    here, there = (codes / np.linalg.norm(codes, axis=1, keepdims=True) for codes in (ours, theirs["codes"]))
    least, moved = (here * there).sum(axis=1).min(), np.abs(here @ here.T - there @ there.T).max()
    print(
        f"{platform.python_version()} {platform.machine()}, {embedder.runtime} {version(embedder.runtime)}, "
        f"OpenCV {cv2.__version__}"
        f" | {embedder.card.encoder.sha256[:12]} | {len(ours)} | {off.mean():.2f} | {off.max():.0f} | {least:.4f} | {moved:.3f}"
    )
    sys.exit(bool(least < ALIKE))


main()
