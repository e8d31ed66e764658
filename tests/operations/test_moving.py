"""Merges, splits and moves at the doors: whom they are refused for, what they tell, and what the audit log has."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.galleries import MODEL, enrolled, kept, near, one_line, unit
from fixtures.optional import needed
from fixtures.verdicts import confirm, reject
from fixtures.verdicts import context as made

from edgeface.config import schema
from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.store import Gallery
from edgeface.operations import moves
from edgeface.operations.context import OperationContext
from edgeface.operations.people import drop
from edgeface.types import Person
from edgeface.vision.model_card import ModelCard
from edgeface.wire import moves as wire
from edgeface.wire.commands import DropRequest

MATCHING = schema.MatchingSettings()


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    opened = Gallery(tmp_path / "gallery.db", MODEL)
    opened.bin.days = 30.0
    yield opened
    opened.close()


@pytest.fixture
def context(gallery: Gallery, card: ModelCard) -> OperationContext:
    return made(gallery, card, MATCHING)


def like(gallery: Gallery, name: str, whom: int, *seeds: int) -> Person:
    """Somebody whose views are like the vector of a number."""
    return gallery.enroll(name, [near(unit(whom), 0.8, seed) for seed in seeds], [0.8] * len(seeds))


def ids(gallery: Gallery, person: Person) -> list[str]:
    return [view.id for view in gallery.views(person.id)]


def names(gallery: Gallery) -> list[tuple[str, int]]:
    return [(person.name, person.templates) for person in gallery.people()]


def test_two_who_look_alike_are_merged(context: OperationContext, gallery: Gallery, tmp_path: Path) -> None:
    anna, ann = like(gallery, "Anna", 90, 1, 2, 3), like(gallery, "Ann", 90, 4, 5)
    done = moves.merge(context, wire.MergeRequest(person="Ann", into=anna.id))
    assert (done.id, done.templates, done.told) == (anna.id, 5, "Ann is merged into Anna; Anna has 5 views")
    (listed,) = moves.list_bin(context, wire.BinRequest()).changes
    assert (listed.change, listed.told, set(listed.people)) == (done.change, "Ann was merged into Anna", {anna.id, ann.id})
    assert listed.until > listed.ts
    undone = moves.undo(context, wire.UndoRequest())
    assert (undone.id, undone.back, undone.lost, undone.told) == (ann.id, 2, 0, "undone: Ann was merged into Anna")
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(line["action"], line["person"]) for line in lines] == [("merge", ann.id), ("undo", ann.id)]
    assert (lines[0]["into"], lines[0]["change"]) == (anna.id, done.change)


def test_two_who_do_not_look_alike_are_merged_by_force_only(context: OperationContext, gallery: Gallery) -> None:
    enrolled(gallery, "Anna", 1, 2)
    enrolled(gallery, "Bert", 3, 4)
    with pytest.raises(GalleryError, match=r"Bert and Anna do not look alike, score 0\.\d+ \(needs 0\.\d+\); force") as caught:
        moves.merge(context, wire.MergeRequest(person="Bert", into="Anna"))
    one_line(caught)
    assert names(gallery) == [("Anna", 2), ("Bert", 2)]
    assert moves.merge(context, wire.MergeRequest(person="Bert", into="Anna", force=True)).templates == 4
    with pytest.raises(ConfigError, match="that is one person, Anna, already"):
        moves.merge(context, wire.MergeRequest(person="Anna", into="Anna"))
    with pytest.raises(GalleryError, match="nobody called 'Bert'"):
        moves.merge(context, wire.MergeRequest(person="Bert", into="Anna"))


def test_a_face_of_theirs_that_was_rejected_as_the_other_does_not_lock_them_out(
    context: OperationContext, gallery: Gallery, card: ModelCard
) -> None:
    like(gallery, "Anna", 90, 1, 2, 3)
    ann = gallery.enroll("Ann", [near(unit(90), 0.6, 20)], [0.8])
    reject(gallery, MATCHING, kept(gallery, ann, unit(90)).event_id, force=True)
    stranger = kept(gallery, ann, near(near(unit(90), 0.6, 20), 0.7, 30))
    reject(gallery, MATCHING, stranger.event_id)
    moves.merge(context, wire.MergeRequest(person="Ann", into="Anna", force=True))
    (negative,) = gallery.templates().negatives
    assert negative @ stranger.embedding > 0.99
    again = kept(gallery, gallery.find("Anna"), near(unit(90), 0.95))
    assert confirm(gallery, card, MATCHING, again.event_id).name == "Anna"


def test_a_view_is_moved_to_whom_it_is_most_like(context: OperationContext, gallery: Gallery) -> None:
    anna, bert = like(gallery, "Anna", 90, 1, 2, 3), like(gallery, "Bert", 91, 4, 5)
    like(gallery, "Anna", 91, 6)
    listed = moves.list_views(context, wire.ViewsRequest(person="Anna")).views
    assert [needed(view.like).name if view.like else None for view in listed] == [None, None, None, "Bert"]
    assert needed(listed[3].score) < needed(listed[0].score)
    own, stray = listed[0].id, listed[3].id
    with pytest.raises(GalleryError, match="this view is nearer to Anna than to Bert; force"):
        moves.move(context, wire.MoveRequest(views=[own, stray], to="Bert"))
    done = moves.move(context, wire.MoveRequest(views=[stray], to="Bert"))
    assert (done.id, done.told) == (bert.id, "1 view of Anna moved; Bert has 3 views")
    moves.move(context, wire.MoveRequest(views=[own], to="Bert", force=True))
    assert names(gallery) == [("Anna", 2), ("Bert", 4)]
    with pytest.raises(GalleryError, match="these are all views of Anna: merge"):
        moves.move(context, wire.MoveRequest(views=ids(gallery, anna), to="Bert", force=True))
    with pytest.raises(ConfigError, match="views of Anna already"):
        moves.move(context, wire.MoveRequest(views=ids(gallery, anna)[:1], to="Anna"))
    with pytest.raises(GalleryError, match="Anna has no view"):
        moves.move(context, wire.MoveRequest(views=[ids(gallery, anna)[0], ids(gallery, bert)[0]], to="Bert"))
    with pytest.raises(GalleryError, match="there is no view '00000000'"):
        moves.move(context, wire.MoveRequest(views=["00000000"], to="Bert"))


def test_views_are_split_off_as_somebody_new(context: OperationContext, gallery: Gallery) -> None:
    anna = like(gallery, "Anna", 90, 1, 2, 3)
    like(gallery, "Anna", 91, 4, 5)
    views = ids(gallery, anna)
    with pytest.raises(GalleryError, match="this view passes for Anna; force"):
        moves.split(context, wire.SplitRequest(views=[views[0]], name="Bert"))
    with pytest.raises(GalleryError, match="'anna' differs from it only"):
        moves.split(context, wire.SplitRequest(views=views[3:], name="anna"))
    with pytest.raises(GalleryError, match="'Anna' is already enrolled"):
        moves.split(context, wire.SplitRequest(views=views[3:], name="Anna", force=True))
    done = moves.split(context, wire.SplitRequest(views=views[3:], name=" Bert "))
    assert done.told == "2 views of Anna split off as Bert; Bert has 2 views"
    assert names(gallery) == [("Anna", 3), ("Bert", 2)]
    assert moves.undo(context, wire.UndoRequest(change=done.change)).back == 2
    assert names(gallery) == [("Anna", 5)]
    assert sorted(ids(gallery, gallery.find("Anna"))) == sorted(views)


def test_a_dropped_view_comes_back_until_the_bin_is_empty(context: OperationContext, gallery: Gallery) -> None:
    anna = like(gallery, "Anna", 90, 1, 2)
    first, second = ids(gallery, anna)
    dropped = drop(context, DropRequest(template=first))
    assert moves.undo(context, wire.UndoRequest(change=dropped.change)).told == "undone: 1 view of Anna deleted"
    drop(context, DropRequest(template=second))
    assert moves.empty_bin(context, wire.EmptyBinRequest()).changes == 1
    with pytest.raises(GalleryError, match="there is nothing to undo"):
        moves.undo(context, wire.UndoRequest())
    assert moves.list_bin(context, wire.BinRequest()).changes == []
