"""Pure functions on names: order, cycles, selection, task groups. Imports nothing of Laktory but errors."""

from laktory.graph.order import ancestors, descendants, find_cycle, sort
from laktory.graph.selection import select
from laktory.graph.tasks import Task, TaskCycleError, group_tasks

__all__ = ["Task", "TaskCycleError", "ancestors", "descendants", "find_cycle", "group_tasks", "select", "sort"]
