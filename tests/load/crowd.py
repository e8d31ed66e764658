"""Prints a Markdown table: what a frame costs tracks and presence when a crowd is in it."""

import argparse
import platform
import time

import numpy as np
from numpy.random import Generator

from edgeface.config import schema
from edgeface.gallery.contents import Templates
from edgeface.recognition.matching import Matcher
from edgeface.recognition.presence import Presence
from edgeface.types import Box, Embedding, Face, Frame, Observation, Person, Vector
from edgeface.vision.model_card import SHIPPED, load_card

KNOWN = 10
WIDTH = 20.0
IMAGE = np.zeros((480, 640, 3), np.uint8)


def crowd(faces: int, frames: int, strange: bool) -> tuple[list[float], int]:
    """Milliseconds of processor time of each frame, and the most tracks at a time; ``strange`` has others in each frame."""
    random, card = np.random.default_rng(0), load_card(SHIPPED)
    matcher = Matcher(
        Templates(tuple(map(person, range(KNOWN))), np.arange(KNOWN), units(random, KNOWN)), card, schema.MatchingSettings()
    )
    presence = Presence(schema.Config(), card)
    steady, took, most = units(random, faces), [], 0
    for number in range(frames):
        shown = [seen(place, vector, matcher) for place, vector in enumerate(units(random, faces) if strange else steady)]
        began = time.process_time()
        presence.update(Frame(IMAGE, number / 10, number / 10), shown, matcher)
        took.append(1000 * (time.process_time() - began))
        most = max(most, len(presence._tracker.tracks))
    return took, most


def person(number: int) -> Person:
    return Person(f"p_{number}", f"number {number}", 1, 0.0)


def units(random: Generator, count: int) -> Vector:
    vectors = random.normal(size=(count, 128)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def seen(place: int, vector: Vector, matcher: Matcher) -> Observation:
    face = Face(Box(WIDTH * place, 10.0, WIDTH, WIDTH), np.zeros((5, 2), np.float32), 0.9)
    return Observation(face, 0.8, Embedding(vector, 1.0), matcher.match(vector))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.crowd", description=__doc__)
    parser.add_argument("--faces", type=int, default=30)
    parser.add_argument("--frames", type=int, default=200)
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {given.frames} frames, {KNOWN} people enrolled\n")
    print("| crowd | mean, ms | median | longest | tracks at most |\n| --- | --- | --- | --- | --- |")
    for name, strange in ((f"{given.faces} faces that stay", False), (f"{given.faces} new faces in each frame", True)):
        took, most = crowd(given.faces, given.frames, strange)
        print(f"| {name} | {np.mean(took):.1f} | {np.median(took):.1f} | {max(took):.1f} | {most} |")


if __name__ == "__main__":
    main()
