"""Defines the rules of a person: muted, ignored, expected in some hours, in groups, forgotten at a time."""

from datetime import tzinfo
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edgeface.config.hours import WeeklyHours

Moment = Annotated[float, Meta(ge=0, le=1e11)]  # seconds since the Unix epoch
DAY = 86400.0
EARLIEST = 1_704_067_200.0
"""The start of 2024: a clock that shows an earlier time is not set, and allows nobody."""
MAX_GROUPS = 16
Label = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
Hours = Annotated[str, Meta(max_length=60)]


class Rules(Struct, frozen=True, array_like=True):
    """The rules of a person; times are seconds since the Unix epoch.

    ``muted_since`` is set while the person is muted; without ``muted_until`` that is until somebody unmutes them. ``hours`` are
    those in which the person is expected. The person is to be forgotten at ``expires``.
    """

    ignored: bool = False
    muted_since: Moment | None = None
    muted_until: Moment | None = None
    hours: Annotated[tuple[Hours, ...], Meta(max_length=32)] = ()
    groups: Annotated[tuple[Label, ...], Meta(max_length=MAX_GROUPS)] = ()
    expires: Moment | None = None

    def muted(self, wall: float) -> bool:
        """Return whether the person is muted.

        A clock that is set back prolongs a mute by a day at most: one that is over a day before the start ends it.
        """
        if self.muted_since is None or self.muted_until is None:
            return self.muted_since is not None
        return self.muted_since - DAY <= wall < self.muted_until

    def allowed(self, wall: float, zone: tzinfo | None = None) -> bool | None:
        """Return whether the person is expected at a time, by the local clock; ``None`` if no hours are set."""
        return wall >= EARLIEST and WeeklyHours.of(self.hours).has(wall, zone) if self.hours else None


NONE = Rules()


class RuleRecord(Struct, frozen=True, array_like=True):
    """The rules, and when the person expires by the gallery's clock, which counts only time that has surely passed."""

    rules: Rules
    expires: float | None = None


def changed(rules: Rules, **changes: object) -> Rules:
    """Return other rules with these fields; raise ``msgspec.ValidationError`` if a field may not be so."""
    return msgspec.convert(msgspec.to_builtins(msgspec.structs.replace(rules, **changes)), Rules)
