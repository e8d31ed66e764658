"""Reads heat, power supply, memory and clock of the machine."""

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
"""Bits 0 to 3 of the word that a Raspberry Pi's firmware gives; bits 16 to 19 say the same since the start."""
FULL = 0.9  # share of a control group's memory from which on memory is tight
LEFT = 0.05  # share of the machine's memory that is available at least, or memory is tight
UNSET = 5  # the answer of adjtimex for a clock that nobody has set: TIME_ERROR of timex.h
THIS_PROCESS = uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Throttling:
    """What slows a Raspberry Pi down: now, and at any time since it was started."""

    now: tuple[str, ...]
    before: tuple[str, ...]


def temperature() -> float | None:
    """Return the temperature of the hottest sensor, in degrees Celsius; ``None`` without a sensor."""
    readings = [sensor.current for sensors in getattr(psutil, "sensors_temperatures", dict)().values() for sensor in sensors]
    return max(readings, default=None)


def throttling(sys: Path = SYS) -> Throttling | None:
    """Return what a Raspberry Pi's firmware and voltage sensor report; ``None`` on other machines."""
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
    """Say how little memory the control group or the machine has left; ``None`` if it has enough."""
    for limit, used in _groups(sys / "fs" / "cgroup", proc):
        if used >= FULL * limit:
            return f"memory is tight: {used / 1e6:.0f} of {limit / 1e6:.0f} MB in use"
    with suppress(OSError, ValueError, KeyError):
        total, available = (_table(proc / "meminfo")[name] * 1024 for name in ("MemTotal:", "MemAvailable:"))
        if available < LEFT * total:
            return f"memory is tight: {available / 1e6:.0f} MB left"
    return None


def boot(proc: Path = PROC) -> str:
    """Return a text that is unique to this start of the machine, within which all processes share one monotonic time."""
    with suppress(OSError):
        return (proc / "sys/kernel/random/boot_id").read_text().strip()
    return THIS_PROCESS


def clock_is_set(run: Path = RUN) -> bool:
    """Return whether the network has set the wall clock since the machine was started."""
    # A service with systemd's ProtectClock may not ask the kernel.
    if (run / "systemd/timesync/synchronized").exists():
        return True
    with suppress(OSError, AttributeError):  # on another system than Linux
        request = ctypes.create_string_buffer(512)  # larger than struct timex, and all zero, which only reads
        return 0 <= int(ctypes.CDLL(None).adjtimex(request)) != UNSET
    return False


def _groups(root: Path, proc: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use, in bytes without caches, of our memory control group and of those around it."""
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
