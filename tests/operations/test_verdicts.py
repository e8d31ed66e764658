"""Verdicts on made-up vectors, for the rules, and on photos, through the whole way from a picture to an event."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.galleries import MODEL, enrolled, kept, near, one_line, unit
from fixtures.optional import needed
from fixtures.verdicts import confirm, context, introduce, reject

from edgeface.config import schema
from edgeface.daemon.assembly import assemble
from edgeface.enrollment.enroller import Enroller, read_images
from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.operations.people import check_gallery
from edgeface.recognition.matching import Matcher
from edgeface.types import Decision, EventType, Frame, Image, Match, Person, Vector
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image
from edgeface.vision.model_card import ModelCard
from edgeface.wire.commands import Request, Verdict

MATCHING = schema.MatchingSettings()


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    opened = Gallery(tmp_path / "gallery.db", MODEL)
    yield opened
    opened.close()


def counts(gallery: Gallery, name: str = "Anna") -> tuple[int, int]:
    """How many templates and negative templates a person has."""
    found = gallery.templates()
    index = [person.name for person in found.people].index(name)
    return int((found.owners == index).sum()), int((found.not_owners == index).sum())


def decision(gallery: Gallery, card: ModelCard, probe: Vector) -> Match:
    return Matcher(gallery.templates(), card, MATCHING).match(probe)


@pytest.fixture
def lookalike() -> Vector:
    """Of Anna, whose template is unit(1)."""
    return near(unit(1), 0.6)


@pytest.fixture
def anna(gallery: Gallery) -> Person:
    return enrolled(gallery, "Anna", 1)


def test_a_rejected_face_is_not_accepted_again_and_the_person_is(
    gallery: Gallery, card: ModelCard, anna: Person, lookalike: Vector
) -> None:
    assert decision(gallery, card, lookalike).decision is Decision.ACCEPT
    outcome = reject(gallery, MATCHING, kept(gallery, anna, lookalike).event_id)
    assert (outcome.name, outcome.added, counts(gallery)) == ("Anna", True, (1, 1))
    again = decision(gallery, card, near(lookalike, 0.9, seed=5))
    assert again.decision is Decision.REJECT
    assert again.margin < 0
    assert decision(gallery, card, near(unit(1), 0.8, seed=5)).decision is Decision.ACCEPT


def test_between_a_person_and_who_they_are_not_nobody_is_named(
    gallery: Gallery, card: ModelCard, anna: Person, lookalike: Vector
) -> None:
    reject(gallery, MATCHING, kept(gallery, anna, lookalike).event_id)
    middle = unit(1) + lookalike
    assert decision(gallery, card, (middle / np.linalg.norm(middle)).astype(np.float32)).decision is not Decision.ACCEPT
    nearer = 1.02 * unit(1) + lookalike
    assert decision(gallery, card, (nearer / np.linalg.norm(nearer)).astype(np.float32)).decision is Decision.UNSURE


def test_a_face_rejected_as_one_person_can_be_another(
    gallery: Gallery, card: ModelCard, anna: Person, lookalike: Vector
) -> None:
    """Bert's face is nearer to Anna than to himself, until that is rejected."""
    gallery.enroll("Bert", [near(lookalike, 0.5, seed=9)], [0.8])
    assert decision(gallery, card, lookalike).name == "Anna"
    reject(gallery, MATCHING, kept(gallery, anna, lookalike).event_id)
    found = decision(gallery, card, lookalike)
    assert (found.decision, found.name) == (Decision.ACCEPT, "Bert")


def test_a_rejected_event_can_be_confirmed_after_all_and_the_other_way_round(
    gallery: Gallery, card: ModelCard, anna: Person, lookalike: Vector
) -> None:
    seen = kept(gallery, anna, lookalike)
    reject(gallery, MATCHING, seen.event_id)
    assert confirm(gallery, card, MATCHING, seen.event_id).added
    assert counts(gallery) == (2, 0)
    reject(gallery, MATCHING, seen.event_id)
    assert counts(gallery) == (1, 1)
    assert gallery.events.find(seen.event_id).verdict == "rejected"


@pytest.mark.parametrize("verdict", ["reject", "confirm"])
def test_a_verdict_twice_is_said_and_changes_nothing(
    gallery: Gallery, card: ModelCard, anna: Person, lookalike: Vector, verdict: str
) -> None:
    seen = kept(gallery, anna, lookalike)

    def give() -> Verdict:
        return (
            reject(gallery, MATCHING, seen.event_id) if verdict == "reject" else confirm(gallery, card, MATCHING, seen.event_id)
        )

    give()
    before = counts(gallery)
    outcome = give()
    assert not outcome.added
    assert "already" in outcome.told
    assert counts(gallery) == before


