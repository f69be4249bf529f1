"""The run's ledger and record, under the pipeline's root path.

``runs/<run id>/ledger.jsonl`` gets a line for each node the moment it is committed; ``runs/<run id>/record.json``
tells how the run ended. A run without a record, or whose record does not say ``succeeded``, can be resumed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import uuid
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory._version import __version__
from laktory.diagnostics.secrets import redact
from laktory.engines.protocol import FileRead
from laktory.storage import write_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

__all__ = ["RunFolder", "keep_scratch", "last_unfinished", "new_run_id", "prune", "read_of", "versions"]

KEPT_RUNS = 50


def new_run_id() -> str:
    """Unique, and sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:6]}"


class RunFolder:
    """``runs/<run id>`` of one pipeline. Nothing is created before the first write."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.run_id = run_id
        self.path = root / "runs" / run_id
        self.scratch = self.path / "scratch"
        self.ledger = self.path / "ledger.jsonl"
        self.record = self.path / "record.json"

    def open(self, header: dict[str, Any], entries: Iterable[dict[str, Any]] = ()) -> None:
        """Create the folder. The ledger begins, in one step, with what the run is and what it takes over."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(str(self.ledger), "".join(json.dumps(line) + "\n" for line in (header, *entries)))

    def entries(self) -> list[dict[str, Any]]:
        """Ledger lines; a torn last line (the machine died while it was written) is left out."""
        found = []
        for line in self.ledger.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def write_record(self, record: dict[str, Any]) -> None:
        """Write the record in one step, secrets redacted."""
        write_text(str(self.record), redact(json.dumps(record, indent=2, default=str)) + "\n")


def read_of(entry: dict[str, Any]) -> FileRead | None:
    """How a ledger entry says to read what its node committed."""
    if not entry["read"]:
        return None
    facts: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry["read"].items()}
    return FileRead(**facts)


def keep_scratch(entry: dict[str, Any], before: RunFolder, now: RunFolder) -> dict[str, Any]:
    """The entry of a run that takes over from another: an intermediate result gets a second name in its folder."""
    old = Path(entry["read"]["path"]) if entry["read"] else None
    if old is None or old.parent != before.scratch.resolve() or not old.exists():
        return entry
    now.scratch.mkdir(parents=True, exist_ok=True)
    path = str(now.scratch.resolve() / old.name)
    try:
        os.link(old, path)
    except OSError:  # a file system without hard links
        shutil.copyfile(old, path)
    return entry | {"read": entry["read"] | {"path": path, "files": [path]}}


def last_unfinished(root: Path, pipeline: str, selects: Sequence[str]) -> RunFolder | None:
    """The run to continue, or None.

    A run has a scope: what was selected by the run that it goes back to. Runs of another pipeline, and complete runs
    of a part, do not count. The latest run of the same scope, or of the whole pipeline, does, unless it is complete.
    """
    for folder in reversed(_run_folders(root)):
        run = RunFolder(root, folder.name)
        header = run.entries()[0] if run.ledger.exists() else None
        if header is None or header.get("pipeline") != pipeline:
            continue
        complete = _succeeded(run) and header["selects"] == header["scope"]
        if complete and not header["scope"]:
            return None
        if not complete and header["scope"] in ([], list(selects)):
            return run
    return None


def _succeeded(run: RunFolder) -> bool:
    return run.record.exists() and json.loads(run.record.read_text(encoding="utf-8"))["status"] == "succeeded"


def prune(root: Path, live: Collection[str]) -> None:
    """Keep the last runs only; intermediate results of the latest and of the `live` ones, whose frames are in use."""
    folders = _run_folders(root)
    for folder in folders[:-KEPT_RUNS]:
        if folder.name not in live:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in folders[-KEPT_RUNS:-1]:
        if folder.name not in live:
            shutil.rmtree(folder / "scratch", ignore_errors=True)


def _run_folders(root: Path) -> list[Path]:
    runs = root / "runs"
    return sorted(folder for folder in runs.iterdir() if folder.is_dir()) if runs.is_dir() else []


def versions() -> dict[str, str]:
    """Versions that a result depends on: Laktory, Python, and the engines loaded in this process."""
    found = {"laktory": __version__, "python": platform.python_version()}
    for package in ("narwhals", "polars", "duckdb", "deltalake", "pyarrow", "sqlglot"):
        if package in sys.modules:
            found[package] = metadata.version(package)
    return found
