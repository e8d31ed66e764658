"""Wakes requests of the page from another thread, so that they need not poll."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Wakeup:
    """Lets requests in the page's thread wait; any thread may wake them, without a lock and without waiting."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    async def wait(self, find: Callable[[], T | None], seconds: float) -> T | None:
        """Call ``find``, now and at each wake-up, until it returns a value or ``seconds`` have passed; return the value."""
        self._loop = asyncio.get_running_loop()
        deadline = time.monotonic() + seconds
        while True:
            woken = self._loop.create_future()
            self._waiting.add(woken)  # before the look, or a wake-up between the two would be missed
            try:
                found, left = find(), deadline - time.monotonic()
                if found is not None or left <= 0:
                    return found
                await asyncio.wait([woken], timeout=left)
            finally:
                self._waiting.discard(woken)

    def wake(self) -> None:
        """Have all requests that wait look again."""
        if self._waiting and self._loop:
            with suppress(RuntimeError):  # the page is closed
                self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        for woken in tuple(self._waiting):
            if not woken.done():
                woken.set_result(None)
