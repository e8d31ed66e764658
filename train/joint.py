"""Two teachers, one target: what SFace says of a face, corrected by what MobileFaceNet says of it.

The mean of the two networks' cosines tells people apart better than either's alone. It is the cosine of their embeddings
joined, (128 + 192); of these the 128 directions that hold most are kept, and turned to lie as SFace's lie, so that a network
that has learnt from SFace alone goes on from where it is, and each position of the map still has a target of its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHARE = 0.2
"""MobileFaceNet's part of the mean: with more, held-out celebrities gain on, and strangers of other kinds get closer."""


@dataclass(frozen=True, eq=False)
class Joint:
    """A linear map of both teachers' unit embeddings: (n, 128) @ ``first`` + (n, 192) @ ``second``."""

    first: NDArray[np.float32]
    second: NDArray[np.float32]

    def contributions(self, positions: NDArray[np.float16], opinions: NDArray[np.float16]) -> NDArray[np.float16]:
        """Contributions, (n, 49, 128), to a code of SFace's length, from SFace's and MobileFaceNet's embeddings, (n, 192)."""
        own = positions.astype(np.float32)
        length = np.linalg.norm(own.sum(axis=1), axis=1, keepdims=True)
        correction = length * (opinions.astype(np.float32) @ self.second) / positions.shape[1]
        return np.asarray(own @ self.first + correction[:, None], np.float16)


def learn(first: NDArray[np.float32], second: NDArray[np.float32], share: float = SHARE) -> Joint:
    """The map that both teachers' unit embeddings, (n, 128) and (n, 192), teach."""
    both = np.concatenate([np.sqrt(1 - share) * first, np.sqrt(share) * second], axis=1).astype(np.float64)
    axes = np.linalg.eigh(both.T @ both)[1][:, -first.shape[1] :]
    # The rotation that brings the kept directions nearest to SFace's (orthogonal Procrustes; Schönemann, 1966).
    left, _, right = np.linalg.svd((both @ axes).T @ first)
    kernel = axes @ left @ right
    parts = np.split(kernel, [first.shape[1]])
    return Joint(*(np.asarray(np.sqrt(part) * rows, np.float32) for part, rows in zip((1 - share, share), parts, strict=True)))
