"""The command line as a process of its own, in a folder of its own."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from queue import Queue
from threading import Thread

from broker import eventually

ROOT = Path(__file__).parent.parent


class Cli:
    """The command line in a folder of its own, with settings that ``set`` writes."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "edgeface.toml"
        hidden = ("EDGEFACE_CONFIG", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET")
        self.environment = {name: value for name, value in os.environ.items() if name not in hidden}
        self.environment |= {"PYTHONPATH": str(ROOT), "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
        self.running = []
        self.set()

    @property
    def gallery(self):
        return self.folder / "gallery" / "gallery.db"

    def set(self, **sections):
        given = {"gallery": {"path": str(self.gallery)}} | sections
        lines = []
        for section, values in given.items():
            lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
        self.file.write_text("\n".join(lines) + "\n")

    def command(self, *words):
        return [sys.executable, "-m", "edgeface", "--config", str(self.file), *map(str, words)]

    def __call__(self, *words, code=0):
        result = subprocess.run(
            self.command(*words), capture_output=True, text=True, cwd=self.folder, env=self.environment, timeout=60
        )
        assert result.returncode == code, (result.stdout, result.stderr)
        assert "Traceback" not in result.stderr
        return result

    def json(self, *words, code=0):
        return json.loads(self(*words, "--json", code=code).stdout)

    def refusal(self, *words, code=1):
        """The one line on standard error."""
        return one_line(self(*words, code=code))

    def start(self, *words):
        self.running.append(Running(self.command(*words), self.folder, self.environment))
        return self.running[-1]


class Running:
    """A command that goes on; its output comes line by line."""

    def __init__(self, command, folder, environment):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
        )
        self.out, self.err, self.told = Queue(), Queue(), []
        for stream, queue in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            Thread(target=lambda stream=stream, queue=queue: [queue.put(line.strip()) for line in stream], daemon=True).start()

    def line(self):
        return self.out.get(timeout=30)

    def hears(self, text):
        """Wait until standard error says so."""
        while text not in (line := self.err.get(timeout=30)):
            self.told.append(line)
        self.told.append(line)
        return line

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(20)
        eventually(lambda: False, 0.2)
        while not self.err.empty():
            self.told.append(self.err.get())
        assert not any("Traceback" in line for line in self.told), self.told
        return code


def on_terminal(cli, *words, answer=b""):
    """What a terminal shows of a command that succeeds, while the answer is typed at each question."""
    command = cli.command(*words)
    pid, terminal = pty.fork()
    if not pid:
        os.execvpe(command[0], command, cli.environment | {"TERM": "xterm-256color"})
    shown = b""
    with suppress(OSError):  # the end of a terminal
        while data := os.read(terminal, 1000):
            shown += data
            if answer and shown.endswith(b": "):  # the blank comes when what is typed is no longer shown
                os.write(terminal, answer)
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0, shown
    return shown


def one_line(result):
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("edgeface: ")
    return lines[0]
