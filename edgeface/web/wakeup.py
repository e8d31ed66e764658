"""Wakes requests of the page from another thread, so that none has to look again and again."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Wakeup:
    """What requests in the page's thread wait for. Any thread may ring it: that takes no lock, and waits for nobody."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    async def wait(self, find: Callable[[], T | None], seconds: float) -> T | None:
        """What ``find`` gives as soon as it gives something, now or after a ring; none after so many seconds."""
        self._loop = asyncio.get_running_loop()
        deadline = time.monotonic() + seconds
        while True:
            ring = self._loop.create_future()
            self._waiting.add(ring)  # before the look, or a ring between the two would be missed
            try:
                found, left = find(), deadline - time.monotonic()
                if found is not None or left <= 0:
                    return found
                await asyncio.wait([ring], timeout=left)
            finally:
                self._waiting.discard(ring)

    def ring(self) -> None:
        """Have all who wait look again."""
        if self._waiting and self._loop:
            with suppress(RuntimeError):  # the page is closed
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for ring in tuple(self._waiting):
            if not ring.done():
                ring.set_result(None)
