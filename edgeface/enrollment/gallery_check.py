"""Finds the faults of a gallery, each with the command that cures it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgeface.enrollment.assessment import TemplateScores, template_scores
from edgeface.gallery.contents import Templates
from edgeface.gallery.damage import KINDS, Damage, cure
from edgeface.gallery.names import argument
from edgeface.gallery.store import template_id
from edgeface.platform.text import scored
from edgeface.recognition.matching import Matcher
from edgeface.types import Person

FEW = 3
"""Templates that a person needs to be known from enough sides."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: the ids of the people concerned, the fault in words, and a command as its ``cure``.

    ``template`` is the id of the one concerned. If it was learned from an event, ``event_id`` and ``ts`` say which and when.
    """

    kind: Literal["damaged", "look-alikes", "mislabelled", "weak", "few"]
    people: list[str]
    found: str
    cure: str
    template: str | None = None
    event_id: str | None = None
    ts: str | None = None


def check(templates: Templates, matcher: Matcher, damaged: Sequence[Damage] = ()) -> list[Finding]:
    """Find every fault of a gallery, the gravest kind first; the matcher is one for these templates."""
    findings = [_damaged(templates, damage) for damage in damaged]
    scores = [template_scores(templates, matcher, index) for index in range(len(templates.people))]
    pairs = {
        (min(index, rival), max(index, rival))
        for index, one in enumerate(scores)
        for rival, score in zip(one.rivals.tolist(), one.non_mated, strict=True)
        if score >= matcher.accept
    }
    twice = {pair for pair in pairs if any(_mostly(scores[one], other) for one, other in (pair, pair[::-1]))}
    findings += [_twice(*(templates.people[one] for one in pair)) for pair in sorted(twice)]
    findings += [_alike(*(templates.people[one] for one in pair)) for pair in sorted(pairs - twice)]
    for index, one in enumerate(scores):
        findings += _strays(templates, one, {other for pair in twice if index in pair for other in pair})
    for one in scores:
        findings += _weak(matcher, one)
    return findings + [_few(person) for person in templates.people if person.templates < FEW]


def _damaged(templates: Templates, damage: Damage) -> Finding:
    index = next((number for number, person in enumerate(templates.people) if person.id == damage.owner), None)
    name = damage.owner if index is None else templates.people[index].name
    sound = 0 if index is None else int((templates.owners == index).sum())
    found = f"{KINDS[damage.kind][1].format(name=name)} is damaged, and left out; edgeface gallery restore brings a copy back"
    return Finding("damaged", [damage.owner] if damage.owner else [], found, cure(damage, index is not None, name, sound))


def _mostly(one: TemplateScores, rival: int) -> bool:
    """Return whether half of the templates are more similar to this other person, or the only one matches them."""
    strays = one.strays if len(one.mated) else range(len(one.non_mated))
    return sum(int(one.rivals[number]) == rival for number in strays) >= one.person.templates / 2


def _twice(one: Person, other: Person) -> Finding:
    less, more = sorted((one, other), key=lambda person: person.templates)
    return Finding(
        "look-alikes",
        [one.id, other.id],
        f"{one.name} and {other.name} seem to be one person: {less.name}'s templates are as near to {more.name}",
        f"edgeface people merge {less.id} {more.id}",
    )


def _alike(one: Person, other: Person) -> Finding:
    return Finding(
        "look-alikes",
        [one.id, other.id],
        f"{one.name} and {other.name} look alike: a view of one passes for the other; more views of both tell them apart",
        f"edgeface enroll {argument(one.name)} && edgeface enroll {argument(other.name)}",
    )


def _strays(templates: Templates, one: TemplateScores, twice: set[int]) -> Iterator[Finding]:
    for number in one.strays:
        if int(one.rivals[number]) not in twice:
            rival, scores = templates.people[int(one.rivals[number])], f"{one.non_mated[number]:.2f} to {one.mated[number]:.2f}"
            found = f"a template of {one.person.name} is nearer to {rival.name}, {scores}: unusual view or wrong photo"
            yield _of_template("mislabelled", [one.person.id, rival.id], found, one, number)


def _weak(matcher: Matcher, one: TemplateScores) -> Iterator[Finding]:
    for number, score in enumerate(one.mated):
        if score < matcher.unsure and number not in one.strays:
            found = f"a template of {one.person.name} is little like the others: {scored(score, matcher.unsure)}"
            yield _of_template("weak", [one.person.id], found, one, number)


def _of_template(
    kind: Literal["mislabelled", "weak"], people: list[str], found: str, one: TemplateScores, number: int
) -> Finding:
    template = template_id(one.person.id, one.vectors[number])
    return Finding(kind, people, found, f"edgeface gallery drop {template}", template)


def _few(person: Person) -> Finding:
    return Finding(
        "few",
        [person.id],
        f"{person.name} has {person.templates} of {FEW} views that show enough sides",
        f"edgeface enroll {argument(person.name)}",
    )
