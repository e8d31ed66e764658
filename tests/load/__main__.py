"""Prints a Markdown table: how many events a second of many devices one mosquitto delivers, how fast, and where it breaks."""

import argparse
import asyncio
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from fixtures.broker import MOSQUITTO, PASSWD, PASSWORD, USER, Broker

from .fleet import Step, measure

RATES = (100, 250, 500, 1000, 2000, 3000, 4000, 6000, 8000, 12000, 16000, 24000, 32000)
HEAD = (
    *("offered/s", "sent/s", "delivered/s", "lost", "p50, ms", "p99, ms", "longest, ms", "unconfirmed at most"),
    *("broker, cores", "devices, cores", "subscriber, cores"),
)


def row(step: Step) -> str:
    figures = [f"{value:,.0f}" for value in (step.offered, step.sent, step.delivered, step.lost)]
    figures += [f"{value:,.1f}" for value in (step.p50, step.p99, step.longest)]
    figures += [f"{step.unacknowledged:,}", *(f"{value:.2f}" for value in (step.broker, step.devices, step.subscriber))]
    return f"| {' | '.join(figures)} |"


def verdict(steps: list[Step], devices: int, log: str) -> str:
    last, good = steps[-1], [step for step in steps if not (step.broken or step.starved)]
    told = (
        [f"{good[-1].offered:,.0f} events/s of {devices:,} devices are delivered, p99 {good[-1].p99:.1f} ms."] if good else []
    )
    at = f"At {last.offered:,.0f}/s"
    if last.broken:
        told.append(f"{at} it breaks: {last.lost:,} lost, p99 {last.p99:,.0f} ms, broker {last.broker:.2f} cores.")
        if "messages are being dropped for client listener" in log:
            told.append("The broker's log says that the subscriber's queue was full.")
    elif last.starved:
        told.append(f"{at} the devices' process sends {last.sent:,.0f}: the broker's end is not reached.")
    else:
        told.append("That is the highest rate asked for.")
    return " ".join(told)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0, help="for which each rate is offered")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="events a second of all devices together")
    parser.add_argument("--queue", type=int, default=1000, help="mosquitto's max_queued_messages, which is 1,000 unless set")
    wanted = parser.parse_args()
    if not (MOSQUITTO and PASSWD):
        sys.exit("mosquitto is not installed")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    version = subprocess.run([MOSQUITTO, "-h"], capture_output=True, text=True).stdout.split("\n")[0]
    limits = f"max_queued_messages {wanted.queue}"
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder) / "broker", persistence=False, quiet=True, more=limits).start()
        try:
            load = psutil.getloadavg()[0]
            print(f"{version}, Python {platform.python_version()}, {psutil.cpu_count()} cores, load before {load:.1f}\n")
            print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
            login = {"user": USER, "password": PASSWORD}
            rates = wanted.rates, wanted.seconds
            steps = asyncio.run(
                measure(broker.port, login, wanted.devices, *rates, broker.pid, lambda step: print(row(step), flush=True))
            )
        finally:
            broker.close()
            log = broker.log()
    print(f"\n{verdict(steps, wanted.devices, log)}")


if __name__ == "__main__":
    main()
