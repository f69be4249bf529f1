"""Methods of frames that Narwhals hands to Polars in a way that costs more than it has to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw

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


METHODS: Mapping[str, Callable[..., Frame]] = {"unique": _unique}
