"""Notes the signals that ask the daemon to stop or reload."""

import os
import signal


class Signals:
    """The requests of signals: a handler only notes them, and the loop obeys between two frames."""

    def __init__(self) -> None:
        self.stop = self.reload = False

    def listen(self) -> None:
        """Note SIGTERM and SIGINT as a request to stop, and SIGHUP as one to reload, or to stop if it comes from a terminal."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP and not os.isatty(0):
            self.reload = True
        else:
            self.stop = True
