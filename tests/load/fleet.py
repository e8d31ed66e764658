"""The devices, in one process, and the subscriber, in another, so that neither holds up the other's clock."""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import numpy as np
import psutil
from numpy.random import Generator

from .wire import Client, connect

Pipe: TypeAlias = "Connection[Any, Any]"
TICK = 0.005
DRAIN = 10.0
EVENT = {
    "schema": 1,
    "event_type": "recognized",
    "event_id": "01M86GTN766HKSFCZ15NNMEFKP",
    "ts": "2026-11-24T10:15:07.238Z",
    "camera": "front",
    "model": "sha256:" + "1f" * 32,
    "track_id": 1,
    "score": 0.54,
    "threshold": 0.47,
    "votes": 3,
    "quality": 0.86,
    "box": [198, 70, 224, 310],
    "frame_size": [640, 480],
    "person_id": "p_f8e6d06ed6e2f474",
    "name": "Anna",
    "margin": 0.24,
    "probability": 0.997,
}


@dataclass(frozen=True)
class Step:
    """What became of events that were offered at one rate; latencies in milliseconds, ``busy`` in cores."""

    offered: float
    sent: float
    delivered: float
    lost: int
    p50: float
    p99: float
    longest: float
    unacknowledged: int
    broker: float
    devices: float
    subscriber: float

    @property
    def broken(self) -> bool:
        """Whether the broker does not keep up: events are lost, or a second late, or not confirmed for a second."""
        return self.lost > 0 or self.p99 > 1000 or self.unacknowledged > self.offered

    @property
    def starved(self) -> bool:
        """Whether it was the devices' process that did not keep up."""
        return self.sent < 0.9 * self.offered


def listen(port: int, login: dict[str, str], pipe: Pipe) -> None:
    """The subscriber's process: counts delays, and gives them whenever it is asked."""

    async def run() -> None:
        times: list[int] = []

        def received(payload: bytes, now: int) -> None:
            times.append(now - int(payload[payload.rindex(b":") + 1 : -1]))

        client = await connect(port, "listener", received=received, **login)
        client.subscribe("edgeface/+/event")
        await asyncio.sleep(0.5)
        pipe.send("ready")
        while True:
            await asyncio.sleep(0.02)
            if pipe.poll():
                wish = pipe.recv()
                if wish == "stop":
                    return
                pipe.send(len(times) if wish == "count" else np.array(times, np.int64))
                if wish == "take":
                    times.clear()

    asyncio.run(run())


async def measure(
    port: int,
    login: dict[str, str],
    devices: int,
    rates: Iterable[float],
    seconds: float,
    broker_pid: int,
    tell: Callable[[Step], None],
) -> list[Step]:
    """Offer each rate in turn, until one breaks the broker or this process."""
    pipe, other = multiprocessing.Pipe()
    subscriber = multiprocessing.get_context("spawn").Process(target=listen, args=(port, login, other), daemon=True)
    subscriber.start()
    pipe.recv()
    clients = []
    for number in range(devices):
        clients.append(await connect(port, f"edgeface-load{number}", **login))
    processes = [psutil.Process(pid) for pid in (broker_pid, None, subscriber.pid)]
    chance, steps = np.random.default_rng(0), []
    try:
        for rate in rates:
            steps.append(await _step(clients, pipe, rate, seconds, processes, chance))
            tell(steps[-1])
            if steps[-1].broken or steps[-1].starved:
                break
    finally:
        pipe.send("stop")
        subscriber.join(5)
        for client in clients:
            client.close()
    return steps


async def _step(
    clients: list[Client], pipe: Pipe, rate: float, seconds: float, processes: list[psutil.Process], chance: Generator
) -> Step:
    base = sum(client.sent for client in clients)
    busy = [_cpu(process) for process in processes]
    began = last = time.monotonic()
    most = 0
    while (now := time.monotonic()) < began + seconds:
        for number in chance.integers(len(clients), size=chance.poisson(rate * (now - last))):
            topic = f"edgeface/load{number}/event"
            event = EVENT | {"device": f"load{number}", "sent": time.monotonic_ns()}
            clients[number].publish(topic, json.dumps(event).encode())
        last = now
        most = max(most, sum(client.sent - client.acknowledged for client in clients))
        await asyncio.sleep(TICK)
    took = time.monotonic() - began
    used = [(_cpu(process) - before) / took for process, before in zip(processes, busy, strict=True)]
    sent = sum(client.sent for client in clients) - base
    await _drained(pipe, sent)
    pipe.send("take")
    delays = (await asyncio.to_thread(pipe.recv)) / 1e6
    p50, p99, longest = np.percentile(delays, [50, 99, 100]) if len(delays) else (0.0, 0.0, 0.0)
    return Step(rate, sent / took, len(delays) / took, sent - len(delays), p50, p99, longest, most, *used)


async def _drained(pipe: Pipe, sent: int) -> None:
    """Until all are delivered, or nothing more comes."""
    count, deadline = -1, time.monotonic() + DRAIN
    while time.monotonic() < deadline:
        await asyncio.sleep(0.25)
        pipe.send("count")
        now = await asyncio.to_thread(pipe.recv)
        if now >= sent:
            return
        if now > count:
            count, deadline = now, max(deadline, time.monotonic() + 2)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
