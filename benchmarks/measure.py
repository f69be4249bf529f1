"""What the benchmarks share: a process measured from outside, rounds, a table."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_STEP = "--step"
DATA = Path(__file__).absolute().parent / "data"


@dataclass(frozen=True)
class Measured:
    """One run of a process: wall time, processor time, peak resident memory, last line it printed, exit code."""

    seconds: float
    processor: float
    peak: int
    last_line: str
    code: int = 0


def process(arguments: Sequence[str], cwd: str | Path | None = None, *, may_fail: bool = False) -> Measured:
    """Run a process to its end; one that fails ends the benchmark, unless it may."""
    env = os.environ | {"LAKTORY_LOG_LEVEL": "ERROR"}
    began = time.perf_counter()
    child = subprocess.Popen(arguments, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode and not may_fail:
        sys.exit(f"{' '.join(arguments)} ended with {child.returncode}\n{output}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Measured(seconds, usage.ru_utime + usage.ru_stime, peak, _last(output), child.returncode)


def _last(output: str) -> str:
    return (output.strip().splitlines() or [""])[-1]


def own_process(name: str, *arguments: object) -> list[str]:
    """Command that does a step of the running benchmark in a process of its own.

    The peak of a process counts what its parent held when it was started, and imports are part of what is measured.
    """
    return [sys.executable, str(Path(sys.argv[0]).absolute()), _STEP, name, *map(str, arguments)]


def did_step(steps: Mapping[str, Callable[..., None]]) -> bool:
    """Whether this process was started for one of the steps, which takes its arguments as text. It is done then."""
    if sys.argv[1:2] != [_STEP]:
        return False
    name, *arguments = sys.argv[2:]
    steps[name](*arguments)
    return True


def alternate(rounds: int, runs: Mapping[str, Callable[[], Measured]]) -> dict[str, list[Measured]]:
    """Run all of them in turn, so that a noisy minute hits them alike; each round in another order."""
    found: dict[str, list[Measured]] = {name: [] for name in runs}
    names = list(runs)
    for index in range(rounds):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            found[name].append(runs[name]())
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the ratios of runs of the same round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: first column left, the others right."""
    widths = [max(len(row[index]) for row in [headers, *rows]) for index in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return "  ".join([cells[0].ljust(widths[0]), *rest])

    print(f"\n{title}\n{line(headers)}\n{'  '.join('-' * width for width in widths)}")
    for row in rows:
        print(line(row))
