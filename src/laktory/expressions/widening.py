"""Calls in dataframe expressions whose types are so narrow on an engine that they overflow, or lose digits.

What is too narrow for a sum the engine tells itself: by the type that it would give it. Counts and parts of dates are
Int64 on every engine: of an Int8, ``month() * 100`` would wrap around.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from laktory.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import narwhals as nw

    Frame = nw.LazyFrame[Any] | nw.DataFrame[Any]

__all__ = ["functions", "methods"]

_OF_WHOLE = ("sum", "cum_sum", "rolling_sum", "list.sum")
_OF_FRACTIONS = ("mean", "std", "var", "rolling_mean", "rolling_std", "rolling_var", "list.mean")
_COUNTS = (
    *("count", "n_unique", "null_count", "rank", "list.len", "str.len_chars"),
    *("dt.year", "dt.month", "dt.day", "dt.hour", "dt.minute", "dt.second", "dt.ordinal_day", "dt.weekday"),
    *("dt.millisecond", "dt.microsecond", "dt.nanosecond"),
)


def methods(frame: Frame) -> Mapping[str, Callable[..., Any]]:
    """Methods of an expression for a frame, in place of those of Narwhals; the expression comes first."""
    wide = {name: partial(_called, frame, name) for name in (*_OF_WHOLE, *_OF_FRACTIONS)}
    return wide | {name: partial(_counted, name) for name in _COUNTS}


def functions(frame: Frame) -> Mapping[str, Callable[..., Any]]:
    """``nw.sum``, ``nw.mean`` and ``nw.len`` for a frame."""
    import narwhals as nw

    def of_columns(name: str, *columns: Any) -> Any:
        return _called(frame, name, nw.col(*columns))

    wide: dict[str, Callable[..., Any]] = {name: partial(of_columns, name) for name in ("sum", "mean")}
    return wide | {"len": lambda: nw.len().cast(nw.Int64)}


def _counted(name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
    import narwhals as nw

    calculated = attrgetter(name)(value)(*args, **kwargs)
    averaged = name == "rank" and (*args, kwargs.get("method", "average"))[0] == "average"
    return calculated if averaged else calculated.cast(nw.Int64)


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
    elif found & fraction and all(dtype.is_numeric() for dtype in found):
        value = value + nw.lit(0, dtype=nw.Int64)  # with a Float32 it makes Float64
    calculated = getattr(value.list if of_lists else value, name.removeprefix("list."))(*args, **kwargs)
    return calculated if result is None else calculated.cast(result)


def _types(frame: Frame, value: Any) -> set[Any]:
    """Types of the sums of a value; none if the frame does not take it, which the call itself tells best."""
    try:
        return set(frame.select(value.sum()).collect_schema().values())
    except Exception:  # noqa: BLE001 - of any library
        return set()
