"""Many views of one face -> one probe, which no single bad view can spoil."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeface.types import Observation, Vector


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a track's views say together: the mean of their unit vectors, and the views that it was made of.

    The mean is shorter than 1, the less the views agree the shorter. It must stay so: its cosines are then the means of the
    views' own, by which strangers pass no more often than by one view's, however many views there are and however they
    differ. Stretched to a unit vector it would have strangers pass the more often the more the views differ (train/LOG.md).
    """

    vector: Vector
    views: tuple[Observation, ...]


def weight(view: Observation) -> float:
    """What a view counts for: its quality times its embedding's norm; nothing without an embedding.

    Of all measures the norm foretells best whether the right person will be missed (docs/network.md, Quality), as in Meng et
    al., "MagFace", CVPR 2021; the decoder's error foretells next to nothing, and costs a second network.
    """
    return view.quality * view.embedding.norm if view.embedding else 0.0


def combine(views: Sequence[Observation], different: float) -> Evidence | None:
    """The mean of the views' embeddings by weight, without the outliers; none if no view has an embedding.

    An outlier has a cosine under ``different`` with the medoid, the view that the others' weights gather around most closely:
    unlike the mean it is one of the views whatever the outliers are (Kaufman and Rousseeuw, "Finding Groups in Data", 1990).
    """
    seen = [(view, view.embedding.vector) for view in views if view.embedding is not None]
    if not seen:
        return None
    vectors = np.stack([vector for _, vector in seen])
    weights = np.array([weight(view) for view, _ in seen])
    cosines = vectors @ vectors.T
    kept = cosines[int(np.argmax(cosines @ weights))] >= different
    mean = weights[kept] @ vectors[kept] / max(float(weights[kept].sum()), 1e-9)
    return Evidence(np.asarray(mean, np.float32), tuple(view for (view, _), keep in zip(seen, kept, strict=True) if keep))
