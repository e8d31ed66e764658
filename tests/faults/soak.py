"""A long run at full speed: does the daemon grow, leak, slow down, or lose anything?"""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from fixtures.optional import needed
from numpy.typing import NDArray

from .rig import Rig

WARM_UP = 900.0
"""Seconds, or a quarter of the soak, in which caches fill: SQLite's, the allocator's; the slope is of what comes after."""
GRAIN = 0.5
"""Megabytes by which two readings of the same memory may differ: an allocator gives and takes whole blocks."""
UNDERWAY = 1.2
"""Seconds of frames that may be between the camera and a reading, which is up to a second old."""
LEVELS = 6
"""Parts of the soak of which the median memory is told: growth is seen in all of them, a step in one."""
EVERY = 5.0
VISIT, PAUSE = 4.0, 8.0


@dataclass(frozen=True)
class Sample:
    """The daemon at one moment, ``seconds`` after the start of the soak."""

    seconds: float
    rss_mb: float
    fds: int
    threads: int
    fps: float
    seen: int
    dropped: int
    events_dropped: int
    sent: int


def soak(rig: Rig, minutes: float) -> tuple[list[Sample], int]:
    """Samples of a daemon before whom somebody comes and goes, and how many visits there were."""
    rig.settle()
    began, visits = time.monotonic(), 0
    samples: list[Sample] = []
    process = psutil.Process(needed(rig.supervisor.process).pid)
    while (now := time.monotonic() - began) < 60 * minutes:
        scene = "face" if now % (VISIT + PAUSE) < VISIT else "nobody"
        visits += scene == "face" and rig.camera.scene == "nobody"
        rig.camera.scene = scene
        if now >= EVERY * len(samples):
            with suppress(psutil.NoSuchProcess):
                samples.append(_sample(rig, process, now))
        time.sleep(0.1)
    rig.camera.scene = "nobody"
    time.sleep(4)
    return samples, visits


def _sample(rig: Rig, process: psutil.Process, now: float) -> Sample:
    told = rig.status()
    counts = told["fps"], told["frames_seen"], told["frames_dropped"], told["events_dropped"], rig.camera.sent
    return Sample(now, process.memory_info().rss / 1e6, process.num_fds(), process.num_threads(), *counts)


def verdict(samples: list[Sample], visits: int, recognized: int, starts: int, fps: float) -> tuple[dict[str, Any], list[str]]:
    """The figures of a soak, and what is wrong with them: the slope of the memory must be within its noise."""
    steady = [sample for sample in samples if sample.seconds >= min(WARM_UP, samples[-1].seconds / 4)]
    hours = np.array([sample.seconds for sample in steady]) / 3600
    memory = np.array([sample.rss_mb for sample in steady])
    rise, error = slope(hours, memory)
    fds = [sample.fds for sample in steady]
    first, last = samples[0], samples[-1]
    figures = {
        "minutes": round(last.seconds / 60, 1),
        "camera_fps": fps,
        "frames": last.seen - first.seen,
        "frames_dropped": last.dropped - first.dropped,
        "frames_unexplained": (last.sent - first.sent) - (last.seen - first.seen) - (last.dropped - first.dropped),
        "fps_median": round(float(np.median([sample.fps for sample in steady])), 2),
        "rss_mb_first": round(memory[0], 1),
        "rss_mb_last": round(memory[-1], 1),
        "rss_mb_levels": [round(float(np.median(part)), 1) for part in np.array_split(memory, LEVELS) if len(part)],
        "rss_mb_an_hour": round(rise, 2),
        "rss_error_mb_an_hour": round(error, 2),
        "fds": [min(fds), max(fds)],
        "fds_first_last": [fds[0], fds[-1]],
        "threads": [min(sample.threads for sample in steady), max(sample.threads for sample in steady)],
        "visits": visits,
        "recognized": recognized,
        "events_dropped": last.events_dropped,
        "starts": starts,
    }
    limit = 3 * error + GRAIN / (hours[-1] - hours[0])
    wrong = [
        what
        for what, is_wrong in {
            f"memory grows by {rise:.2f} MB an hour, {limit:.2f} is noise": rise > limit,
            f"file descriptors grew from {fds[0]} to {fds[-1]}": fds[-1] > fds[0] + 2,
            f"{figures['frames_unexplained']} frames were neither seen nor counted as dropped": abs(
                figures["frames_unexplained"]
            )
            > UNDERWAY * fps,
            f"{last.events_dropped} events were dropped": last.events_dropped,
            f"{visits} visits, {recognized} recognized": visits != recognized,
            f"the daemon was started {starts} times": starts != 1,
        }.items()
        if is_wrong
    ]
    return figures, wrong


def slope(x: NDArray[np.floating[Any]], y: NDArray[Any]) -> tuple[Any, float]:
    """Least squares, with the slope's standard error for neighbours that are not independent of each other."""
    rise, offset = np.polyfit(x, y, 1)
    rest = y - rise * x - offset
    memory = float(np.clip(np.corrcoef(rest[:-1], rest[1:])[0, 1], 0.0, 0.99)) if rest.std() > 0 else 0.0
    effective = max(3.0, len(x) * (1 - memory) / (1 + memory))
    return rise, float(rest.std() / (x.std() * np.sqrt(effective)))


def draw(samples: list[Sample]) -> Any:
    """Memory, frames a second and file descriptors over the minutes, one above the other, as a figure of matplotlib's."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    minutes = [sample.seconds / 60 for sample in samples]
    curves: dict[str, list[float]] = {
        "memory, MB": [sample.rss_mb for sample in samples],
        "frames a second": [sample.fps for sample in samples],
        "file descriptors": [float(sample.fds) for sample in samples],
    }
    figure = Figure(figsize=(9, 6))
    panels = figure.subplots(len(curves), 1, sharex=True)
    for axes, (name, values) in zip(panels, curves.items(), strict=True):
        axes.plot(minutes, values, linewidth=1.5)
        axes.set(ylabel=name, xlim=(minutes[0], minutes[-1]), ylim=(0, 1.15 * max(values)))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.text(1.01, values[-1], f"{values[-1]:.0f}", transform=axes.get_yaxis_transform(), va="center")
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("minutes since the start")
    figure.align_ylabels(panels)
    figure.suptitle(f"edgeface run over {minutes[-1]:.0f} minutes")
    figure.tight_layout()
    return figure


def run(rig: Rig, minutes: float, picture: Path | None) -> bool:
    """Soak, draw, print the figures as JSON; whether all is well."""
    began = time.time()
    samples, visits = soak(rig, minutes)
    figures, wrong = verdict(samples, visits, rig.recognized(began), rig.supervisor.starts, rig.camera.fps)
    if picture:
        draw(samples).savefig(picture, dpi=100, metadata={"Software": None})
    print(json.dumps(figures | {"wrong": wrong}, indent=1))
    return not wrong
