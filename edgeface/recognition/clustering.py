"""Groups events that named nobody by stranger."""

from collections.abc import Iterable

import numpy as np

from edgeface.gallery.event_store import NAMELESS, KeptEvent

SAME_FAR = 1e-3
"""False-accept rate of the cosine from which two visits count as one stranger's."""


def group(events: Iterable[KeptEvent], same: float) -> list[list[KeptEvent]]:
    """Return the events of each stranger, the oldest first; the stranger who came last is first.

    Agglomerative clustering with average linkage: the two groups with the largest mean cosine between their events become one,
    until no mean is ``same`` or more. Unlike with single linkage, a chain of similar faces does not join two people.
    """
    events = list(events)
    groups = [[number] for number in range(len(events))]
    if not events:
        return []
    vectors = np.stack([event.embedding for event in events])
    cosines, sizes = vectors @ vectors.T, np.ones(len(events), np.float32)  # sums of cosines, once groups are joined
    while len(groups) > 1:
        linkage = cosines / np.outer(sizes, sizes)
        np.fill_diagonal(linkage, -1.0)
        a, b = sorted(divmod(int(np.argmax(linkage)), len(groups)))
        if linkage[a, b] < same:
            break
        groups[a] += groups.pop(b)
        cosines[a] += cosines[b]
        cosines[:, a] += cosines[:, b]
        sizes[a] += sizes[b]
        cosines, sizes = np.delete(np.delete(cosines, b, axis=0), b, axis=1), np.delete(sizes, b)
    ordered = [sorted((events[number] for number in numbers), key=lambda event: event.event_id) for numbers in groups]
    return sorted(ordered, key=lambda members: members[-1].event_id, reverse=True)


def unknown(events: Iterable[KeptEvent], since: float) -> list[KeptEvent]:
    """Return the events from ``since`` on (seconds since the Unix epoch) that named nobody and wait for a name."""
    nameless = (event for event in events if event.event_type in NAMELESS and event.person_id is None)
    wanted = (event for event in nameless if event.shows_face)
    return [event for event in wanted if event.wall >= since and event.verdict is None]
