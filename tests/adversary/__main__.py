"""Attack for hours, by kinds that get the same time each; print a table in Markdown, exit with 1 if anything failed."""

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgeface.platform.files import write_whole

from .attacks import ATTACKS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.adversary", description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0, help="how long, with the time of the runs that it goes on from")
    parser.add_argument("--seed", default="0", help="of the choice of every attack")
    parser.add_argument("--only", nargs="*", choices=ATTACKS, metavar="KIND", help=f"of these: {'; '.join(ATTACKS)}")
    parser.add_argument("--state", type=Path, default=Path("adversary.json"), help="the file by which a run that ended goes on")
    parser.add_argument("--again", metavar="KIND/NUMBER", help="make one attack, as the table names it, and nothing else")
    given = parser.parse_args()
    if given.again:
        kind, _, number = given.again.rpartition("/")
        print(make(kind, given.seed, number))
        return
    state = json.loads(given.state.read_bytes()) if given.state.exists() else {"seed": given.seed, "kinds": {}}
    if state["seed"] != given.seed:
        parser.error(f"{given.state} is of a run with --seed {state['seed']}")
    kinds = state["kinds"]
    for kind in given.only or ATTACKS:
        kinds.setdefault(kind, {"seconds": 0.0, "tried": 0, "outcomes": {}, "failed": {}})
    while sum(one["seconds"] for one in kinds.values()) < 3600 * given.hours:
        kind = min(given.only or ATTACKS, key=lambda kind: kinds[kind]["seconds"])
        go_on(kind, given.seed, kinds[kind])
        write_whole(given.state, json.dumps(state, indent=1).encode())
    print(table(kinds), end="")
    sys.exit(any(one["failed"] for one in kinds.values()))


def make(kind: str, seed: str, number: object) -> str:
    """What comes of one attack; the same for the same seed, but for the moment of what happens at the same time."""
    with tempfile.TemporaryDirectory(prefix="edgeface-adversary-") as folder:
        return ATTACKS[kind].make(random.Random(f"{seed}/{kind}/{number}"), Path(folder))


def go_on(kind: str, seed: str, one: dict[str, Any]) -> None:
    began, number = time.monotonic(), one["tried"]
    try:
        outcome = make(kind, seed, number)
    except pytest.skip.Exception as skipped:
        outcome = f"not tried: {skipped}"
    except Exception as error:
        outcome = "FAILED"
        one["failed"][str(number)] = f"{type(error).__name__}: {error}"[:2000]
        traceback.print_exc()
    one["outcomes"] = Counter(one["outcomes"]) + Counter({outcome: 1})
    one["tried"] += 1
    one["seconds"] += time.monotonic() - began
    print(f"{time.monotonic() - began:6.1f} s  {kind}/{number}: {outcome}", file=sys.stderr, flush=True)


def table(kinds: dict[str, dict[str, Any]]) -> str:
    lines = ["| attack | times | what came of it | failed |", "| --- | --- | --- | --- |"]
    for kind, one in kinds.items():
        came = "; ".join(f"{outcome} {count}" for outcome, count in sorted(one["outcomes"].items()) if outcome != "FAILED")
        failed = ", ".join(f"`--again '{kind}/{number}'`" for number in one["failed"]) or "0"
        lines.append(f"| {ATTACKS[kind].what} | {one['tried']} | {came} | {failed} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
