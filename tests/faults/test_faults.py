"""The short form: a few faults, one after the other, on one daemon; ``python -m tests.faults table`` tries all of them."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from fixtures.broker import needs_broker

from . import reloads
from .faults import FAULTS, Fault, run
from .rig import Rig
from .soak import Sample, draw, verdict

SHORT = ("broker killed", "camera stalls", "camera sends broken JPEGs", "kill -9", "SIGTERM")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    running = Rig(tmp_path_factory.mktemp("faults"), restart=0.2)
    yield running
    running.close()


@pytest.mark.slow
@needs_broker
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in SHORT], ids=lambda fault: fault.name)
def test_a_fault_is_told_survived_and_leaves_no_trace(rig: Rig, fault: Fault) -> None:
    run(rig, fault)


def samples(**slopes: float) -> list[Sample]:
    """Half an hour of a daemon whose figures grow by so much an hour."""
    steady: dict[str, Any] = {
        "rss_mb": 150.0,
        "fds": 15,
        "threads": 6,
        "fps": 10.0,
        "seen": 0,
        "dropped": 0,
        "events_dropped": 0,
        "sent": 0,
    }
    hours = [number / 720 for number in range(360)]
    grown = [{name: value + type(value)(hour * slopes.get(name, 0)) for name, value in steady.items()} for hour in hours]
    return [Sample(3600 * hour, **values) for hour, values in zip(hours, grown, strict=True)]


@pytest.mark.parametrize(
    ("slopes", "visits", "wrong"),
    [
        ({"seen": 36000, "sent": 36000}, 100, ""),
        ({"rss_mb": 5.0}, 100, "memory grows by 5.00 MB an hour"),
        ({"fds": 20}, 100, "file descriptors grew"),
        ({"seen": 30000, "dropped": 5000, "sent": 36000}, 100, "frames were neither seen nor counted"),
        ({"events_dropped": 3}, 100, "events were dropped"),
        ({}, 101, "101 visits, 100 recognized"),
    ],
)
def test_a_soak_finds_what_grows_and_what_is_missing(slopes: dict[str, float], visits: int, wrong: str) -> None:
    found = verdict(samples(**slopes), visits, 100, 1, 10.0)[1]
    assert [wrong in line for line in found] == [True] * bool(wrong)


def test_a_soak_is_drawn_with_names_and_whole_numbers_from_its_first_minute_on() -> None:
    pytest.importorskip("matplotlib", reason="needs edgeface[train]")
    taken = samples(rss_mb=5.0)[12:]
    figure = draw(taken)
    assert figure.get_suptitle() == "edgeface run over 30 minutes"
    assert [axes.get_ylabel() for axes in figure.axes] == ["memory, MB", "frames a second", "file descriptors"]
    assert figure.axes[-1].get_xlabel() == "minutes since the start"
    for axes in figure.axes:
        assert axes.get_xlim() == (1.0, pytest.approx(taken[-1].seconds / 60))
        assert all(tick == round(tick) for tick in axes.get_yticks())
        assert len(axes.get_yticks()) >= 3


@pytest.mark.slow
@needs_broker
def test_a_daemon_that_is_reloaded_again_and_again_goes_on(rig: Rig) -> None:
    """With each kind of change once, and back."""
    rig.settle()
    starts = rig.supervisor.starts
    samples = reloads.reload(rig, 20)
    rig.write()
    rig.supervisor.signal(signal.SIGHUP)
    rig.settle()
    assert rig.recognizes()
    assert rig.supervisor.starts == starts
    assert max(sample.fds for sample in samples) <= samples[0].fds + 12  # page and metrics, and their clients


@pytest.mark.parametrize(
    ("slopes", "wrong"),
    [
        ({}, []),
        ({"rss_mb": 20.0}, ["memory grows by 20.00 MB in a thousand reloads"]),
        ({"fds": 30}, ["fds grew from"]),
        ({"threads": 10}, ["threads grew from"]),
    ],
)
def test_reloads_find_what_grows(slopes: dict[str, float], wrong: list[str]) -> None:
    steady: dict[str, Any] = {"rss_mb": 130.0, "fds": 20, "threads": 7}
    samples = [
        reloads.Sample(n, **{name: value + type(value)(n / 1000 * slopes.get(name, 0)) for name, value in steady.items()})
        for n in range(1000)
    ]
    found = reloads.verdict(samples, 1)[1]
    assert [line for line, start in zip(found, wrong, strict=True) if not line.startswith(start)] == []