def test_the_same_look_is_rejected_once_only(gallery: Gallery, anna: Person, lookalike: Vector) -> None:
    reject(gallery, MATCHING, kept(gallery, anna, lookalike).event_id)
    outcome = reject(gallery, MATCHING, kept(gallery, anna, near(lookalike, 0.95)).event_id)
    assert not outcome.added
    assert counts(gallery) == (1, 1)


def test_a_person_is_not_locked_out_by_a_rejected_view_of_their_own(gallery: Gallery, card: ModelCard) -> None:
    centre = unit(1)
    anna = gallery.enroll("Anna", [near(centre, 0.8, seed=n) for n in (1, 2, 3)], [0.8] * 3)
    own = kept(gallery, anna, centre)
    with pytest.raises(GalleryError, match="it seems to be Anna; force") as caught:
        reject(gallery, MATCHING, own.event_id)
    one_line(caught)
    assert counts(gallery) == (3, 0)
    assert reject(gallery, MATCHING, own.event_id, force=True).added
    assert counts(gallery) == (3, 1)


def test_an_event_that_names_nobody_cannot_be_rejected(gallery: Gallery, anna: Person) -> None:
    seen = kept(gallery, None, unit(5), EventType.UNKNOWN)
    with pytest.raises(GalleryError, match=f"names nobody.*people confirm {seen.event_id} --as NAME"):
        reject(gallery, MATCHING, seen.event_id)


def test_a_confirmed_view_from_a_new_side_becomes_a_template(gallery: Gallery, card: ModelCard, anna: Person) -> None:
    side = near(unit(1), 0.45)
    outcome = confirm(gallery, card, MATCHING, kept(gallery, anna, side).event_id)
    assert outcome.added
    assert counts(gallery) == (2, 0)
    assert decision(gallery, card, near(side, 0.9, seed=3)).decision is Decision.ACCEPT


def test_a_confirmed_view_that_is_known_adds_nothing(gallery: Gallery, card: ModelCard, anna: Person) -> None:
    outcome = confirm(gallery, card, MATCHING, kept(gallery, anna, near(unit(1), 0.95)).event_id)
    assert (outcome.added, counts(gallery)) == (False, (1, 0))
    assert "already" in outcome.told


def test_a_view_that_is_nearer_to_another_is_never_confirmed(gallery: Gallery, card: ModelCard, anna: Person) -> None:
    enrolled(gallery, "Bert", 2)
    berts = kept(gallery, anna, near(unit(2), 0.8))
    with pytest.raises(GalleryError, match="nearer to Bert than to Anna"):
        confirm(gallery, card, MATCHING, berts.event_id)
    assert counts(gallery) == (1, 0)


def test_a_view_that_is_nearer_to_who_was_rejected_is_not_confirmed(
    gallery: Gallery, card: ModelCard, anna: Person, lookalike: Vector
) -> None:
    reject(gallery, MATCHING, kept(gallery, anna, lookalike).event_id)
    with pytest.raises(GalleryError, match="nearer to one that was rejected as Anna"):
        confirm(gallery, card, MATCHING, kept(gallery, anna, near(lookalike, 0.9)).event_id)


def test_an_unknown_face_is_confirmed_by_name_and_is_erased_with_that_person(
    gallery: Gallery, card: ModelCard, anna: Person
) -> None:
    seen = kept(gallery, None, near(unit(1), 0.2), EventType.UNKNOWN)
    with pytest.raises(ConfigError, match="--as NAME"):
        confirm(gallery, card, MATCHING, seen.event_id)
    with pytest.raises(GalleryError, match="nobody called 'Bert'"):
        confirm(gallery, card, MATCHING, seen.event_id, "Bert")
    assert confirm(gallery, card, MATCHING, seen.event_id, "Anna").added
    assert gallery.events.find(seen.event_id).person_id == anna.id
    gallery.forget("Anna")
    assert gallery.events.all() == []


def test_a_face_that_was_taken_for_another_is_rejected_there_and_confirmed_here(
    gallery: Gallery, card: ModelCard, anna: Person, lookalike: Vector
) -> None:
    bert = gallery.enroll("Bert", [near(lookalike, 0.5, seed=9)], [0.8])
    seen = kept(gallery, anna, lookalike)
    with pytest.raises(GalleryError, match="nearer to Anna than to Bert; if it named the wrong one, reject it first"):
        confirm(gallery, card, MATCHING, seen.event_id, "Bert")
    reject(gallery, MATCHING, seen.event_id)
    assert confirm(gallery, card, MATCHING, seen.event_id, "Bert").added
    assert (counts(gallery), counts(gallery, "Bert")) == ((1, 1), (2, 0))
    assert gallery.events.find(seen.event_id).person_id == bert.id


