"""Nodes grouped into tasks of an orchestrator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from laktory.errors import DefinitionError
from laktory.graph.order import find_cycle, sort

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Task", "TaskCycleError", "group_tasks"]


@dataclass(frozen=True, slots=True)
class Task:
    """Nodes that one task executes, in order, and the tasks that come before it."""

    name: str
    nodes: tuple[str, ...]
    upstream: tuple[str, ...]


class TaskCycleError(DefinitionError):
    """Tasks wait for each other; `tasks` names them."""

    def __init__(self, message: str, tasks: tuple[str, ...]) -> None:
        super().__init__(message)
        self.tasks = tasks


def group_tasks(
    upstream: Mapping[str, Iterable[str]], task_of: Mapping[str, str], implicit: Iterable[str]
) -> list[Task]:
    """Tasks in topological order.

    Parameters
    ----------
    upstream : node → upstream nodes, of the nodes to run
    task_of : node → name of its task
    implicit : nodes that get no task: they run when a downstream node reads them

    Raises
    ------
    TaskCycleError
        If grouping makes tasks depend on each other in a circle.
    """
    implicit = set(implicit)
    order = sort(upstream)
    effective: dict[str, set[str]] = {}
    for node in order:
        near: set[str] = set()
        for other in upstream[node]:
            near |= effective[other] if other in implicit else {other}
        effective[node] = near
    nodes: dict[str, list[str]] = {}
    before: dict[str, dict[str, None]] = {}
    for node in order:
        if node in implicit:
            continue
        task = task_of[node]
        nodes.setdefault(task, []).append(node)
        edges = before.setdefault(task, {})
        edges.update(dict.fromkeys(task_of[other] for other in effective[node] if task_of[other] != task))
    cycle = find_cycle(before)
    if cycle:
        msg = f"execution_task_name groups nodes in a circle: {' → '.join(cycle)}"
        raise TaskCycleError(msg, tuple(cycle))
    return [Task(name, tuple(nodes[name]), tuple(sorted(before[name]))) for name in sort(before)]
