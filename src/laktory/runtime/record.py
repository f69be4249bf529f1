"""The run's ledger and record, under the pipeline's root path.

``runs/<run id>/ledger.jsonl`` gets a line for each node the moment it is committed; ``runs/<run id>/record.json``
tells how the run ended. A run without a record, or whose record does not say ``succeeded``, can be resumed.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import uuid
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from laktory._version import __version__
from laktory.diagnostics.secrets import redact
from laktory.storage import append_line, write_text

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RunFolder", "last_unfinished", "new_run_id", "prune", "versions"]

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

    def open(self, header: dict[str, Any]) -> None:
        """Create the folder; the first ledger line says what the run is."""
        self.path.mkdir(parents=True)
        append_line(str(self.ledger), json.dumps(header))

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

    def drop_scratch(self) -> None:
        """Remove intermediate results."""
        shutil.rmtree(self.scratch, ignore_errors=True)


def last_unfinished(root: Path) -> RunFolder | None:
    """The latest run if it did not succeed, else None."""
    folders = _run_folders(root)
    if not folders:
        return None
    run = RunFolder(root, folders[-1].name)
    if not run.ledger.exists():
        return None
    if run.record.exists() and json.loads(run.record.read_text(encoding="utf-8"))["status"] == "succeeded":
        return None
    return run


def prune(root: Path) -> None:
    """Keep the last runs only; intermediate results only of the latest."""
    folders = _run_folders(root)
    for folder in folders[:-KEPT_RUNS]:
        shutil.rmtree(folder, ignore_errors=True)
    for folder in folders[-KEPT_RUNS:-1]:
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
