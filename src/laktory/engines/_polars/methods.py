"""Methods of frames that Narwhals hands to Polars in a way that costs more than it has to, or asks too much.

`join_asof` of Polars wants sorted frames; with `by` it cannot see that they are not, and misses rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import narwhals as nw

from laktory.engines.asof import asof_keys

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
    keys = asof_keys(on, left_on, right_on, by, by_left, by_right)
    lhs: pl.LazyFrame = nw.to_native(frame).sort(keys.left, maintain_order=True)
    rhs: pl.LazyFrame = nw.to_native(other).sort(keys.right, maintain_order=True)
    joined = lhs.join_asof(
        rhs,
        left_on=keys.left,
        right_on=keys.right,
        by_left=keys.by_left or None,
        by_right=keys.by_right or None,
        strategy=strategy,
        suffix=suffix,
        check_sortedness=False,
    )
    return nw.from_native(joined)


METHODS: Mapping[str, Callable[..., Frame]] = {"join_asof": _join_asof, "unique": _unique}
