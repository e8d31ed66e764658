"""Counts how often the cause that is planted in a visit is the cause that is told: ``python tests/explained.py``."""

import tempfile
from pathlib import Path

from fixtures.frames import Door
from fixtures.planted import planted

from edgeface.config.schema import Config
from edgeface.recognition.presence import Presence
from edgeface.types import Frame, Reason

PEOPLE = {"Obama": ["obama_portrait.jpg", "obama_congress.jpg"], "Biden": ["biden_blue_room.jpg"]}
VISITORS = ("obama_press_room.jpg", "obama_blue_room.jpg", "biden_portrait.jpg", "collins_portrait.jpg")
STRENGTHS = {
    Reason.SMALL: (80, 70, 60, 50, 45),
    Reason.DARK: (0.25, 0.2, 0.15, 0.12, 0.1, 0.08),
    Reason.BRIGHT: (20, 60, 100),
    Reason.BLURRED: (2, 3, 4, 5, 6, 8),
    Reason.TURNED: (30, -30, 40, -40, 45, 50, -50, 55, 60),
}


def main() -> None:
    right = total = 0
    with tempfile.TemporaryDirectory() as folder:
        door = Door(Path(folder), PEOPLE)
        for cause, strengths in STRENGTHS.items():
            for strength in strengths:
                for visitor in VISITORS:
                    image = planted(visitor, cause, strength)
                    faces = door.pipeline.detector.detect(image)
                    seen, small = door.pipeline.observe(image, faces), door.pipeline.too_small(faces)
                    door.presence, events = Presence(Config(), door.pipeline.embedder.card), []
                    for _ in range(12):
                        door.time += 0.1
                        moment = Frame(image, door.time, 1e9 + door.time)
                        events += door.presence.update(moment, seen, door.pipeline.matcher, small)
                    for event in [*events, *door.wait(6)]:
                        if event.doubt:
                            total += 1
                            right += cause in (event.doubt.reason, event.doubt.flaw)
                            if cause not in (event.doubt.reason, event.doubt.flaw):
                                print(f"{cause} {strength:g}, {visitor}: {event.doubt.reason}")
    print(f"{total} visits without a name, for {right} the planted cause was told")


if __name__ == "__main__":
    main()
