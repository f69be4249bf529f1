"""What is left of plain values when everything at fault is taken out: the rest can be judged at once too."""

from __future__ import annotations

from datetime import date, time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from laktory.diagnostics import Path

__all__ = ["STAND_IN", "is_plain", "without"]

STAND_IN = "laktory_stand_in_"
"""Beginning of the names of nodes that stand in for nodes at fault, so that the others keep their places."""


def is_plain(value: Any) -> bool:
    """Whether values are as a text gives them: no models, frames or other objects among them."""
    if isinstance(value, dict):
        return all(is_plain(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, (str, int, float, bool, date, time))


def without(value: Any, paths: Iterable[Path]) -> Any:
    """A copy of the values without those at these paths.

    An item of a list takes the whole list along, as the places of the others would change; of the nodes of a
    pipeline, one that is at fault as a whole is replaced by an empty one.
    """
    copied = _copy(value)
    # what lies deepest goes first: of what is taken out, nothing else can be found any more
    for path in sorted(paths, key=len, reverse=True):
        _take_out(copied, path)
    return copied


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _take_out(value: Any, path: Path) -> None:
    """Remove what stands at a path, from the innermost mapping on the way to it."""
    if len(path) == 2 and path[0] == "nodes":
        value["nodes"][path[1]] = {"name": f"{STAND_IN}{path[1]}"}
        return
    innermost: tuple[dict[Any, Any], Any] | None = None
    for step in path:
        if isinstance(value, dict):
            innermost = (value, step)
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            break
    if innermost is not None:
        innermost[0].pop(innermost[1], None)
