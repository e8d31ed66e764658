from pathlib import Path
from typing import Any

import pytest

from edgeface.platform.machine import Throttling, memory_tight, throttling


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("place", ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware"])
@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("0\n", Throttling((), ())),
        ("50005\n", Throttling(("under-voltage", "throttled"), ("under-voltage", "throttled"))),
        ("0x80002", Throttling(("frequency capped",), ("temperature limit",))),
        ("nonsense", None),
    ],
)
def test_a_pi_says_what_slows_it_down_now_and_did_before(
    tmp_path: Path, place: str, word: str, told: Throttling | None
) -> None:
    write(tmp_path / "devices/platform" / place / "get_throttled", word)
    assert throttling(tmp_path) == told


def test_a_pi_without_that_file_has_a_voltage_sensor(tmp_path: Path) -> None:
    write(tmp_path / "class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path / "class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    write(tmp_path / "class/hwmon/hwmon0/name", "another\n")
    write(tmp_path / "class/hwmon/hwmon0/in0_lcrit_alarm", "1\n")
    assert throttling(tmp_path) == Throttling(("under-voltage",), ())
    write(tmp_path / "class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    assert throttling(tmp_path) == Throttling((), ())


def test_other_machines_say_nothing(tmp_path: Path) -> None:
    assert throttling(tmp_path) is None


MIB = 2**20


def machine(folder: Path, *, available: int = 900, groups: tuple[()] | list[Any] = (), version: int = 2) -> str | None:
    """The files of a machine of 1,000 MiB; a group has (limit, used, of it cached) in MiB, the outermost first."""
    write(folder / "proc/meminfo", f"MemTotal: {1000 * 1024} kB\nMemFree: 5 kB\nMemAvailable: {available * 1024} kB\n")
    place = "/".join(["", *(f"group{number}" for number in range(len(groups)))])
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    write(folder / "proc/self/cgroup", f"0::{place or '/'}\n" if version == 2 else f"5:cpu:/\n4:memory:{place or '/'}\n0::/\n")
    at = folder / "sys/fs/cgroup" / ("" if version == 2 else "memory")
    for number, (limit, used, cached) in enumerate(groups):
        at = at / f"group{number}"
        write(at / names[0], f"{limit * MIB if limit else 'max'}\n")
        write(at / names[1], f"{used * MIB}\n")
        write(at / "memory.stat", f"anon 1\ninactive_file {cached * MIB // 2}\nactive_file {cached * MIB // 2}\n")
    return memory_tight(folder / "sys", folder / "proc")


@pytest.mark.parametrize("version", [1, 2])
def test_a_control_group_that_is_nearly_full_is_tight_but_not_of_cached_files(tmp_path: Path, version: int) -> None:
    assert machine(tmp_path / "a", groups=[(256, 240, 0)], version=version) == "memory is tight: 252 of 268 MB in use"
    assert machine(tmp_path / "b", groups=[(256, 255, 100)], version=version) is None
    assert machine(tmp_path / "c", groups=[(256, 100, 0)], version=version) is None


def test_a_group_around_ours_counts_and_one_without_a_limit_does_not(tmp_path: Path) -> None:
    assert machine(tmp_path / "a", groups=[(256, 250, 0), (0, 90, 0)]) == "memory is tight: 262 of 268 MB in use"
    assert machine(tmp_path / "b", groups=[(0, 900, 0), (0, 900, 0)]) is None


def test_a_machine_with_little_left_is_tight(tmp_path: Path) -> None:
    assert machine(tmp_path / "a", available=20) == "memory is tight: 21 MB left"
    assert machine(tmp_path / "b", available=200) is None


def test_a_machine_that_says_nothing_is_not_tight(tmp_path: Path) -> None:
    assert memory_tight(tmp_path, tmp_path) is None
