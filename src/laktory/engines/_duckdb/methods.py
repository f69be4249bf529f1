"""Methods of frames that Narwhals gets wrong over a relation of DuckDB, done right.

`top_k`, `unpivot` and `join_asof` of Narwhals look for a relation on another connection than its own; `rename`
says nothing when a column is not there; `unique` takes the name in `order_by` letter by letter and counts no
further than each row where it should keep `none`; `join` compares text with numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw

from laktory.engines._duckdb.types import identifier
from laktory.engines.asof import asof_keys, names
from laktory.engines.methods import refuse_other_kinds, rename, require_columns, top_k, unpivoted
from laktory.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Frame = nw.LazyFrame[Any]

__all__ = ["METHODS"]


def _unpivot(
    frame: Frame,
    on: str | Sequence[str] | None = None,
    *,
    index: str | Sequence[str] | None = None,
    variable_name: str = "variable",
    value_name: str = "value",
) -> Frame:
    kept, turned = unpivoted(frame, on, index)
    # one part per column in the order of `on`, NULLs included, as other engines give it
    parts = [frame.select(*kept, nw.lit(name).alias(variable_name), nw.col(name).alias(value_name)) for name in turned]
    return nw.concat(parts, how="vertical")


def _unique(
    frame: Frame,
    subset: str | list[str] | None = None,
    *,
    keep: Any = "any",
    order_by: str | Sequence[str] | None = None,
) -> Frame:
    # without duplicates there is no order to keep them in
    order = None if keep == "none" else names(order_by) or None
    return frame.unique(subset, keep=keep, order_by=order)


def _join(
    frame: Frame,
    other: Frame,
    on: str | list[str] | None = None,
    how: Any = "inner",
    *,
    left_on: str | list[str] | None = None,
    right_on: str | list[str] | None = None,
    suffix: str = "_right",
) -> Frame:
    refuse_other_kinds("join", frame, other, names(on or left_on), names(on or right_on))
    return frame.join(other, on, how, left_on=left_on, right_on=right_on, suffix=suffix)


def _join_asof(
    frame: Frame,
    other: Frame,
    *,
    left_on: str | None = None,
    right_on: str | None = None,
    on: str | None = None,
    by_left: str | Sequence[str] | None = None,
    by_right: str | Sequence[str] | None = None,
    by: str | Sequence[str] | None = None,
    strategy: str = "backward",
    suffix: str = "_right",
) -> Frame:
    if strategy not in {"backward", "forward"}:
        msg = f"method 'join_asof': the strategy {strategy!r} is not available on DUCKDB; 'backward' and 'forward' are"
        raise StepError(msg)
    left, right, lefts, rights = asof_keys(on, left_on, right_on, by, by_left, by_right)
    require_columns(frame, "join_asof", [left, *lefts])
    require_columns(other, "join_asof", [right, *rights])
    refuse_other_kinds("join_asof", frame, other, [left, *lefts], [right, *rights])
    sign = ">=" if strategy == "backward" else "<="
    pairs = [(left, sign, right), *((one, "=", two) for one, two in zip(lefts, rights, strict=True))]
    condition = " AND ".join(f"lhs.{identifier(one)} {how} rhs.{identifier(two)}" for one, how, two in pairs)
    columns = frame.collect_schema().names()
    # the time that was found is a value of its own
    keys = {*rights, right} if left == right else {*rights}
    added = [name for name in other.collect_schema().names() if name not in keys]
    selected = [f"lhs.{identifier(name)} AS {identifier(name)}" for name in columns]
    selected += [
        f"rhs.{identifier(name)} AS {identifier(name + suffix if name in columns else name)}" for name in added
    ]
    # relations have no method for it, so the other frame stands in the query as text
    inner = _one_of_equals(nw.to_native(other), [right, *rights], last=strategy == "backward")
    query = f"SELECT {', '.join(selected)} FROM lhs ASOF LEFT JOIN (\n{inner}\n) AS rhs ON {condition}"  # noqa: S608
    joined: Frame = nw.from_native(nw.to_native(frame).query("lhs", query))
    return joined


def _one_of_equals(relation: Any, keys: Sequence[str], *, last: bool) -> str:
    """Of rows with equal keys the one nearest in the order of the frame, as a query: DuckDB would take any."""
    number = "laktory_row"
    while number in {name.casefold() for name in relation.columns}:
        number += "_"
    numbered = f"SELECT *, row_number() OVER () AS {number} FROM (\n{relation.sql_query()}\n)"  # noqa: S608
    partition = f"PARTITION BY {', '.join(map(identifier, keys))} ORDER BY {number}{' DESC' if last else ''}"
    return f"SELECT * EXCLUDE ({number}) FROM ({numbered}) QUALIFY row_number() OVER ({partition}) = 1"  # noqa: S608


METHODS: Mapping[str, Callable[..., Frame]] = {
    "join": _join,
    "join_asof": _join_asof,
    "rename": rename,
    "top_k": top_k,
    "unique": _unique,
    "unpivot": _unpivot,
}
