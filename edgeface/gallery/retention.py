"""Counts for how long events have been kept, by a clock that shows only time that has surely passed.

While a machine runs, the gallery's clock follows its monotonic clock. For how long the machine was off, only the wall clock can
tell, and only if the network had set it both before and after: then the gallery's clock is put forward, once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgeface.gallery.database import Database
from edgeface.gallery.file_format import need
from edgeface.platform import machine

BOOT = 1.0  # seconds that a boot takes at least


@dataclass(frozen=True, slots=True)
class Clocks:
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    boot: Callable[[], str] = machine.boot
    is_set: Callable[[], bool] = machine.clock_is_set


def forward(database: Database, clocks: Clocks) -> float:
    """Bring the gallery's clock forward, within a transaction, and return it; events without an age begin now."""
    need(database, "retention", "kept")
    boot, monotonic = clocks.boot(), clocks.monotonic()
    row = database.execute("SELECT now, boot, monotonic, set_boot, set_now, set_wall FROM retention").fetchone()
    now, before, then, set_boot, set_now, set_wall = row or (0.0, boot, monotonic, None, 0.0, 0.0)
    passed = max(0.0, monotonic - then) if before == boot else BOOT
    now += passed
    if set_boot == boot:
        set_now, set_wall = now, set_wall + passed
    elif clocks.is_set():
        wall = clocks.wall()
        off = max(0.0, wall - set_wall - (now - set_now)) if set_boot else 0.0
        # What is kept since then may have come after the machine was off.
        for table in filter(database.has_table, ("kept", "bin")):
            database.execute(f"UPDATE {table} SET since = since + ? WHERE since > ?", (off, set_now))
        now += off
        set_boot, set_now, set_wall = boot, now, wall
    database.execute("DELETE FROM retention")
    database.execute("INSERT INTO retention VALUES (?, ?, ?, ?, ?, ?)", (now, boot, monotonic, set_boot, set_now, set_wall))
    database.execute("INSERT INTO kept SELECT id, ? FROM events WHERE id NOT IN (SELECT event_id FROM kept)", (now,))
    return now
