"""Rows that rules of a node took out in its last run, or that stopped it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.checks import Failed
from laktory.models.dataquality import DataQualityExpectation
from laktory.runtime.ledger import kept_read
from laktory.runtime.record import RunFolder, run_folders
from laktory.runtime.sessions import standing
from laktory.storage import file_name

if TYPE_CHECKING:
    import narwhals as nw

    from laktory.models.pipeline.pipeline import Pipeline

__all__ = ["Rejected", "last_rejected"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """What rules found in the last run that judged a node.

    Attributes
    ----------
    run_id : that run
    outcome : entry of the node in its record
    rows : rows in quarantine, and those that stopped the node, with the names of the rules they failed; None where the
        run was stopped before it had them, and where no rule looks at single rows
    """

    run_id: str
    outcome: dict[str, Any]
    rows: nw.LazyFrame[Any] | None


def last_rejected(pipeline: Pipeline, node: str) -> Rejected | None:
    """What rules of a node found last, None if no run has judged it."""
    for run in reversed(run_folders(Path(pipeline.root_path).absolute())):
        outcome = _outcome(run, pipeline.name, node)
        if outcome is not None and "checks" in outcome:
            return Rejected(run.run_id, outcome, _rows(run, node, outcome))
    return None


def _outcome(run: RunFolder, pipeline: str, node: str) -> dict[str, Any] | None:
    try:
        record = json.loads(run.record.read_text(encoding="utf-8"))
        nodes = record["nodes"] if record["pipeline"] == pipeline else []
    except (OSError, ValueError, KeyError, TypeError):  # killed, or damaged
        return None
    return next((entry for entry in nodes if entry["name"] == node), None)


def _rows(run: RunFolder, node: str, outcome: dict[str, Any]) -> nw.LazyFrame[Any] | None:
    path = run.quarantine.resolve() / f"{file_name(node)}.parquet"
    if not path.exists():
        return None
    # the rules of that run: the definition may have changed
    rules = [
        DataQualityExpectation(name=fact["name"], expr=fact["expr"], type=fact["type"], action=fact["action"])
        for fact in outcome["checks"]
    ]
    session = standing().get("POLARS")
    frame = session.scan(kept_read(str(path), "PARQUET"))
    return Failed.of(session.schema(frame).names(), rules).rejected(frame)
