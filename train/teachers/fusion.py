"""Fuse two teachers into one target: SFace's contributions, corrected by the embedding of a second teacher.

The mean of the two networks' cosines tells people apart better than either's alone. It is the cosine of their embeddings
joined, (128 + 512); of these the directions that hold most are kept, as many as the network's code has numbers, and turned so
that the first 128 lie as SFace's lie: a network that has learnt from SFace alone goes on from where it is, and each position of
the map still has a target of its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHARE = 0.4
"""The second teacher's part of the mean: with more, held-out celebrities gain on, and strangers of other kinds get closer."""


@dataclass(frozen=True, eq=False)
class Fusion:
    """A linear map of both teachers' unit embeddings: (n, 128) @ ``first`` + (n, 512) @ ``second``."""

    first: NDArray[np.float32]
    second: NDArray[np.float32]

    def contributions(self, positions: NDArray[np.float16], embeddings: NDArray[np.float16]) -> NDArray[np.float16]:
        """Contributions, (n, 49, identity), to a code of SFace's length, from SFace's and the other's embeddings, (n, 512)."""
        own = positions.astype(np.float32)
        length = np.linalg.norm(own.sum(axis=1), axis=1, keepdims=True)
        correction = length * (embeddings.astype(np.float32) @ self.second) / positions.shape[1]
        return np.asarray(own @ self.first + correction[:, None], np.float16)


def learn(first: NDArray[np.float32], second: NDArray[np.float32], identity: int, share: float = SHARE) -> Fusion:
    """The map that both teachers' unit embeddings, (n, 128) and (n, 512), teach, to codes of length ``identity``."""
    both = np.concatenate([np.sqrt(1 - share) * first, np.sqrt(share) * second], axis=1).astype(np.float64)
    axes = np.linalg.eigh(both.T @ both)[1][:, -identity:]
    # The rotation that brings the kept directions nearest to SFace's (orthogonal Procrustes; Schönemann, 1966).
    wanted = np.pad(first, ((0, 0), (0, identity - first.shape[1])))
    left, _, right = np.linalg.svd((both @ axes).T @ wanted)
    kernel = axes @ left @ right
    parts = np.split(kernel, [first.shape[1]])
    return Fusion(*(np.asarray(np.sqrt(part) * rows, np.float32) for part, rows in zip((1 - share, share), parts, strict=True)))
