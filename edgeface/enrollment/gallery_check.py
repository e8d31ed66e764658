"""What is wrong with a gallery, and the command that cures it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgeface.enrollment.assessment import Standing, standing
from edgeface.gallery.contents import Templates
from edgeface.gallery.damage import WORDS, Damage, cure
from edgeface.gallery.names import argument
from edgeface.gallery.store import template_id
from edgeface.recognition.matching import Matcher
from edgeface.types import Person

FEW = 3
"""Templates under which a person is known from too few sides."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: ``people`` are the ids of whom it is about, ``cure`` is a command."""

    kind: Literal["damaged", "look-alikes", "mislabelled", "weak", "few"]
    people: list[str]
    found: str
    cure: str


def check(templates: Templates, matcher: Matcher, damaged: Sequence[Damage] = ()) -> list[Finding]:
    """Every fault of a gallery, the gravest kind first; the matcher is one for these templates."""
    findings = [_damaged(templates, damage) for damage in damaged]
    stands = [standing(templates, matcher, index) for index in range(len(templates.people))]
    pairs = {pair for index, one in enumerate(stands) for pair in _passes(matcher, one, index)}
    twice = {pair for pair in pairs if any(_mostly(stands[one], other) for one, other in (pair, pair[::-1]))}
    findings += [_twice(*(templates.people[one] for one in pair)) for pair in sorted(twice)]
    findings += [_alike(*(templates.people[one] for one in pair)) for pair in sorted(pairs - twice)]
    for index, one in enumerate(stands):
        findings += _strays(templates, one, {other for pair in twice if index in pair for other in pair})
    for one in stands:
        findings += _weak(matcher, one)
    return findings + [_few(person) for person in templates.people if person.templates < FEW]


def _damaged(templates: Templates, damage: Damage) -> Finding:
    index = next((number for number, person in enumerate(templates.people) if person.id == damage.owner), None)
    name = damage.owner if index is None else templates.people[index].name
    sound = 0 if index is None else int((templates.owners == index).sum())
    found = f"{WORDS[damage.kind].format(name=name)} is damaged, and left out; edgeface gallery restore brings a copy back"
    return Finding("damaged", [damage.owner] if damage.owner else [], found, cure(damage, index is not None, name, sound))


def _passes(matcher: Matcher, one: Standing, index: int) -> Iterator[tuple[int, int]]:
    """The pairs in which a template of this person passes for another."""
    for rival, score in zip(one.rivals, one.other, strict=True):
        if score >= matcher.accept:
            yield min(index, int(rival)), max(index, int(rival))


def _mostly(one: Standing, rival: int) -> bool:
    """Whether half of the templates are nearer to this other person, or the only one passes for them."""
    strays = one.strays if len(one.own) else range(len(one.other))
    return sum(int(one.rivals[number]) == rival for number in strays) >= one.person.templates / 2


def _twice(one: Person, other: Person) -> Finding:
    less, more = sorted((one, other), key=lambda person: person.templates)
    return Finding(
        "look-alikes",
        [one.id, other.id],
        f"{one.name} and {other.name} seem to be one person: {less.name}'s templates are as near to {more.name}",
        f"edgeface people forget {less.id}",
    )


def _alike(one: Person, other: Person) -> Finding:
    return Finding(
        "look-alikes",
        [one.id, other.id],
        f"{one.name} and {other.name} look alike: a view of one passes for the other; more views of both tell them apart",
        f"edgeface enroll {argument(one.name)} && edgeface enroll {argument(other.name)}",
    )


def _strays(templates: Templates, one: Standing, twice: set[int]) -> Iterator[Finding]:
    for number in one.strays:
        if int(one.rivals[number]) not in twice:
            rival = templates.people[int(one.rivals[number])]
            yield Finding(
                "mislabelled",
                [one.person.id, rival.id],
                f"a template of {one.person.name} is nearer to {rival.name}: {one.other[number]:.2f} to {one.own[number]:.2f}",
                f"edgeface gallery drop {template_id(one.person.id, one.vectors[number])}",
            )


def _weak(matcher: Matcher, one: Standing) -> Iterator[Finding]:
    for number, score in enumerate(one.own):
        if score < matcher.unsure and number not in one.strays:
            yield Finding(
                "weak",
                [one.person.id],
                f"a template of {one.person.name} is little like the others: score {score:.2f}, {matcher.unsure:.2f} is usual",
                f"edgeface gallery drop {template_id(one.person.id, one.vectors[number])}",
            )


def _few(person: Person) -> Finding:
    return Finding(
        "few",
        [person.id],
        f"{person.name} has {person.templates} of {FEW} views that show enough sides",
        f"edgeface enroll {argument(person.name)}",
    )
