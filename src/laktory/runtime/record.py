"""The run's ledger and record, under the pipeline's root path.

``runs/<run id>/ledger.jsonl`` gets a line for each node the moment it is committed; ``runs/<run id>/record.json``
tells how the run ended. A run without a record, or whose record does not say ``succeeded``, can be resumed. What the
lines of a ledger hold: `laktory.runtime.ledger`.
"""

from __future__ import annotations

import json
import platform
import re
import sys
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory._version import __version__
from laktory.errors import RunError
from laktory.runtime.holds import remove_unheld
from laktory.runtime.ledger import LEDGER, committed, settled
from laktory.storage import append_line, file_name, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["RunFolder", "last_unfinished", "new_run_id", "prune", "run_folders", "versions"]

KEPT_RUNS = 50


_version = cache(metadata.version)
_STAMP = "%Y%m%dT%H%M%S%f"
_RUN = re.compile(r"\d{8}T\d{12}-[0-9a-f]{6}")


def new_run_id(root: Path | None = None) -> str:
    """Unique, and sorts by time behind all runs of a root path, even where the clock was set back."""
    moment = datetime.now(UTC)
    for last in run_folders(root)[-1:] if root else ():
        with suppress(ValueError, OverflowError):  # no date
            before = datetime.strptime(last.run_id.partition("-")[0], _STAMP).replace(tzinfo=UTC)
            moment = max(moment, before + timedelta(microseconds=1))
    return f"{moment:{_STAMP}}-{uuid.uuid4().hex[:6]}"


