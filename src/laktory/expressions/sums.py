"""Sums of dataframe expressions over types in which an engine lets them overflow or lose digits, in wider ones.

What is too narrow the engine tells itself: by the type that it would give the sum.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from laktory.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import narwhals as nw

    Frame = nw.LazyFrame[Any] | nw.DataFrame[Any]

__all__ = ["functions", "methods"]

_OF_WHOLE = ("sum", "cum_sum", "rolling_sum", "list.sum")
_OF_FRACTIONS = ("mean", "std", "var", "rolling_mean", "rolling_std", "rolling_var", "list.mean")


def methods(frame: Frame) -> Mapping[str, Callable[..., Any]]:
    """Methods of an expression for a frame, in place of those of Narwhals; the expression comes first."""
    return {name: partial(_called, frame, name) for name in (*_OF_WHOLE, *_OF_FRACTIONS)}


def functions(frame: Frame) -> Mapping[str, Callable[..., Any]]:
    """``nw.sum`` and ``nw.mean`` for a frame."""
    import narwhals as nw

    def of_columns(name: str, *columns: Any) -> Any:
        return _called(frame, name, nw.col(*columns))

    return {name: partial(of_columns, name) for name in ("sum", "mean")}


def _called(frame: Frame, name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
    import narwhals as nw

    def cast(dtype: Any) -> Any:
        return value.cast(nw.List(dtype) if of_lists else dtype)

    of_lists, whole, result = name.startswith("list."), name in _OF_WHOLE, None
    found = _types(frame, value.list if of_lists else value)
    narrow, long, fraction = {nw.Int32(), nw.UInt32()}, {nw.Int64(), nw.UInt64()}, {nw.Float32()}
    if found and found <= fraction:
        value = cast(nw.Float64)
    elif whole and found and found <= narrow:
        value = cast(nw.Int64)
    elif whole and found and found <= narrow | long:
        # what does not fit stops the run, when it is cast back
        value, result = cast(nw.Int128), nw.Int64
    elif whole and found & (narrow | fraction):
        if of_lists or nw.UInt64() in found:
            msg = "columns of several types are added up; choose those of one type, and sum the rest apart"
            raise ExpressionError(msg)
        value = value + nw.lit(0, dtype=nw.Int64)
    calculated = getattr(value.list if of_lists else value, name.removeprefix("list."))(*args, **kwargs)
    return calculated if result is None else calculated.cast(result)


def _types(frame: Frame, value: Any) -> set[Any]:
    """Types of the sums of a value; none if the frame does not take it, which the call itself tells best."""
    try:
        return set(frame.select(value.sum()).collect_schema().values())
    except Exception:  # noqa: BLE001 - of any library
        return set()
