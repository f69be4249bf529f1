"""Methods of frames that Narwhals hands to Polars in a way that costs more than it has to, or asks too much.

`join_asof` of Polars wants sorted frames; with `by` it cannot see that they are not, and misses rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import narwhals as nw

from laktory.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl

    Frame = nw.LazyFrame[Any]

__all__ = ["METHODS"]


def _unique(
    frame: Frame,
    subset: str | list[str] | None = None,
    *,
    keep: Any = "any",
    order_by: str | Sequence[str] | None = None,
) -> Frame:
    made = frame.unique(subset, keep=keep, order_by=order_by)
    if keep != "any" or subset is None or order_by is not None:
        return made
    # the first row is any row, and to know it the keys are held; for "any", Polars holds all columns of all rows kept
    native: pl.LazyFrame = nw.to_native(frame)
    return nw.from_native(native.unique(subset, keep="first", maintain_order=True))


def _join_asof(
    frame: Frame,
    other: Frame,
    *,
    left_on: str | None = None,
    right_on: str | None = None,
    on: str | None = None,
    by_left: str | list[str] | None = None,
    by_right: str | list[str] | None = None,
    by: str | list[str] | None = None,
    strategy: Literal["backward", "forward", "nearest"] = "backward",
    suffix: str = "_right",
) -> Frame:
    left, right = on or left_on, on or right_on
    if left is None or right is None:
        msg = "method 'join_asof': give 'on', or 'left_on' and 'right_on'"
        raise StepError(msg)
    lhs: pl.LazyFrame = nw.to_native(frame).sort(left, maintain_order=True)
    rhs: pl.LazyFrame = nw.to_native(other).sort(right, maintain_order=True)
    joined = lhs.join_asof(
        rhs,
        left_on=left,
        right_on=right,
        by_left=by if by is not None else by_left,
        by_right=by if by is not None else by_right,
        strategy=strategy,
        suffix=suffix,
        check_sortedness=False,
    )
    return nw.from_native(joined)


METHODS: Mapping[str, Callable[..., Frame]] = {"join_asof": _join_asof, "unique": _unique}