class RunFolder:
    """``runs/<run id>`` of one pipeline. Nothing is created before the first write."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.run_id = run_id
        self.path = root / "runs" / run_id

    @property
    def scratch(self) -> Path:
        """Folder of intermediate results."""
        return self.path / "scratch"

    @property
    def quarantine(self) -> Path:
        """Folder of rows that failed rules."""
        return self.path / "quarantine"

    @property
    def ledger(self) -> Path:
        """What was committed, a line each."""
        return self.path / "ledger.jsonl"

    @property
    def record(self) -> Path:
        """What the run came to."""
        return self.path / "record.json"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunFolder) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def quarantined(self) -> list[Path]:
        """Files of rows that failed rules, one for each node that has some."""
        return list(self.quarantine.iterdir()) if self.quarantine.is_dir() else []

    def judged(self) -> dict[str, tuple[str, str]]:
        """Files of the rows that failed rules, by name, which the record tells of: pipeline and node of each."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            names = [node["name"] for node in record["nodes"] if "checks" in node]
            return {f"{file_name(name)}.parquet": (record["pipeline"], name) for name in names}
        except (OSError, ValueError, TypeError, KeyError):
            return {}

    def open(self, header: dict[str, Any], entries: Iterable[dict[str, Any]] = ()) -> None:
        """Create the folder. The ledger begins, in one step, with what the run is and what it takes over."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(str(self.ledger), "".join(json.dumps(line) + "\n" for line in (header, *entries)))

    def header(self) -> dict[str, Any] | None:
        """What the run is; None where there is no run of a pipeline."""
        try:
            with self.ledger.open(encoding="utf-8", errors="replace") as lines:
                first = self._parsed(1, lines.readline())
        except FileNotFoundError:
            return None
        return first if "scope" in first else None

    def entries(self) -> list[dict[str, Any]]:
        """The header, and the ledger lines of all that was committed; nothing where there is no ledger.

        Raises
        ------
        RunError
            As for `lines`.
        """
        lines = self.lines()
        return lines[:1] + settled(lines[1:])

    def lines(self) -> list[dict[str, Any]]:
        """Ledger lines; a torn last line (the machine died while it was written) is left out.

        Raises
        ------
        RunError
            If another line cannot be read: what follows it may be all that keeps rows from being written twice. If
            their form is that of another version.
        """
        try:
            lines = self.ledger.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        except FileNotFoundError:  # killed before it began
            return []
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
        parsed = [self._parsed(number, line) for number, line in enumerate(lines, 1)]
        if parsed and parsed[0].get("ledger") != LEDGER:
            msg = f"run {self.run_id} was begun by another version of Laktory: what it committed is not known"
            raise RunError(f"{msg}; run without resuming, or remove the folder {str(self.path)!r}")
        return parsed

    def _parsed(self, number: int, line: str) -> dict[str, Any]:
        try:
            parsed = json.loads(line)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            msg = f"line {number} of the ledger {str(self.ledger)!r} is damaged: what its run committed is not known"
            raise RunError(f"{msg}; run without resuming, or remove the folder of that run")
        return parsed

    def complete(self, header: dict[str, Any]) -> bool:
        """Whether nothing of it is left to resume: it succeeded, and was no part of what it continued."""
        return header["selects"] == header["scope"] and self._succeeded()

    def was_cut_off(self) -> bool:
        """Whether the run was killed or interrupted: something may lie where it was staging."""
        return self._status() in (None, "interrupted")

    def _succeeded(self) -> bool:
        return self._status() == "succeeded"

    def _status(self) -> str | None:
        """How the run ended; None if that is not known, as for one that was killed."""
        try:
            return str(json.loads(self.record.read_text(encoding="utf-8"))["status"])
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def write_record(self, record: dict[str, Any]) -> None:
        """Write the record in one step."""
        write_text(str(self.record), json.dumps(record, indent=2, default=str) + "\n")


def run_folders(root: Path) -> list[RunFolder]:
    """The runs below a root path, in the order they began; what else lies there is of somebody else."""
    runs = root / "runs"
    names = sorted(path.name for path in runs.iterdir() if _RUN.fullmatch(path.name)) if runs.is_dir() else []
    return [RunFolder(root, name) for name in names]


def last_unfinished(root: Path, pipeline: str, scope: Sequence[str]) -> RunFolder | None:
    """The run to continue, or None.

    A run has a scope: what was selected by the run that it goes back to. Of the same scope, and of the whole pipeline,
    the latest run counts, unless it is complete; one of the whole pipeline that is complete ends all before it.
    """
    wanted = {(), tuple(scope)}
    for run in reversed(run_folders(root)):
        header = run.header()
        if header is None or header["pipeline"] != pipeline or tuple(header["scope"]) not in wanted:
            continue
        if not run.complete(header):
            return run
        if not header["scope"]:
            return None
        wanted.discard(tuple(header["scope"]))
    return None


def prune(root: Path) -> None:
    """Keep the last runs, and those that can be resumed or know types.

    Of runs that are kept go intermediate results, and rows that failed rules where a later run has such of the node.
    """
    folders = run_folders(root)
    unfinished = cache(partial(last_unfinished, root))  # each reads the headers and records of other runs
    resumable: list[RunFolder] | None = None
    for number, run in enumerate(folders[:-KEPT_RUNS], 1):
        if resumable is None:
            resumable = [other for other in folders if _may_be_resumed(other, unfinished)]
        if run in resumable:
            continue
        try:
            if _knows_types(run, folders[number:]):
                continue
            for other in resumable:
                _note(run, other)
            # a folder that is removed by half must not look like a run that did not finish
            run.ledger.unlink(missing_ok=True)
        except (OSError, RunError):
            continue
        remove_unheld(run.path)
    shown: set[tuple[str, str]] = set()
    for run in reversed(folders):
        held = run.quarantined()
        told = run.judged() if held else {}
        old = [path for path in held if told.get(path.name) in {None, *shown}]
        shown |= set(told.values())
        if (old or run.scratch.exists()) and not _may_be_resumed(run, unfinished):
            for path in filter(Path.exists, (*old, run.scratch)):
                remove_unheld(run.path, path)


def _knows_types(run: RunFolder, later: Sequence[RunFolder]) -> bool:
    """Whether nobody else can tell the types of a text file that it wrote: no later run has written it."""
    wanted = [set(write["target"]) for write in _writes(run) if write["schema"] is not None]
    for other in reversed(later):
        if not wanted:
            break
        written = {key for write in _writes(other) for key in write["target"]}
        wanted = [keys for keys in wanted if keys.isdisjoint(written)]
    return bool(wanted)


def _writes(run: RunFolder) -> list[dict[str, Any]]:
    return [write for line in run.entries()[1:] for write in line.get("writes", ())]


def _note(run: RunFolder, unfinished: RunFolder) -> None:
    """What a run that goes has committed since the job of an unfinished one began is kept in the ledger of that."""
    header, of_job = run.header(), unfinished.header()
    job = of_job.get("job") if of_job else None
    if header is None or job is None or header.get("job") == job or run.run_id < job:
        return
    known = committed(unfinished.entries()[1:], unfinished.run_id)
    others = {key: found for key, found in committed(run.entries()[1:], run.run_id).items() if key not in known}
    if others:
        append_line(str(unfinished.ledger), json.dumps({"others": others}))


def _may_be_resumed(run: RunFolder, unfinished: Callable[[str, tuple[str, ...]], RunFolder | None]) -> bool:
    try:
        header = run.header()
        found = unfinished(header["pipeline"], tuple(header["scope"])) if header else None
    except RunError:
        return True  # not known
    return found == run


def versions() -> dict[str, str]:
    """Versions that a result depends on: Laktory, Python, and the engines loaded in this process."""
    found = {"laktory": __version__, "python": platform.python_version()}
    for package in ("narwhals", "polars", "duckdb", "deltalake", "pyarrow", "sqlglot"):
        if package not in sys.modules:
            continue
        with suppress(OSError):  # no more files can be opened: that is told of what needed one
            found[package] = _version(package)
    return found