def test_verdicts_go_with_an_export(gallery: Gallery, card: ModelCard, anna: Person, lookalike: Vector, tmp_path: Path) -> None:
    reject(gallery, MATCHING, kept(gallery, anna, lookalike).event_id)
    other = Gallery(tmp_path / "other.db", MODEL)
    other.import_(gallery.export())
    assert counts(other) == (1, 1)
    assert decision(other, card, lookalike).decision is Decision.REJECT
    other.close()


def test_a_verdict_changes_the_version_and_a_kept_event_does_not(gallery: Gallery, anna: Person, lookalike: Vector) -> None:
    seen = kept(gallery, anna, lookalike)
    before = gallery.version
    reject(gallery, MATCHING, seen.event_id)
    assert gallery.version != before


# With photos


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


class Camera:
    """Shows a picture five times, half a second apart, from a moment on."""

    live, dropped = False, 0

    def __init__(self, image: Image, start: int) -> None:
        self._image, self._start = image, start

    def frames(self) -> Iterator[Frame]:
        for number in range(5):
            time = self._start + number / 2
            yield Frame(self._image, time, 1_700_000_000 + time)

    def close(self) -> None:
        pass


def test_who_was_taken_for_another_is_not_any_more_and_the_other_still_is(
    tmp_path: Path, embedder: Embedder, demo_photos: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With thresholds so loose that Biden passes for Obama; the daemon goes on while the verdict is given."""
    settings = schema.Config(
        gallery=schema.GallerySettings(str(tmp_path / "gallery.db")),
        matching=schema.MatchingSettings(target_fpir=0.1, unsure_fpir=0.1),
        presence=schema.PresenceSettings(left_after=1.0),
    )
    biden, obama = load_image(demo_photos / "biden_blue_room.jpg"), load_image(demo_photos / "obama_press_room.jpg")
    minutes = count(60, 60)
    daemon = assemble(settings, camera=Camera(biden, 0))
    Enroller(daemon.pipeline, daemon.gallery).enroll("Obama", read_images([demo_photos / "obama_congress.jpg"]))

    def seen(image: Image) -> list[Any]:
        """What the events say when the camera shows this image, a minute after the one before."""
        before = {event.event_id for event in daemon.gallery.events.all()}
        daemon.camera = Camera(image, next(minutes))
        daemon.watch()
        return [event for event in daemon.gallery.events.all() if event.event_id not in before]

    (wrong,) = seen(biden)
    (right,) = seen(obama)
    assert wrong.person_id == right.person_id is not None
    for event, image in ((wrong, biden), (right, obama)):
        (observation,) = daemon.pipeline.observe(image)
        assert event.embedding @ needed(observation.embedding).vector > 0.99
    gallery = open_gallery(settings, embedder.card)  # as the command would, in another process
    assert reject(gallery, settings.matching, wrong.event_id).added
    gallery.close()
    assert [event.person_id for event in seen(biden)] in ([], [None])
    assert [event.person_id for event in seen(obama)] == [right.person_id]
    others = [face for face in daemon.pipeline.observe(load_image(photos / "obama_and_biden_blue_room.jpg")) if face.match]
    assert [needed(face.match).decision is Decision.ACCEPT for face in others] == [
        needed(face.embedding).vector @ right.embedding > 0.5 for face in others
    ]
    assert len(others) == 2
    daemon.gallery.close()
    assert "embedding" not in capsys.readouterr().out


def test_a_name_given_to_a_stranger_can_be_taken_back(gallery: Gallery, card: ModelCard) -> None:
    """Who has no other face is nobody then, and the stranger is one again."""
    enrolled(gallery, "Bob", 5, 6)
    event = kept(gallery, None, unit(1), kind=EventType.UNKNOWN)
    introduce(gallery, card, MATCHING, [event.event_id], "Anna")
    assert "Anna, who is enrolled no more" in reject(gallery, MATCHING, event.event_id).told
    assert [person.name for person in gallery.templates().people] == ["Bob"]
    again = gallery.events.find(event.event_id)
    assert (again.person_id, again.verdict) == (None, None)
    assert introduce(gallery, card, MATCHING, [event.event_id], "Clara").name == "Clara"


def test_a_doubtful_template_says_from_which_event_it_came(gallery: Gallery, card: ModelCard, anna: Person) -> None:
    event = kept(gallery, None, near(unit(1), 0.2), kind=EventType.UNKNOWN)
    confirm(gallery, card, MATCHING, event.event_id, "Anna")
    weak = [one for one in check_gallery(context(gallery, card, MATCHING), Request()).findings if one.kind == "weak"]
    assert sorted((one.event_id or "", one.ts or "") for one in weak) == [
        ("", ""),
        (event.event_id, "2023-11-14T22:13:20.000Z"),
    ]


def test_a_stranger_is_not_given_to_somebody_who_is_not_the_nearest(gallery: Gallery, card: ModelCard) -> None:
    enrolled(gallery, "Anna", 1)
    enrolled(gallery, "Bob", 5)
    stranger = near(unit(5), 0.25)  # far from both, and under the threshold of both
    event = kept(gallery, None, stranger, kind=EventType.UNKNOWN)
    assert decision(gallery, card, stranger).decision is Decision.REJECT
    with pytest.raises(GalleryError, match="nearer to Bob than to Anna"):
        introduce(gallery, card, MATCHING, [event.event_id], "Anna")
    assert (counts(gallery, "Anna"), gallery.events.find(event.event_id).verdict) == ((1, 0), None)
    assert introduce(gallery, card, MATCHING, [event.event_id], "Bob").name == "Bob"
    assert counts(gallery, "Bob") == (2, 0)


def test_a_face_that_was_given_to_one_and_then_to_another_is_enrolled_once(gallery: Gallery, card: ModelCard) -> None:
    """Though it is not like the first one's other views."""
    enrolled(gallery, "Anna", 1, 2, 3)
    enrolled(gallery, "Bob", 5, 6)
    strict = schema.MatchingSettings(target_fpir=1e-6)
    event = kept(gallery, None, near(unit(1), 0.2), kind=EventType.UNKNOWN)
    confirm(gallery, card, strict, event.event_id, "Anna")
    assert counts(gallery, "Anna") == (4, 0)
    introduce(gallery, card, strict, [event.event_id], "Clara")
    assert (counts(gallery, "Anna"), counts(gallery, "Clara")) == ((3, 0), (1, 0))


@pytest.mark.parametrize("others", [[], ["Bob"]])
def test_a_face_that_was_rejected_can_be_somebody_new(
    gallery: Gallery, card: ModelCard, anna: Person, others: list[str]
) -> None:
    for name in others:
        enrolled(gallery, name, 5, 6)
    event = kept(gallery, anna, near(unit(1), 0.6))
    reject(gallery, MATCHING, event.event_id)
    assert introduce(gallery, card, MATCHING, [event.event_id], "Clara").name == "Clara"
    assert (counts(gallery, "Anna"), counts(gallery, "Clara")) == ((1, 1), (1, 0))


def test_a_rejected_face_that_is_introduced_as_that_person_after_all_is_rejected_no_more(
    gallery: Gallery, card: ModelCard, anna: Person
) -> None:
    event = kept(gallery, anna, near(unit(1), 0.6))
    reject(gallery, MATCHING, event.event_id)
    for _ in range(2):  # a message may come twice
        introduce(gallery, card, MATCHING, [event.event_id], "Anna")
        assert counts(gallery) == (2, 0)


def test_a_view_that_is_known_already_is_not_enrolled_once_more(gallery: Gallery, card: ModelCard, anna: Person) -> None:
    event = kept(gallery, None, near(unit(1), 0.97), kind=EventType.UNKNOWN)
    introduce(gallery, card, MATCHING, [event.event_id], "Anna")
    assert (counts(gallery), gallery.events.find(event.event_id).verdict) == ((1, 0), "confirmed")


def test_a_stranger_is_not_given_to_somebody_as_whom_such_a_face_was_rejected(gallery: Gallery, card: ModelCard) -> None:
    anna, lookalike = enrolled(gallery, "Anna", 1), near(unit(1), 0.4)
    reject(gallery, MATCHING, kept(gallery, anna, lookalike).event_id)
    again = kept(gallery, None, near(lookalike, 0.9), kind=EventType.UNKNOWN)
    with pytest.raises(GalleryError, match="rejected as Anna"):
        introduce(gallery, card, MATCHING, [again.event_id], "Anna")


def test_who_loses_the_only_face_to_another_is_nobody_and_the_name_is_free(gallery: Gallery, card: ModelCard) -> None:
    enrolled(gallery, "Bob", 5)
    event = kept(gallery, None, near(unit(5), 0.6), kind=EventType.UNKNOWN)
    gallery.introduce("Anna", [(event, True)])
    assert confirm(gallery, card, MATCHING, event.event_id, "Bob").added
    assert gallery.rename("Bob", "Anna").name == "Anna"


def test_a_gallery_with_somebody_without_a_template_opens_and_is_cleared(gallery: Gallery, tmp_path: Path) -> None:
    anna = enrolled(gallery, "Anna", 1)
    reject(gallery, MATCHING, kept(gallery, anna, near(unit(1), 0.6)).event_id)
    gallery._database.execute("DELETE FROM templates WHERE kind = 'template'")
    assert gallery.templates().people == ()
    enrolled(gallery, "Bob", 5)
    assert gallery._names().keys() == {"Bob"}
