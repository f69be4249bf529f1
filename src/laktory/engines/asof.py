"""Keys of a join on the nearest key, as its arguments name them: one reading for all engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from laktory.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AsofKeys", "asof_keys", "names"]


class AsofKeys(NamedTuple):
    """Key of each side that is compared, and those that must be equal."""

    left: str
    right: str
    by_left: list[str]
    by_right: list[str]


def asof_keys(
    on: str | None,
    left_on: str | None,
    right_on: str | None,
    by: str | Sequence[str] | None,
    by_left: str | Sequence[str] | None,
    by_right: str | Sequence[str] | None,
) -> AsofKeys:
    """The keys of ``join_asof``.

    Raises
    ------
    StepError
        There is none to compare, or one side has more equal ones than the other.
    """
    left, right = on or left_on, on or right_on
    if left is None or right is None:
        msg = "method 'join_asof': give 'on', or 'left_on' and 'right_on'"
        raise StepError(msg)
    keys = AsofKeys(left, right, names(by if by is not None else by_left), names(by if by is not None else by_right))
    if len(keys.by_left) != len(keys.by_right):
        msg = f"method 'join_asof': 'by_left' names {len(keys.by_left)} column(s) and 'by_right' {len(keys.by_right)}"
        raise StepError(f"{msg}; each needs its partner")
    return keys


def names(value: str | Sequence[str] | None) -> list[str]:
    """One name, several or none, as a list."""
    return [value] if isinstance(value, str) else list(value or [])
