"""What happens during a run, as data. The console, the log and the record are listeners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from laktory.planning import Plan

__all__ = ["Event", "Listener", "NodeEnded", "NodeStarted", "RunEnded", "RunStarted", "Status"]

Status = Literal["succeeded", "failed", "skipped", "resumed", "interrupted"]
"""How a node ended. ``resumed``: committed by the run that this one continues."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins."""

    run_id: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A node begins."""

    node: str


@dataclass(frozen=True, slots=True)
class NodeEnded:
    """A node ended; `outcome` is its entry in the run record."""

    node: str
    status: Status
    outcome: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run ended; `record` is what was written to disk."""

    record: dict[str, Any]


Event = RunStarted | NodeStarted | NodeEnded | RunEnded

if TYPE_CHECKING:
    Listener = Callable[[Event], None]
else:
    Listener = object
