"""What the machine says of itself: heat, supply, memory, clock."""

import ctypes
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SYS, PROC, RUN = Path("/sys"), Path("/proc"), Path("/run")
FIRMWARE = "devices/platform/soc*/*firmware/get_throttled"
FLAGS = ("under-voltage", "frequency capped", "throttled", "temperature limit")
"""Bits 0 to 3 of the word of a Raspberry Pi's firmware; bits 16 to 19 are the same since it was started."""
FULL = 0.9
"""Share of a control group's memory that may be in use."""
LEFT = 0.05
"""Share of the machine's memory that should be available."""

UNSET = 5
"""``adjtimex``'s answer for a clock that nobody has set, in timex.h."""
THIS_PROCESS = uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Throttling:
    """What slows a Raspberry Pi down: now, and at any time since it was started."""

    now: tuple[str, ...]
    before: tuple[str, ...]


def temperature() -> float | None:
    """The hottest sensor, in degrees Celsius, where there is one."""
    readings = [sensor.current for sensors in getattr(psutil, "sensors_temperatures", dict)().values() for sensor in sensors]
    return max(readings, default=None)


def throttling(sys: Path = SYS) -> Throttling | None:
    """What a Raspberry Pi's firmware, and its voltage sensor, tell; none on other machines."""
    word, known = 0, False
    for path in sys.glob(FIRMWARE):
        with suppress(OSError, ValueError):
            word, known = word | int(path.read_text().strip(), 16), True
    for sensor in sys.glob("class/hwmon/*/in0_lcrit_alarm"):
        with suppress(OSError, ValueError):
            if sensor.with_name("name").read_text().strip() == "rpi_volt":
                word, known = word | int(sensor.read_text()), True
    if not known:
        return None
    return Throttling(*(tuple(flag for bit, flag in enumerate(FLAGS) if word >> shift >> bit & 1) for shift in (0, 16)))


def memory_tight(sys: Path = SYS, proc: Path = PROC) -> str | None:
    """Why memory is nearly at its end, if it is: that of the control group, or of the whole machine."""
    for limit, used in _groups(sys / "fs" / "cgroup", proc):
        if used >= FULL * limit:
            return f"memory is tight: {used / 1e6:.0f} of {limit / 1e6:.0f} MB in use"
    with suppress(OSError, ValueError, KeyError):
        total, available = (_table(proc / "meminfo")[name] * 1024 for name in ("MemTotal:", "MemAvailable:"))
        if available < LEFT * total:
            return f"memory is tight: {available / 1e6:.0f} MB left"
    return None


def boot(proc: Path = PROC) -> str:
    """What no other start of a machine is called: within it, monotonic time is that of all processes."""
    with suppress(OSError):
        return (proc / "sys/kernel/random/boot_id").read_text().strip()
    return THIS_PROCESS


def clock_is_set(run: Path = RUN) -> bool:
    """Whether the network has set the wall clock since the machine was started: by systemd-timesyncd, or the kernel says so.

    The kernel is not asked by a service of systemd with ProtectClock.
    """
    if (run / "systemd/timesync/synchronized").exists():
        return True
    with suppress(OSError, AttributeError):  # of another system than Linux
        answer = int(
            ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
        )  # all zero: to read, and larger than the struct
        return 0 <= answer != UNSET
    return False


def _groups(root: Path, proc: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of our memory control group and those around it, in bytes; what is only cached does not count as used."""
    with suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            below, names = root / controllers, ("memory.max", "memory.current")
            if controllers:
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            folder = below / place.lstrip("/")
            while folder.is_relative_to(below):
                with suppress(OSError, ValueError):
                    limit, used = (int((folder / name).read_text()) for name in names)  # "max" is no number
                    stat = _table(folder / "memory.stat")
                    yield limit, used - stat.get("inactive_file", 0) - stat.get("active_file", 0)
                folder = folder.parent


def _table(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value, *_ in map(str.split, path.read_text().splitlines())}
