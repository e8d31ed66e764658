"""The real daemon with a real broker and a live camera: faults, one by one or two at a time, a long run, or many reloads."""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from . import reloads, soak
from .faults import FAULTS, needed, run
from .rig import Rig


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("table", help="try faults, and print a table in Markdown")
    table.add_argument("only", nargs="*", help="faults whose names hold one of these; without any, all")
    table.add_argument("--runs", type=int, default=1, help="how often each fault is tried")
    table.add_argument("--mixes", type=int, default=0, help="how many pairs of overlapping faults are tried, too")
    table.add_argument("--seed", type=int, default=0, help="of the choice of those pairs")
    table.add_argument("--out", type=Path, help="write the table to this file, too")
    long = commands.add_parser("soak", help="run for long without any fault, print figures, exit with 1 if they are bad")
    long.add_argument("--minutes", type=float, default=30.0)
    long.add_argument("--fps", type=float, default=30.0, help="of the camera, and most of the daemon")
    long.add_argument("--plot", type=Path, help="draw memory, frames a second and file descriptors to this file")
    many = commands.add_parser("reloads", help="reload with other settings again and again; figures and exit code as of soak")
    many.add_argument("--times", type=int, default=1000)
    many.add_argument("--samples", type=Path, help="write number of reloads, MB, file descriptors and threads to this file")
    given = parser.parse_args()
    if needed:
        sys.exit(needed)
    if given.command == "table":
        print(report(given), end="")
        return
    rig = _rig(fps=given.fps if given.command == "soak" else 10.0)
    try:
        well = (
            soak.run(rig, given.minutes, given.plot)
            if given.command == "soak"
            else reloads.run(rig, given.times, given.samples)
        )
        sys.exit(0 if well else 1)
    finally:
        _end(rig)


def report(given: argparse.Namespace) -> str:
    outcomes, failed, rows = defaultdict(list), {}, []
    chosen = [one for one in FAULTS if not given.only or any(word in one.name for word in given.only)]
    dice = random.Random(given.seed)
    mixable = [one for one in FAULTS if not (one.alone or one.lacking)]
    tries = [[one] for one in chosen if not one.lacking for _ in range(given.runs)]
    tries += [dice.sample(mixable, 2) for _ in range(given.mixes)]
    rig = None
    for faults in tries:
        name = faults[0].name if len(faults) == 1 else "two at once, at random"
        began = time.monotonic()
        try:
            rig = rig or _rig()
            outcome = run(rig, *faults)
            outcomes[name].append(outcome)
            told = f"lost {outcome.lost}, recovered in {outcome.seconds:.1f} s"
        except AssertionError as error:
            failed[name] = told = f"FAILED: {error}"
            if rig:
                _end(rig)
            rig = None
        print(
            f"{time.monotonic() - began:6.1f} s  {' + '.join(one.name for one in faults)}: {told}", file=sys.stderr, flush=True
        )
    if rig:
        _end(rig)
    for name, runs in outcomes.items():
        seconds = [outcome.seconds for outcome in runs]
        lost = sum(outcome.lost for outcome in runs)
        rows.append(f"| {name} | {len(runs)} | {lost} | {median(seconds):.1f} | {max(seconds):.1f} |")
    skipped = [f"\n{one.name}: not tried, {one.lacking}" for one in chosen if one.lacking]
    head = "| fault | runs | events lost | recovery, median s | longest s |\n| --- | --- | --- | --- | --- |\n"
    text = head + "\n".join(rows) + "\n" + "".join(skipped)
    if given.out:
        given.out.write_text(text)
    if failed:
        sys.exit(text + "".join(f"\nFAILED {name}: {why}" for name, why in failed.items()))
    return text


def _end(rig: Rig) -> None:
    rig.close()
    shutil.rmtree(rig.folder, ignore_errors=True)


def _rig(**options: Any) -> Rig:
    return Rig(Path(tempfile.mkdtemp(prefix="edgeface-faults-")), **options)


main()
