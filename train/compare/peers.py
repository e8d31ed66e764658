"""Find the networks to compare with: those that ``edgeface bench`` knows, and EdgeFace-XS, which only a desktop runs."""

from pathlib import Path

import numpy as np
import openvino

from edgeface.measurement import baselines
from edgeface.measurement.baselines import HOW_TO_INSTALL, Peer
from edgeface.types import Image, Vector
from train.teachers.sface import EDGEFACE, EdgeFace

SOURCES = dict.fromkeys(("SFace", "MobileFaceNet"), HOW_TO_INSTALL) | {"EdgeFace-XS": f"give {EDGEFACE} below --peers"}
"""How to get the file of each peer."""


class EdgeFaceXS:
    """EdgeFace-XS (George et al., 2024) in its quantized edition, through OpenVINO on one thread."""

    name, runtime = "EdgeFace-XS", f"OpenVINO {openvino.__version__}"

    def __init__(self, path: Path) -> None:
        self._network = EdgeFace(path)
        self.bytes = path.stat().st_size

    def embed(self, chip: Image) -> Vector:
        """Return the unit embedding of one chip, shape (512,)."""
        return np.asarray(self._network.embeddings(chip[None])[0], np.float32)


def find_peers(folder: Path | None) -> list[Peer]:
    """Return the peers with files below ``folder``, else those that pip and npm installed.

    Raises:
        ModelError: a peer's file is another than the one that is known; or ``folder`` has none of ``edgeface bench``.
    """
    files = sorted(folder.rglob(EDGEFACE)) if folder else []
    return [*baselines.find_peers(folder), *map(EdgeFaceXS, files[:1])]
