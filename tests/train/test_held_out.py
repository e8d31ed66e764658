"""Held-out people in LFW's layout: those whom training holds out, and pairs that ``read_pairs`` reads."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs edgeface[train]")

from edgeface.errors import DataError
from train.evaluation.held_out import FOLDS, write
from train.evaluation.pairs import find_photo, read_pairs
from train.prepare import is_validation


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Forty people who are held out, of two to five photos, and as many who are not."""
    names = [f"{number:04}" for number in range(2000)]
    for wanted in (True, False):
        for place, name in enumerate([name for name in names if is_validation(f"people/{name}") == wanted][:40]):
            for photo in range(2 + place % 4):
                path = tmp_path / "people" / name / f"{photo}.webp"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{name} {photo}".encode())
    return tmp_path / "people"


def test_held_out_people_have_pairs_and_no_person_is_in_two_folds(people: Path, tmp_path: Path) -> None:
    count, made = write(people, tmp_path / "out")
    assert count == 40
    assert {path.name for path in (tmp_path / "out/images").iterdir()} == {
        path.name for path in people.iterdir() if is_validation(f"people/{path.name}")
    }
    pairs = read_pairs(tmp_path / "out/pairs.txt")
    assert len(pairs.same) == made
    assert pairs.same.sum() == made / 2
    sides = np.array([[name.split("/")[0] for name in side] for side in (pairs.left, pairs.right)])
    assert ((sides[0] == sides[1]) == pairs.same).all()
    inside = [set(sides[:, pairs.folds == fold].ravel()) for fold in range(FOLDS)]
    assert sum(map(len, inside)) == len(set.union(*inside))
    assert len(set(zip(pairs.left, pairs.right, strict=True))) == made
    for name in {*pairs.left, *pairs.right}:
        person, number = name.split("/")[0], int(name[-4:])
        assert find_photo(tmp_path / "out/images", name).read_bytes() == f"{person} {number - 1}".encode()


def test_too_few_held_out_people_are_told(people: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 held-out people with two photos or more, 20 are needed"):
        write(people, tmp_path / "out", 5)
    assert not (tmp_path / "out").exists()
