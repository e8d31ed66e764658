"""What a signal asks of the daemon."""

import os
import signal


class Signals:
    """What the operating system asks for; a signal handler only notes it, and the loop obeys between two frames."""

    def __init__(self) -> None:
        self.stop = self.reload = False

    def listen(self) -> None:
        """Note SIGTERM and SIGINT as a wish to stop, SIGHUP as one to read the settings again, or to stop with its terminal."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP and not os.isatty(0):
            self.reload = True
        else:
            self.stop = True
