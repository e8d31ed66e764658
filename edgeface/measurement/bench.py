"""Times each step on this machine, on one thread, beside other networks on the same chips."""

import os
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeface import detectors
from edgeface.config.schema import MatchingSettings
from edgeface.gallery.contents import Templates
from edgeface.measurement.baselines import Peer
from edgeface.platform import environment
from edgeface.recognition.matching import Matcher
from edgeface.types import Image, Person
from edgeface.vision.alignment import align
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image
from edgeface.vision.model_card import SHIPPED, ModelCard

PHOTO = "obama_portrait.jpg"
WIDTH, HEIGHT = 640, 480
GALLERIES = (10, 1000)
WARM_UP = 10
BLAS_THREADS = "OPENBLAS_NUM_THREADS"


@dataclass(frozen=True, slots=True)
class Timing:
    """The fastest round and percentiles over all rounds, in microseconds."""

    name: str
    min: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class PeerTiming(Timing):
    """The timing of another network's embedding.

    ``ratio`` is our fastest embedding over its fastest: other load on the machine delays long calls more than short ones, and
    would distort a ratio of medians.
    """

    runtime: str
    bytes: int
    ratio: float


@dataclass(frozen=True, slots=True)
class Report:
    """The machine, the network and the timings of the steps of a frame, then those of the peers.

    ``cpu_share`` is processor time over time: below 1, the machine was busy with other things and the figures are too high.
    """

    machine: dict[str, str | int]
    model: dict[str, Any]
    rounds: int
    cpu_share: float
    steps: list[Timing]
    peers: list[PeerTiming]


def restart_on_one_thread() -> None:
    """Start this process anew with a numpy that uses one thread: its BLAS reads the variable when it is loaded."""
    if environment.force(BLAS_THREADS, "1"):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def measure(folder: Path = SHIPPED, rounds: int = 200, peers: Sequence[Peer] = ()) -> Report:
    """Time the steps on a bundled photo as a frame of 640 x 480, with the default settings, and the peers on its chip.

    Galleries are of random people with one template each. A template takes two passes of the network, an embedding one.
    Raise ``ModelError`` if the network cannot be used.
    """
    cv2.setNumThreads(1)
    embedder, detector = Embedder(folder), detectors.create()
    frame = _frame()
    face = detector.detect(frame)[0]
    chip = align(frame, face.landmarks)
    probe = embedder.embed(chip).vector
    calls: dict[str, Callable[[], object]] = {
        "detect": partial(detector.detect, frame),
        "align": partial(align, frame, face.landmarks),
        "embed": partial(embedder.embed, chip),
        "template": partial(embedder.template, chip),
    }
    for people in GALLERIES:
        calls[f"match {people}"] = partial(_matcher(embedder.card, people).match, probe)
    timings, cpu_share = time_calls(calls | {peer.name: partial(peer.embed, chip) for peer in peers}, rounds)
    beside = []
    for peer in peers:
        timing = timings[peer.name]
        ratio = round(timings["embed"].min / timing.min, 3)
        beside.append(PeerTiming(**asdict(timing), runtime=peer.runtime, bytes=peer.bytes, ratio=ratio))
    card = embedder.card
    model = {"digest": card.digest, "bytes": card.encoder.bytes, "multiply_adds": card.cost.get("multiply_adds")}
    return Report(_machine(embedder.runtime), model, rounds, cpu_share, [timings[name] for name in calls], beside)


def time_calls(calls: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, Timing], float]:
    """Return the timing of each call, and processor time over time.

    Every round makes every call once, so that a busy machine slows all alike, and in a new order, so that no call always finds
    the caches as the same other call has left them.
    """
    taken: dict[str, list[int]] = {name: [] for name in calls}
    order = random.Random(0)
    began, used = time.perf_counter(), time.process_time()
    for _ in range(WARM_UP + rounds):
        for name in order.sample(list(calls), len(calls)):
            call = calls[name]
            started = time.perf_counter_ns()
            call()
            taken[name].append(time.perf_counter_ns() - started)
    cpu_share = (time.process_time() - used) / (time.perf_counter() - began)
    found = {name: np.percentile(times[WARM_UP:], (0, 50, 90, 99)) / 1000 for name, times in taken.items()}
    return {name: Timing(name, *np.round(us, 1).tolist()) for name, us in found.items()}, round(cpu_share, 3)


def _frame() -> Image:
    """Return the photo as a camera might see it: whole, in the middle of a black frame."""
    photo = load_image(Path(__file__).parent.parent / "demo" / "photos" / PHOTO)
    height, width = photo.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    place = np.array([[scale, 0, (WIDTH - scale * width) / 2], [0, scale, (HEIGHT - scale * height) / 2]])
    return np.asarray(cv2.warpAffine(photo, place, (WIDTH, HEIGHT), flags=cv2.INTER_AREA), np.uint8)


def _matcher(card: ModelCard, people: int) -> Matcher:
    vectors = np.random.default_rng(0).normal(size=(people, card.identity)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    persons = tuple(Person(f"p_{number:016x}", f"Person {number}", 1, 0.0) for number in range(people))
    return Matcher(Templates(persons, np.arange(people), vectors), card, MatchingSettings())


def _machine(runtime: str) -> dict[str, str | int]:
    """Describe the machine and its software; ``runtime`` is the TFLite runtime that edgeface prefers of those installed."""
    return {
        "cpu": processor(),
        "arch": platform.machine(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "runtime": f"{runtime} {version(runtime)}",
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }


def processor() -> str:
    """Return the name of the board if the kernel knows it, as on a Raspberry Pi, else that of the processor."""
    board, cpus = Path("/proc/device-tree/model"), Path("/proc/cpuinfo")
    if board.is_file():
        return board.read_text(errors="replace").strip("\0\n")
    lines = cpus.read_text().splitlines() if cpus.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
