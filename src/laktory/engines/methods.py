"""What methods of frames must be given, the same on engines where Narwhals does not say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.diagnostics import closest
from laktory.engines.asof import names
from laktory.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import narwhals as nw

    Frame = nw.LazyFrame[Any]

__all__ = ["refuse_other_kinds", "rename", "require_columns", "top_k", "unpivoted"]


def require_columns(frame: Frame, method: str, wanted: Iterable[str]) -> None:
    """Refuse the name of a column that is not there.

    Raises
    ------
    StepError
        It names the closest one.
    """
    columns = frame.collect_schema().names()
    for name in wanted:
        if name not in columns:
            hint = closest(name, columns) or f"columns: {', '.join(columns[:20])}"
            msg = f"method {method!r}: there is no column {name!r}; {hint}"
            raise StepError(msg)


def refuse_other_kinds(method: str, frame: Frame, other: Frame, lefts: Sequence[str], rights: Sequence[str]) -> None:
    """Refuse keys that an engine would cast to one another: text to a number, a large integer to a fraction near it.

    Raises
    ------
    StepError
        It names both keys and their types.
    """
    types, others = frame.collect_schema(), other.collect_schema()
    for left, right in zip(lefts, rights, strict=False):
        if left in types and right in others and _kind(types[left]) != _kind(others[right]):
            msg = f"method {method!r}: the key {left!r} is {types[left]}, {right!r} of the other frame {others[right]}"
            msg = f"{msg}; cast one of them"
            raise StepError(msg)


def _kind(dtype: nw.dtypes.DType) -> object:
    import narwhals as nw

    # where an engine has no UInt64, it holds one as a decimal
    if dtype.is_integer() or dtype == nw.Decimal(20, 0):
        return "integer"
    if dtype.is_float():
        return "fraction"
    if isinstance(dtype, (nw.Enum, nw.Categorical)):
        return nw.String
    if isinstance(dtype, nw.Datetime):
        return nw.Datetime, dtype.time_zone is None
    return type(dtype)


def rename(frame: Frame, mapping: Mapping[str, str]) -> Frame:
    """`rename` of columns that are there."""
    require_columns(frame, "rename", mapping)
    return frame.rename(dict(mapping))


def top_k(frame: Frame, k: int, *, by: str | Iterable[str], reverse: bool | Sequence[bool] = False) -> Frame:
    """The first rows of the sorted frame, NULLs last."""
    keys = [by] if isinstance(by, str) else list(by)
    require_columns(frame, "top_k", keys)
    flags = [reverse] * len(keys) if isinstance(reverse, bool) else list(reverse)
    return frame.sort(*keys, descending=[not flag for flag in flags], nulls_last=True).head(k)


def unpivoted(
    frame: Frame, on: str | Sequence[str] | None, index: str | Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Columns that `unpivot` keeps, and those that it turns into rows, in the order of `on`.

    Raises
    ------
    StepError
        There is none to turn, or one that is named is not there.
    """
    columns = frame.collect_schema().names()
    kept = names(index)
    turned = names(on) or [name for name in columns if name not in kept]
    require_columns(frame, "unpivot", [*kept, *turned])
    if not turned:
        msg = "method 'unpivot': there is no column to turn into rows"
        raise StepError(msg)
    return kept, turned
