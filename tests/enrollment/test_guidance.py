"""What a sitter is told, on pictures composed of real photos."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.sitters import HEIGHT, WIDTH, sitter
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.config.schema import Config, GallerySettings
from edgeface.demo.screen import on_screen
from edgeface.enrollment.enroller import Enroller
from edgeface.enrollment.guidance import Hint, obstacle, pose
from edgeface.enrollment.session import LEAST, MOST, EnrollmentSession
from edgeface.errors import CameraError, GalleryError
from edgeface.gallery.open import open_gallery
from edgeface.interfaces import Detector
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Embedding, Face, Frame, Image, NoFrame
from edgeface.vision.embedding import Embedder

EMPTY = np.full((HEIGHT, WIDTH, 3), 127, np.uint8)
PEOPLE = ("obama_portrait.jpg", "biden_portrait.jpg", "collins_portrait.jpg")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return detectors.create()


def lit(image: NDArray[Any] | Image, factor: float) -> NDArray[Any]:
    return np.clip(image * factor, 0, 255).astype(np.uint8)


def beside(image: Image, other: Image) -> Image:
    """Two faces in one picture."""
    both = image.copy()
    both[:, : WIDTH // 2] = image[:, WIDTH // 4 : 3 * WIDTH // 4]
    both[:, WIDTH // 2 :] = other[:, WIDTH // 4 : 3 * WIDTH // 4]
    return both


def aside(image: Image, pixels: int) -> Image:
    moved = np.full_like(image, 110)
    moved[:, pixels:] = image[:, :-pixels]
    return moved


@pytest.mark.parametrize("name", PEOPLE)
def test_a_good_view_has_no_obstacle(detector: Detector, name: str) -> None:
    image = sitter(name)
    assert obstacle(image, detector.detect(image)) is None


@pytest.mark.parametrize(
    ("image", "hint"),
    [
        (lambda: EMPTY, Hint.NOBODY),
        (lambda: lit(EMPTY, 0.02), Hint.MORE_LIGHT),
        (lambda: lit(EMPTY, 1.95), Hint.TOO_BRIGHT),
        (lambda: sitter(eyes=20.0), Hint.COME_CLOSER),
        (lambda: sitter(eyes=130.0), Hint.STEP_BACK),
        (lambda: aside(sitter(), 270), Hint.TO_THE_MIDDLE),
        (lambda: lit(sitter(), 0.2), Hint.MORE_LIGHT),
        (lambda: lit(sitter().astype(int) // 3 + 185, 1.0), Hint.TOO_BRIGHT),
        (lambda: cv2.GaussianBlur(sitter(), (0, 0), 4), Hint.HOLD_STILL),
        (lambda: beside(sitter(), sitter("biden_portrait.jpg")), Hint.SOMEONE_ELSE),
        (lambda: beside(sitter(eyes=20.0), sitter("biden_portrait.jpg")), Hint.SOMEONE_ELSE),
    ],
)
def test_each_fault_has_its_hint(detector: Detector, image: Callable[[], NDArray[Any]], hint: Hint) -> None:
    assert obstacle(image(), detector.detect(image())) == hint


@pytest.mark.parametrize("name", PEOPLE)
def test_left_and_right_are_the_sitters_own(detector: Detector, name: str) -> None:
    yaws = [pose(detector.detect(sitter(name, yaw=yaw))[0].landmarks).yaw for yaw in (-0.35, 0.0, 0.35)]
    assert yaws == sorted(yaws)  # a nose that goes to the right of the picture goes to the sitter's left
    mirrored = np.ascontiguousarray(sitter(name, yaw=0.35)[:, ::-1])
    assert pose(detector.detect(mirrored)[0].landmarks).yaw < yaws[1]


@pytest.mark.parametrize("name", PEOPLE)
def test_who_looks_up_has_less_pitch_than_who_looks_down(detector: Detector, name: str) -> None:
    up, down = (pose(detector.detect(sitter(name, pitch=pitch))[0].landmarks).pitch for pitch in (-0.5, 0.5))
    assert up < down


def test_every_hint_has_its_words() -> None:
    assert all(1 < len(hint.words) < 60 for hint in Hint)


# A sitting


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def once(function: Callable[[Image], Sequence[Face] | Embedding]) -> Callable[..., Sequence[Face] | Embedding]:
    """The function, called once for each image: a sitter is looked at in hundreds of frames that are the same."""
    known = {}

    def remembered(image: Image) -> Sequence[Face] | Embedding:
        key = image.tobytes()
        if key not in known:
            known[key] = function(image)
        return known[key]

    return remembered


@pytest.fixture
def enroller(tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Enroller]:
    gallery = open_gallery(Config(gallery=GallerySettings(str(tmp_path / "gallery.db"))), embedder.card)
    pipeline = Pipeline(Config(), embedder, gallery)
    monkeypatch.setattr(pipeline.detector, "detect", once(pipeline.detector.detect))
    monkeypatch.setattr(embedder, "template", once(embedder.template))
    yield Enroller(pipeline, gallery)
    gallery.close()


class Chair:
    """A sitting at ten frames a second; what is shown may depend on what is asked."""

    def __init__(self, enroller: Enroller, **options: Any) -> None:
        self.sitting, self.time = EnrollmentSession(enroller, "Anna", **options), 1000.0
        self.told: list[Any] = []

    def show(self, image: Image | str | None, seconds: float = 0.1) -> None:
        for _ in range(round(seconds * 10)):
            if self.sitting.complete:
                return
            self.time += 0.1
            moment = NoFrame(self.time, 0.0, image) if image is None or isinstance(image, str) else Frame(image, self.time, 0.0)
            guidance = self.sitting.look(moment)
            if not self.told or self.told[-1] != guidance.text:
                self.told.append(guidance.text)

    def obey(self, name: str = "obama_portrait.jpg", seconds: float = 60.0) -> None:
        """A sitter who does what they are told."""
        moves = {
            Hint.TURN_LEFT: {"yaw": 0.45},
            Hint.TURN_RIGHT: {"yaw": -0.45},
            Hint.LOOK_UP: {"pitch": -0.4},
            Hint.LOOK_DOWN: {"pitch": 0.4},
        }
        for _ in range(round(seconds * 10)):
            self.show(sitter(name, **moves.get(self.sitting.guidance.hint, {})))


def test_who_does_as_told_is_done_with_five_to_nine_views_that_differ(enroller: Enroller) -> None:
    chair = Chair(enroller)
    chair.obey()
    assert chair.sitting.complete
    assert LEAST <= len(chair.sitting.views) <= MOST
    vectors = np.stack([view.vector for view in chair.sitting.views])
    similarity = vectors @ vectors.T - np.eye(len(vectors))
    assert similarity.max() < 0.95
    assert chair.time - 1000 < 30
    assert chair.told[-1] == Hint.DONE.words
    assert {hint.words for hint in (Hint.TURN_LEFT, Hint.LOOK_UP, Hint.CHANGE)} <= set(chair.told)
    assert chair.sitting.guidance.taken == len(chair.sitting.views)


def test_a_sitter_who_never_moves_gives_one_view_and_is_let_go(enroller: Enroller) -> None:
    chair = Chair(enroller, timeout=600.0)
    chair.show(sitter(), 100.0)
    assert chair.sitting.complete
    assert [view.label for view in chair.sitting.end()] == ["view 1"]
    assert [hint.words in chair.told for hint in (Hint.TURN_LEFT, Hint.TURN_RIGHT, Hint.LOOK_UP, Hint.LOOK_DOWN)] == [True] * 4


def test_the_first_view_looks_straight(enroller: Enroller) -> None:
    chair = Chair(enroller)
    chair.show(sitter("obama_press_room.jpg", yaw=0.35), 3.0)
    assert chair.sitting.views == []
    assert chair.told == [Hint.LOOK_STRAIGHT.words] or chair.told[-1] == Hint.LOOK_STRAIGHT.words


def test_what_is_wrong_is_told_once_it_holds(enroller: Enroller) -> None:
    chair = Chair(enroller)
    chair.show(None, 1.0)
    chair.show(EMPTY, 1.0)
    chair.show(sitter(eyes=20.0), 1.0)
    chair.show(EMPTY, 0.1)
    chair.show(sitter(eyes=20.0), 1.0)
    assert chair.told == [Hint.WAITING.words, Hint.NOBODY.words, Hint.COME_CLOSER.words]


def test_somebody_who_takes_the_sitters_place_is_not_taken(enroller: Enroller) -> None:
    chair = Chair(enroller)
    chair.show(sitter(), 1.0)
    chair.show(sitter("biden_portrait.jpg"), 2.0)
    assert len(chair.sitting.views) == 1
    assert chair.told[-1] == Hint.SOMEONE_ELSE.words


def test_who_moves_is_told_to_hold_still(enroller: Enroller) -> None:
    chair = Chair(enroller)
    for number in range(8):
        chair.show(aside(sitter(), 1 + 40 * (number % 2)))
    assert chair.sitting.views[1:] == []
    assert Hint.HOLD_STILL.words in chair.told


def test_who_is_enrolled_under_another_name_is_told_so(enroller: Enroller) -> None:
    enroller.enroll("Barack", [("photo", sitter())])
    chair = Chair(enroller)
    chair.show(sitter(), 1.0)
    assert chair.told == ["this face is already enrolled under another name: 'Barack'"]
    forced = Chair(enroller, force=True)
    forced.show(sitter(), 1.0)
    assert len(forced.sitting.views) == 1


def test_who_is_not_like_the_one_enrolled_under_the_name_is_told_so(enroller: Enroller) -> None:
    enroller.enroll("Anna", [("photo", sitter())])
    chair = Chair(enroller)
    chair.show(sitter("biden_portrait.jpg"), 1.0)
    (told,) = chair.told
    assert re.fullmatch(r"this face is not like the one enrolled under this name: score 0\.\d\d \(needs 0\.30\)", told)
    with pytest.raises(CameraError, match=r"last: this face is not like .* \(needs 0.30\); force enrolls it anyway$"):
        chair.sitting.end()
    forced = Chair(enroller, force=True)
    forced.show(sitter("biden_portrait.jpg"), 1.0)
    assert len(forced.sitting.views) == 1


def test_a_film_on_a_screen_is_not_enrolled_unless_forced(enroller: Enroller) -> None:
    film = on_screen(sitter(eyes=90.0), 0.0)
    chair = Chair(enroller)
    chair.show(film, 2.0)
    assert chair.told == [Hint.NOT_LIVE.words]
    with pytest.raises(CameraError, match=r"last: this looks like a picture: come in person; force enrolls it anyway$"):
        chair.sitting.end()
    forced = Chair(enroller, force=True)
    forced.show(film, 1.0)
    assert len(forced.sitting.views) == 1


def test_without_varied_every_good_view_counts_half_a_second_apart(enroller: Enroller) -> None:
    chair = Chair(enroller, most=3, varied=False)
    chair.show(sitter(), 5.0)
    assert len(chair.sitting.views) == 3
    assert chair.time - 1000 == pytest.approx(1.1, abs=0.11)


def test_its_time_ends_it_with_what_there_is(enroller: Enroller) -> None:
    chair = Chair(enroller, timeout=3.0)
    chair.show(sitter(), 10.0)
    assert chair.time - 1000 < 3.3
    assert len(chair.sitting.end()) == 1


def test_a_sitting_without_a_view_ends_in_one_line(enroller: Enroller) -> None:
    chair = Chair(enroller, timeout=3.0)
    chair.show("unplugged", 10.0)
    with pytest.raises(CameraError, match=r"^no usable view within 3 s; last: the camera gives no picture: unplugged$"):
        chair.sitting.end()


def test_a_name_that_is_none_is_refused_at_once(enroller: Enroller) -> None:
    with pytest.raises(GalleryError):
        EnrollmentSession(enroller, "\n")


def test_two_sittings_at_once_do_not_give_one_face_two_names(enroller: Enroller) -> None:
    views = [enroller.judge("image", sitter(), name) for name in ("Anna", "Bob")]
    enroller.keep("Anna", views[:1])
    with pytest.raises(GalleryError, match="enrolled as 'Anna' meanwhile"):
        enroller.keep("Bob", views[1:])
    assert enroller.keep("Bob", views[1:], force=True).name == "Bob"
