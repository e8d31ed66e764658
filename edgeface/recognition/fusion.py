"""Fuses many views of one face to one probe, which no single bad view can spoil."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeface.types import Observation, Vector


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """The weighted mean of a track's unit vectors, and the views that it was made of.

    The mean is shorter than 1, and the shorter the less the views agree. Keep it unnormalised: its cosine with a template is
    then the mean of the views' cosines, so more views cannot raise the false-accept rate. As a unit vector it would let
    strangers pass more often the more the views differ (train/LOG.md).
    """

    vector: Vector
    views: tuple[Observation, ...]


def weight(view: Observation) -> float:
    """Return the weight of a view: its quality times its embedding's norm; 0 without an embedding.

    Of all measures the norm predicts best whether the right person will be missed (docs/network.md, Quality), as in Meng et
    al., "MagFace", CVPR 2021; the decoder's error predicts next to nothing, and costs a second network.
    """
    return view.quality * view.embedding.norm if view.embedding else 0.0


def fuse(views: Sequence[Observation], different: float) -> Probe | None:
    """Return the mean of the views' embeddings by weight, without outliers; ``None`` if no view has an embedding.

    An outlier has a cosine under ``different`` with the medoid, the view with the greatest weighted sum of cosines to all
    views. Unlike the mean, the medoid is one of the views (Kaufman and Rousseeuw, "Finding Groups in Data", 1990).
    """
    seen = [(view, view.embedding.vector) for view in views if view.embedding is not None]
    if not seen:
        return None
    vectors = np.stack([vector for _, vector in seen])
    weights = np.array([weight(view) for view, _ in seen])
    cosines = vectors @ vectors.T
    kept = cosines[int(np.argmax(cosines @ weights))] >= different
    mean = weights[kept] @ vectors[kept] / max(float(weights[kept].sum()), 1e-9)
    return Probe(np.asarray(mean, np.float32), tuple(view for (view, _), keep in zip(seen, kept, strict=True) if keep))
