"""Kill -9 at every call that changes the file system, by whichever library, then at random moments.

    python tests/faults/soak.py [--format PARQUET] [--engine POLARS] [--step 1] [--checks 1] [--random 500] [--seed 0]

Takes an hour or two. Prints a line for each format and engine: projects, points killed at, random kills, violations.
Exit code 1 if there is any violation; each is told in a line that names project, engine, check and point.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from killing import CHECKS, Killing
from projects import SHAPES, formats, of_format
from warm import Warm, build

from laktory.engines.capabilities import ENGINES


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--format", action="append", help="default: all, and the shapes of pipelines")
    parser.add_argument("--engine", action="append", choices=list(ENGINES))
    parser.add_argument("--step", type=int, default=1, help="of how many calls one is killed at")
    parser.add_argument(
        "--checks", type=int, default=1, help=f"of the {len(CHECKS)} things that may follow a kill: so many, in turn"
    )
    parser.add_argument("--random", type=int, default=500, help="random kills for each format and engine")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    memory = "/dev/shm"
    place = Path(tempfile.mkdtemp(prefix="kills-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        library = build(place)
        print("failpoints: every library", flush=True)
    except (OSError, subprocess.CalledProcessError):
        library = None
        print("failpoints: Python only, as there is no C compiler", flush=True)
    wrong = 0
    try:
        for name in asked.format or [*formats(), "shapes"]:
            for engine in asked.engine or list(ENGINES):
                with Warm(library) as warm:
                    wrong += _one(name, engine, warm, place, asked)
    finally:
        shutil.rmtree(place)
    print(f"{wrong} violations")
    return int(wrong > 0)


def _one(name: str, engine: str, warm: Warm, place: Path, asked: argparse.Namespace) -> int:
    projects = SHAPES if name == "shapes" else of_format(name, engine)
    started, points, hits, told = time.monotonic(), 0, 0, []
    for project in projects:
        for path in place.iterdir():
            shutil.rmtree(path) if path.is_dir() else None
        killing = Killing(warm, project, engine, place, asked.seed)
        for at in range(1, killing.calls + 1, asked.step):
            for turn in range(asked.checks):
                number = (at // asked.step * asked.checks + turn) % len(CHECKS)
                killing.one(CHECKS[number], kill_at=at, torn=bool(number % 2))
        points += killing.report.points
        before = killing.report.points
        wanted = -(-asked.random // len(projects))
        for _ in range(3 * wanted):  # some come too late
            if killing.report.points - before >= wanted:
                break
            moment = killing.random.uniform(0, killing.seconds)
            killing.one(killing.random.choice(CHECKS), kill_after=moment)
        hits += killing.report.points - before
        told += killing.report.violations
        for line in killing.report.violations:
            print("  VIOLATION", line, flush=True)
    minutes = (time.monotonic() - started) / 60
    print(
        f"{name:8} {engine:7} {len(projects):3} projects {points:6} points {hits:5} random kills "
        f"{len(told):4} violations  {minutes:5.1f} min",
        flush=True,
    )
    return len(told)


if __name__ == "__main__":
    sys.exit(main())
