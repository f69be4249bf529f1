"""Order of a graph given as name → upstream names. No recursion: any depth."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from laktory.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ancestors", "descendants", "find_cycle", "sort"]


def find_cycle(upstream: Mapping[str, Iterable[str]]) -> list[str] | None:
    """A cycle as ``[a, b, a]`` in the direction rows flow, or None."""
    try:
        TopologicalSorter(upstream).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return None


def sort(upstream: Mapping[str, Iterable[str]]) -> list[str]:
    """Names so that each comes after its upstream; otherwise in the order given.

    Raises
    ------
    DefinitionError
        If there is a cycle.
    """
    cycle = find_cycle(upstream)
    if cycle:
        msg = f"not a DAG (directed acyclic graph), a circular dependency has been detected: {' → '.join(cycle)}"
        raise DefinitionError(msg)
    done: set[str] = set()
    ordered: list[str] = []
    for start in upstream:
        stack = [start]
        while stack:
            name = stack[-1]
            waiting = [other for other in upstream.get(name, ()) if other not in done]
            if waiting:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            if name not in done:
                done.add(name)
                ordered.append(name)
    return ordered


def ancestors(upstream: Mapping[str, Iterable[str]], names: Iterable[str]) -> set[str]:
    """Everything that the given names depend on, themselves excluded unless reached."""
    found: set[str] = set()
    stack = [other for name in names for other in upstream.get(name, ())]
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(upstream.get(name, ()))
    return found


def descendants(upstream: Mapping[str, Iterable[str]], names: Iterable[str]) -> set[str]:
    """Everything that depends on the given names."""
    downstream: dict[str, list[str]] = {}
    for name, others in upstream.items():
        for other in others:
            downstream.setdefault(other, []).append(name)
    return ancestors(downstream, names)
