"""``python -m tests.load.cameras``: what each further camera costs one daemon; prints a Markdown table."""

import argparse
import platform
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
import msgspec
import psutil
from fixtures.broker import eventually
from fixtures.commandline import Cli

from edgeface.demo import FPS, HEIGHT, WIDTH, Stage


def film(file: Path, rounds: int) -> None:
    """Write the demo's moving pictures of people as MJPEG."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    frames = list(Stage(keep=False).frames())
    for frame in frames * rounds:
        writer.write(frame[:, :, ::-1])
    writer.release()


def measure(cli: Cli, source: Path, cameras: int, seconds: float) -> str:
    """Run a daemon with some cameras of one film, and describe its cost as a row."""
    cli.set(camera={"name": "c0", "source": f"video:{source}"})
    more = "".join(f'[[cameras]]\nname = "c{number}"\nsource = "video:{source}"\n' for number in range(1, cameras))
    cli.file.write_text(cli.file.read_text() + more)
    with subprocess.Popen(
        cli.command("run"), env=cli.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        process = psutil.Process(running.pid)

        def seen() -> int:
            told = subprocess.run(cli.command("status", "--json"), env=cli.environment, capture_output=True).stdout
            return int(msgspec.json.decode(told).get("frames_seen", 0))

        try:
            assert eventually(lambda: seen() > 10 * cameras, 300)
            before, used = seen(), process.cpu_times()
            time.sleep(seconds)
            now, after = seen(), process.cpu_times()
            rss = process.memory_info().rss / 1e6
        finally:
            running.terminate()
    spent, frames = after.user + after.system - used.user - used.system, max(1, now - before)
    return f"| {cameras} | {rss:.0f} MB | {frames / seconds:.1f} | {1000 * spent / frames:.0f} ms |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.cameras", description=__doc__)
    parser.add_argument("--most", type=int, default=3, help="cameras")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each number of cameras")
    wanted = parser.parse_args()
    print(f"Python {platform.python_version()}, {psutil.cpu_count()} cores, load before {psutil.getloadavg()[0]:.1f}\n")
    print("| cameras | memory (RSS) | frames a second | processor time a frame |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "people.avi"
        film(source, rounds=max(1, round(wanted.seconds / 4)))
        for cameras in range(1, wanted.most + 1):
            home = Path(folder) / str(cameras)
            home.mkdir()
            print(measure(Cli(home), source, cameras, wanted.seconds), flush=True)


if __name__ == "__main__":
    main()
