"""Defines why a visit has no name, and says it to people with the cure."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from edgeface.platform.translation import ENGLISH, Translation
from edgeface.types import Reason


class Doubt(Struct, frozen=True, kw_only=True):
    """Why a visit has no name, as it is kept with its event.

    ``person_id`` is the nearest person, ``other_id`` the second one of two that are alike; ``score`` is the similarity to the
    nearest, ``threshold`` the score that a name needs. ``good`` of ``seen`` views could be matched, and ``needed`` would have
    been enough; ``pixels`` were between the eyes at most. ``flaw`` is that of most of the good views, if they were weak.
    """

    reason: Reason
    person_id: str | None = None
    other_id: str | None = None
    score: float = 0.0
    threshold: float = 0.0
    good: int = 0
    seen: int = 0
    needed: int = 0
    pixels: float = 0.0
    flaw: Reason | None = None

    def names(self, person_id: str) -> bool:
        return person_id in (self.person_id, self.other_id)


class Words(NamedTuple):
    """A reason in a few words and in a sentence, and its cure."""

    short: str
    told: str
    cure: str


WORDS: Mapping[Reason, Words] = {
    Reason.SMALL: Words(
        "too small",
        "the face was too small: {pixels} pixels between the eyes at most",
        "come closer, or bring the camera closer; a larger camera.width with detector.max_side sees farther",
    ),
    Reason.DARK: Words("too dark", "the face was too dark", "put a light on the face from the front, and none behind it"),
    Reason.BRIGHT: Words("too bright", "the face was too bright", "keep sun and lamps off the face, or lower the exposure"),
    Reason.TURNED: Words(
        "turned away", "the face was turned away", "look at the camera; hang it at the height of faces, where people look"
    ),
    Reason.BLURRED: Words("blurred", "the face was blurred", "clean and focus the lens; more light makes moving faces sharper"),
    Reason.POOR: Words("poor views", "the face was hard to make out", "show the whole face, with nothing before it"),
    Reason.FEW: Words(
        "too few good views",
        "too few good views agreed: {good} of {seen}, at least {needed} are needed",
        "stay before the camera for longer; a higher camera.fps takes more views",
    ),
    Reason.DOUBTFUL: Words(
        "in doubt: {name}",
        "most like {name}, but not enough: score {score}, a name needs {threshold}",
        "say who it was, or enroll {name} once more at this camera",
    ),
    Reason.LOOKALIKE: Words(
        "{name} or {other}",
        "as much like {name} as like {other}",
        "say who it was, and enroll both once more; edgeface gallery check tells if one person has two names",
    ),
    Reason.NOT_ALIVE: Words(
        "not seen alive",
        "like {name}, but it may have been a photo or a screen",
        "come closer, into more light, and turn the head a little",
    ),
    Reason.DISPLACED: Words(
        "not {name}, who stood beside",
        "like {name}, but a better face of {name} was in the same picture",
        "nothing, if it was a mirror or a photo; if it was somebody else, enroll them",
    ),
    Reason.STRANGER: Words(
        "like nobody enrolled",
        "like nobody enrolled; {name} is nearest: score {score}, a name needs {threshold}",
        "say who it was, or enroll them",
    ),
}
"""Braces stand for the fields of ``Doubt``, and for the names of the two people."""
CURES_WITHOUT_FACE: Mapping[Reason, str] = {
    Reason.DOUBTFUL: "enroll {name} once more at this camera",
    Reason.LOOKALIKE: "enroll both once more; edgeface gallery check tells if one person has two names",
    Reason.STRANGER: "enroll them",
}
"""What helps where nobody can say who it was, as the face was not kept."""
OF_NOBODY: Mapping[Reason, str] = {
    Reason.DOUBTFUL: "like somebody, but not enough",
    Reason.LOOKALIKE: "like two people",
    Reason.DISPLACED: "like somebody who stood beside",
}
"""Those of ``Words.short`` that would name somebody, for counts of visits."""
NOBODY_ENROLLED = Words("nobody is enrolled", "nobody was enrolled", "enroll somebody")


def counted(unnamed: Mapping[str, int], language: Translation = ENGLISH) -> list[tuple[str, int]]:
    """Return the reasons of ``health``'s ``unnamed`` in words, each with how many visits it had, the most frequent first."""
    named = ((OF_NOBODY.get(Reason(reason), WORDS[Reason(reason)].short), count) for reason, count in unnamed.items())
    return sorted(((language.say(word), count) for word, count in named), key=lambda told: -told[1])


def words(doubt: Doubt, names: Mapping[str, str], language: Translation = ENGLISH, *, shows_face: bool = True) -> Words:
    """Say a reason to people; ``names`` are those of the people enrolled, by id; ``shows_face`` is of the event."""
    say, number = language.say, language.number
    if doubt.reason is Reason.STRANGER and doubt.person_id is None:
        return Words(*map(say, NOBODY_ENROLLED))
    fields = {
        **{name: number(getattr(doubt, name)) for name in ("good", "seen", "needed")},
        **{name: number(getattr(doubt, name), 2) for name in ("score", "threshold")},
        "pixels": number(doubt.pixels, 0),
        "name": names.get(doubt.person_id or "", say("somebody")),
        "other": names.get(doubt.other_id or "", say("a face that was rejected as theirs")),
    }
    cure = WORDS[doubt.reason].cure if shows_face else CURES_WITHOUT_FACE.get(doubt.reason, WORDS[doubt.reason].cure)
    short, told, cure = (say(text, **fields) for text in (*WORDS[doubt.reason][:2], cure))
    if doubt.flaw in (None, doubt.reason):
        return Words(short, told, cure)
    weak = Words(*(say(text, **fields) for text in WORDS[doubt.flaw]))
    return Words(f"{short}, {weak.short}", f"{told}; {weak.told}", say("{cure}; or {other}", cure=weak.cure, other=cure))
