"""``python -m tests.load.people``: what a gallery of many people costs; prints a Markdown table."""

import argparse
import os
import platform
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import psutil
from fixtures.commandline import Cli

from edgeface.config import schema
from edgeface.gallery.audit import Audit
from edgeface.gallery.encryption import Sealer
from edgeface.gallery.shared import SharedPerson, SharedTemplate
from edgeface.gallery.store import Gallery
from edgeface.gallery.versions import NEVER
from edgeface.recognition.pipeline import Pipeline
from edgeface.sync.messages import PersonSealer, digest
from edgeface.sync.replica import Replica
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import ModelCard

BATCH, SENT = 100, 20
SECRET, TOPIC = bytes(32), "edgeface/gallery/home"

T = TypeVar("T")


class Meter:
    """Times steps, and counts the records that each decrypts."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.decrypted, self._tell = 0, tell
        unseal = Sealer.unseal

        def counting(sealer: Sealer, sealed: bytes, kind: type[Any], *bound: str) -> Any:
            self.decrypted += 1
            return unseal(sealer, sealed, kind, *bound)

        Sealer.unseal = counting  # type: ignore[method-assign,assignment]  # counts what is decrypted

    def step(self, what: str, work: Callable[[], T]) -> T:
        """Tell what some work of this process took."""
        before, began, busy = self.decrypted, time.perf_counter(), time.process_time()
        result = work()
        self.row(what, time.perf_counter() - began, time.process_time() - busy, self.decrypted - before)
        return result

    def command(self, what: str, cli: Cli, *words: str | Path) -> None:
        """Tell what a command took."""
        before, began = _children(), time.perf_counter()
        subprocess.run(cli.command(*words), check=True, capture_output=True, cwd=cli.folder, env=cli.environment)
        self.row(what, time.perf_counter() - began, _children() - before)

    def row(self, what: str, wall: float, busy: float, decrypted: int | None = None) -> None:
        self._tell(f"| {what} | {wall:,.2f} | {busy:,.2f} | {'' if decrypted is None else f'{decrypted:,}'} |")


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def crowd(people: int, templates: int, dimensions: int, seed: int = 0) -> Iterator[tuple[str, SharedPerson]]:
    """Copies of people with random templates, by id."""
    chance = np.random.default_rng(seed)
    for number in range(people):
        vectors = chance.normal(size=(templates, dimensions)).astype("<f4")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        traits = tuple(sorted(SharedTemplate(vector.tobytes(), 0.8, "") for vector in vectors))
        yield f"p_{seed:08x}{number:08x}", SharedPerson(f"Person {seed}/{number}", 1e9, traits, ())


def measure(cli: Cli, people: int, templates: int, tell: Callable[[str], None]) -> None:
    """Build a gallery, and tell what each use of it takes."""
    meter, embedder, path = Meter(tell), Embedder(), cli.gallery
    card = embedder.card
    with closing(Gallery(path, card.digest, card.identity)) as gallery:
        meter.step("write the gallery", lambda: gallery.exchange(lambda there: dict(crowd(people, templates, card.identity))))
    meter.command("`edgeface people list`", cli, "people", "list")
    daemon(cli, meter, tell)
    with closing(Gallery(path, card.digest, card.identity)) as gallery:
        eyes = meter.step("read it", lambda: Pipeline(schema.Config(), embedder, gallery))
        meter.command("`edgeface people rename`", cli, "people", "rename", "Person 0/7", "Anna")
        meter.step("the loop: notice that rename by another process", lambda: eyes.templates)
        with closing(Gallery(path, card.digest, card.identity)) as other:
            other.enroll("Anna", list(eyes.templates.vectors[:3]), [0.8] * 3)
        meter.step("the loop: notice that another process enrolled 3 templates", lambda: eyes.templates)
        shared(cli, meter, gallery, card, templates)
    export = cli.folder / "people.json"
    meter.command("`edgeface people export --plain`", cli, "people", "export", "--plain", export)
    path.parent.rename(cli.folder / "aside")
    meter.command("`edgeface people import` of that", cli, "people", "import", export)


def shared(cli: Cli, meter: Meter, gallery: Gallery, card: ModelCard, templates: int) -> None:
    """The shared gallery, as the daemon's loop follows it."""
    sealer = PersonSealer(SECRET, card.digest, TOPIC)
    replica = Replica(gallery, sealer, "door", 0.5, Audit(cli.folder / "audit.jsonl"))

    def settle() -> None:
        replica.take({})
        while replica.shared < len(gallery.people()):
            replica.take({})

    meter.step("sync: notice everybody, some at a time", settle)
    payloads = {}
    for person_id, copy in crowd(BATCH, templates, card.identity, seed=1):
        name = sealer.name(person_id)
        payloads[name] = sealer.seal(name, NEVER.next("gate", digest(copy)), person_id, copy, time.time())
    meter.step(f"sync: take {BATCH} new people in", lambda: replica.take(payloads))
    meter.step(f"sync: seal {SENT} people", lambda: replica.payloads(islice(replica.due(), SENT)))
    gallery.rename("Anna", "Anne")
    meter.step("sync: notice one edit", lambda: replica.take({}))


def daemon(cli: Cli, meter: Meter, tell: Callable[[str], None]) -> None:
    """A daemon before an empty scene."""
    scene = cli.folder / "scene"
    scene.mkdir()
    cv2.imwrite(str(scene / "0.png"), np.full((480, 640, 3), 127, np.uint8))
    cli.set(camera={"source": f"folder:{scene}", "hold": 3600})
    began = time.perf_counter()
    environment = cli.environment | {"XDG_RUNTIME_DIR": str(cli.folder)}
    with subprocess.Popen(cli.command("run"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        process = psutil.Process(running.pid)
        try:
            while True:
                used = process.cpu_times()
                if not subprocess.run(cli.command("status", "--json"), env=environment, capture_output=True).returncode:
                    break
            meter.row("`edgeface run` until `edgeface status` answers", time.perf_counter() - began, used.user + used.system)
            time.sleep(5)
            rss = process.memory_info().rss
            meter.command("`edgeface people rename` beside it", cli, "people", "rename", "Person 0/5", "Berta")
            time.sleep(5)
            tell(f"| its memory (RSS); after that rename | {rss / 1e6:.0f} MB; {process.memory_info().rss / 1e6:.0f} MB | | |")
        finally:
            running.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.people", description=__doc__)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--templates", type=int, default=5, help="of each")
    wanted = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    load = psutil.getloadavg()[0]
    print(f"Python {platform.python_version()}, {psutil.cpu_count()} cores, load before {load:.1f}\n")
    print(f"| {wanted.people:,} people with {wanted.templates} templates each | s | processor, s | records decrypted |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        measure(Cli(Path(folder)), wanted.people, wanted.templates, lambda row: print(row, flush=True))


if __name__ == "__main__":
    main()
