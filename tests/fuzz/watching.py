"""A process that watches another one run examples, and kills it when one of them does not end or grows and grows.

``python watching.py PID NOTES REPORT WALL_SECONDS MEGABYTES``; ends when its standard input does. Uses the standard
library alone, and reads the notes and /proc: what holds the interpreter of the other process cannot stop it.
"""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path


def resident(pid: int) -> float:
    """Megabytes of memory that a process holds."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(pid: int, notes: Path, report: Path, seconds: float, megabytes: float) -> None:
    base, before = resident(pid), None
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        try:
            note = json.loads(notes.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        started = note["started"]
        if started is None or started != before:
            base, before = min(base, resident(pid)) if started is not None else resident(pid), started
            continue
        reason = None
        if time.monotonic() - started > seconds:
            reason = f"has not ended after {seconds:.0f} s"
        elif resident(pid) - base > megabytes:
            reason = f"takes more than {megabytes:.0f} MB"
        if reason:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(f"{note['target']}: an example {reason}; its input:\n{note['input']}\n", "utf-8")
            os.kill(pid, signal.SIGKILL)
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
