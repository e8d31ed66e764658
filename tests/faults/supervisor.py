"""What systemd does for the service: starts it, hears its watchdog, kills it when that is silent, starts it again."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).parent.parent.parent


class Supervisor:
    """One service, by its command line; ``watchdog`` and ``restart`` are WatchdogSec and RestartSec."""

    def __init__(self, folder: Path, words: list[str | Path], *, watchdog: float, restart: float) -> None:
        self._folder, self._words, self._watchdog, self._restart = folder, words, watchdog, restart
        self.worn, self.runtime = folder / "worn", folder / "run"
        self.worn.mkdir()
        self.runtime.mkdir()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify"))
        self.process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        self.starts = self.watchdog_kills = self.readies = 0
        self.ready, self._fed = False, 0.0
        self._ended = False
        self._threads = [Thread(target=target, daemon=True) for target in (self._hear, self._keep)]
        for thread in self._threads:
            thread.start()

    def start(self) -> None:
        self.wanted = True

    def signal(self, number: int) -> None:
        if self.process:
            self.process.send_signal(number)

    def stop(self) -> tuple[int, float]:
        """Ask it to end, and wait; its exit code, and the seconds that it took."""
        self.wanted = False
        began = time.monotonic()
        if not self.process:
            return 0, 0.0
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(10)
        return code, time.monotonic() - began

    def close(self) -> None:
        self.stop()
        self._ended = True
        self._notify.close()

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _launch(self) -> None:
        hidden = ("EDGEFACE_CONFIG", "STATE_DIRECTORY")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment |= {
            "PYTHONPATH": str(ROOT),
            "NOTIFY_SOCKET": str(self._folder / "notify"),
            "RUNTIME_DIRECTORY": str(self.runtime),
            "EDGEFACE_WORN": str(self.worn),
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.ready, self._fed = False, time.monotonic()
        self.starts += 1
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("worn.py"), *self._words],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _hear(self) -> None:
        while True:
            try:
                message = self._notify.recv(4096).decode()
            except OSError:
                return
            self.ready |= "READY=1" in message
            self.readies += "READY=1" in message
            if "WATCHDOG=1" in message or "READY=1" in message:
                self._fed = time.monotonic()

    def _keep(self) -> None:
        while not self._ended:
            time.sleep(0.05)
            if self.process is None:
                if self.wanted:
                    self._launch()
            elif self.process.poll() is not None:
                # Restart=on-failure with RestartPreventExitStatus=2: whoever wants it up after a clean end starts it.
                again = self.wanted and self.process.returncode not in (0, 2)
                until = time.monotonic() + self._restart
                while again and time.monotonic() < until and not self._ended and self.wanted:
                    time.sleep(0.05)
                self.process = None
            elif self.ready and time.monotonic() - self._fed > self._watchdog:
                self.watchdog_kills += 1
                self.process.send_signal(signal.SIGABRT)
                time.sleep(0.5)
                self.process.kill()
                self.process.wait(10)
