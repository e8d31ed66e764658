"""Many reloads with other settings each time: does the daemon keep anything of what it had before?"""

import json
import signal
import time
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import psutil
from fixtures.broker import eventually, free_port
from fixtures.optional import needed

from .rig import Rig
from .soak import GRAIN, slope

WARM_UP = 100
"""Reloads, or a quarter of them, in which caches and the allocator's heaps fill."""
LEVELS = 6
"""Parts of the run of which the median memory is told."""
STEADY = {"fds": 2, "threads": 1}
"""By how many of these the second half of a run may have more than the first: connections come and go."""


@dataclass(frozen=True)
class Sample:
    """The daemon after a number of reloads."""

    reloads: int
    rss_mb: float
    fds: int
    threads: int


def changes(port: int) -> list[tuple[str, list[dict[str, Any]]]]:
    """For each kind of reload the section that changes, and the values that it takes in turn."""
    return [
        ("detector", [{"max_side": 640}, {"max_side": 480}]),
        ("matching", [{"margin": 0.05}, {"margin": 0.06}]),
        ("presence", [{"unknown_after": 8}, {"unknown_after": 9}]),
        ("mqtt", [{"keepalive": 20}, {"keepalive": 21}]),
        ("homeassistant", [{"enabled": False}, {"enabled": True}]),
        ("web", [{"enabled": False}, {"enabled": True, "port": port, "pictures": True, "unknown": True}]),
        ("camera", [{"width": 640, "height": 480}, {"width": 320, "height": 240}]),
        ("liveness", [{"mode": "off"}, {"mode": "report"}]),
        ("metrics", [{"port": 0}, {"port": free_port()}]),
        ("commands", [{"allow": []}, {"allow": ["people"]}]),
    ]


def reload(rig: Rig, times: int, table: TextIO | None = None) -> list[Sample]:
    """Samples of a daemon that reads its settings so often, one section changed each time; somebody comes and goes."""
    rig.settle()
    process = psutil.Process(needed(rig.supervisor.process).pid)
    sections: dict[str, dict[str, Any]] = {}
    samples: list[Sample] = []
    kinds = changes(free_port())
    for number in range(times + 1):
        if number:
            section, values = kinds[number % len(kinds)]
            sections[section] = values[(number // len(kinds) + 1) % len(values)]
            rig.camera.scene = "face" if number // 2 % 2 else "nobody"
            rig.write(**sections)
            before = rig.supervisor.readies
            rig.supervisor.signal(signal.SIGHUP)
            assert eventually(lambda: rig.supervisor.readies > before, 60), rig.supervisor.log()[-2000:]  # noqa: B023
            time.sleep(0.3)
        memory = process.memory_info().rss / 1e6
        samples.append(Sample(number, memory, process.num_fds(), process.num_threads()))
        if table:
            table.write("{} {:.1f} {} {}\n".format(*astuple(samples[-1])))
    return samples


def verdict(samples: list[Sample], starts: int) -> tuple[dict[str, Any], list[str]]:
    """The figures of a run, and what is wrong with them: the slope of the memory must be within its noise."""
    warm = min(WARM_UP, samples[-1].reloads // 4)
    steady = [sample for sample in samples if sample.reloads >= warm]
    numbers, memory = (np.array([getattr(sample, name) for sample in steady], float) for name in ("reloads", "rss_mb"))
    rise, error = (1000 * value for value in slope(numbers, memory))
    figures = {
        "reloads": samples[-1].reloads,
        "rss_mb_first": round(samples[0].rss_mb, 1),
        "rss_mb_warm": round(memory[0], 1),
        "rss_mb_levels": [round(float(np.median(part)), 1) for part in np.array_split(memory, LEVELS)],
        "rss_mb_most": round(float(memory.max()), 1),
        "rss_mb_a_thousand": round(rise, 2),
        "rss_error_mb_a_thousand": round(error, 2),
        "starts": starts,
    }
    noise = 3 * error + 1000 * GRAIN / (numbers[-1] - numbers[0])
    wrong = [f"memory grows by {rise:.2f} MB in a thousand reloads, {noise:.2f} is noise"] if rise > noise else []
    for name, spare in STEADY.items():
        first, second = (max(getattr(sample, name) for sample in half) for half in _halves(steady))
        figures[name] = [first, second]
        wrong += [f"{name} grew from {first} to {second}"] if second > first + spare else []
    wrong += [f"the daemon was started {starts} times"] if starts != 1 else []
    return figures, wrong


def _halves(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    return samples[: len(samples) // 2], samples[len(samples) // 2 :]


def run(rig: Rig, times: int, file: Path | None) -> bool:
    """Reload, print the figures as JSON; whether all is well."""
    with file.open("w", buffering=1) if file else nullcontext() as table:
        samples = reload(rig, times, table)
    figures, wrong = verdict(samples, rig.supervisor.starts)
    print(json.dumps(figures | {"wrong": wrong}, indent=1))
    return not wrong
