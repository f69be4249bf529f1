"""The long form: ``python tests/fuzz/search.py MINUTES [NAME]``, every target (or those with NAME in theirs) in turn.

A target is run again and again, each time in a process and from a seed of its own, until its share of the minutes is
used; two run side by side. A failing input is printed whole, so that it can become a case on disk. Exit code 1 if
there is one.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
JOBS = min(2, os.cpu_count() or 1)
ROUND_SECONDS = 60.0


@dataclass
class Found:
    name: str
    seconds: float = 0.0
    examples: int = 0
    refused: int = 0
    rounds: int = 0
    failures: list[str] = field(default_factory=list)


def targets(part: str) -> list[str]:
    names = []
    for path in sorted(HERE.glob("test_*.py")):
        names += [
            f"{path.name}::{name}" for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
        ]
    return [name for name in names if part in name]


def search(name: str, seconds: float) -> Found:
    found, examples = Found(name), 50
    while found.seconds < seconds and len(found.failures) < 3:
        started = time.monotonic()
        told = _round(found, examples)
        if told:
            found.failures.append(told)
            print(f"\n{'=' * 20} {name}\n{told}", flush=True)
        found.seconds += time.monotonic() - started
        rate = max(found.examples, 1) / found.seconds
        examples = max(20, int(rate * min(ROUND_SECONDS, seconds - found.seconds)))
    return found


def _round(found: Found, examples: int) -> str | None:
    seed = random.SystemRandom().randrange(2**32)
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes.json")
        environment = {**os.environ, "LAKTORY_FUZZ_EXAMPLES": str(examples), "LAKTORY_FUZZ_NOTES": str(notes)}
        options = [
            "-q",
            "-p",
            "no:cacheprovider",
            "--tb=short",
            "--show-capture=no",
            f"--basetemp={folder}/tests",
            f"--hypothesis-seed={seed}",
        ]
        command = [sys.executable, "-m", "pytest", *options, f"tests/fuzz/{found.name}"]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        output, _ = process.communicate()
        try:
            note = json.loads(notes.read_text("utf-8"))
        except (OSError, ValueError):
            note = {"examples": 0, "refused": 0}
    found.rounds += 1
    found.examples += note["examples"]
    found.refused += note["refused"]
    if process.returncode == 0:
        return None
    killed = ROOT / ".fuzz" / f"killed-{process.pid}.txt"
    if killed.exists():
        return killed.read_text("utf-8")
    if process.returncode < 0:
        return f"killed by signal {-process.returncode}; the example under way:\n{note.get('input')}\n{output[-3000:]}"
    shown = output if len(output) < 12_000 else f"{output[:6000]}\n…\n{output[-6000:]}"
    return f"seed {seed}\n{shown}"


def main(minutes: float, part: str) -> int:
    names = targets(part)
    share = minutes * 60 * JOBS / max(len(names), 1)
    print(f"{len(names)} targets, {share:.0f} s each, {JOBS} side by side", flush=True)
    with ThreadPoolExecutor(JOBS) as pool:
        found = list(pool.map(lambda name: search(name, share), names))
    width = max((len(item.name) for item in found), default=0)
    print(f"\n{'target':{width}}  examples   refused  rounds  seconds  failures")
    for item in found:
        counts = f"{item.examples:9,} {item.refused:9,} {item.rounds:7} {item.seconds:8.0f} {len(item.failures):9}"
        print(f"{item.name:{width}} {counts}")
    return int(any(item.failures for item in found))


if __name__ == "__main__":
    raise SystemExit(main(float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
