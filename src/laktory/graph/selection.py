"""Selection syntax: ``x``, ``*x`` (with ancestors), ``x*`` (with descendants), ``*x*``; names, task names, tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laktory.diagnostics import closest
from laktory.errors import DefinitionError
from laktory.graph.order import ancestors, descendants

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["select"]

_SHOWN = 20


def select(
    upstream: Mapping[str, Iterable[str]],
    items: Iterable[str],
    labels: Mapping[str, Iterable[str]],
) -> set[str]:
    """Names that the items select.

    Parameters
    ----------
    upstream : name → upstream names
    items : selection items; an item may hold several, separated by commas
    labels : name → its task name and tags

    Raises
    ------
    DefinitionError
        If an item is empty or selects nothing.
    """
    groups: dict[str, list[str]] = {}
    for name, marks in labels.items():
        for mark in marks:
            groups.setdefault(mark, []).append(name)
    selected: set[str] = set()
    unknown = []
    for item in [part.strip() for text in items for part in text.split(",")]:
        key = item.removeprefix("*").removesuffix("*")
        names = [key] if key in upstream else groups.get(key)
        if not names:
            unknown.append(_unknown(item, key, sorted({*upstream, *groups})))
            continue
        selected.update(names)
        if item.startswith("*"):
            selected |= ancestors(upstream, names)
        if item.endswith("*"):
            selected |= descendants(upstream, names)
    if unknown:
        raise DefinitionError("\n".join(unknown))
    return selected


def _unknown(item: str, key: str, known: list[str]) -> str:
    shown = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
    return f"{item!r} is not a node, execution_task_name or tag; {closest(key, known) or f'valid: {shown}'}"
