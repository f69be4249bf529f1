"""Methods of frames that Narwhals gets wrong over a frame of Spark, or has not, done right.

`unique` of Narwhals takes the name in `order_by` letter by letter and counts no further than each row where it should
keep `none`; Sail tells zeros by their sign. `drop_nulls` takes NaN for NULL. `join` compares text with numbers.
`unpivot` chooses an order of the columns by chance.

What Narwhals calls by itself, too, is mended in its class, once, when the engine is imported.
"""

# ruff: noqa: S608 - queries are made of quoted names
# ruff: noqa: SLF001 - Narwhals has no public way to change what its classes do

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

import narwhals as nw
from narwhals._spark_like.dataframe import SparkLikeLazyFrame
from narwhals._spark_like.utils import evaluate_exprs

from laktory.engines._spark.connection import is_sail
from laktory.engines._spark.sql import query
from laktory.engines._spark.types import identifier, literal
from laktory.engines.asof import asof_keys, names
from laktory.engines.methods import refuse_other_kinds, rename, require_columns, top_k, unpivoted
from laktory.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from narwhals._spark_like.expr import SparkLikeExpr

    Frame = nw.LazyFrame[Any]

__all__ = ["METHODS"]

_POSITION = "monotonically_increasing_id()"


def _unique(
    frame: Frame,
    subset: str | list[str] | None = None,
    *,
    keep: Any = "any",
    order_by: str | Sequence[str] | None = None,
) -> Frame:
    types = frame.collect_schema()
    keys = names(subset) or types.names()
    require_columns(frame, "unique", [*keys, *names(order_by)])
    native = nw.to_native(frame)
    if native.isStreaming and keep == "any":
        kept: Frame = nw.from_native(native.dropDuplicates(names(subset) or None))
        return kept
    if keep in {"first", "last"} and not names(order_by):
        return frame.unique(subset, keep=keep)  # what is missing is told by Narwhals
    direction = "DESC NULLS LAST" if keep == "last" else "ASC NULLS FIRST"
    # without duplicates there is no order to keep them in
    order = [f"{identifier(name)} {direction}" for name in names(order_by) if keep != "none"] or ["1"]
    by = ", ".join(_equal(name, types[name]) for name in keys)
    mark = _free("laktory_row", types)
    counted = f"count(*) OVER (PARTITION BY {by})"
    if keep != "none":
        counted = f"row_number() OVER (PARTITION BY {by} ORDER BY {', '.join(order)})"
    columns = ", ".join(map(identifier, types))
    return _query(f"SELECT {columns} FROM (SELECT *, {counted} AS {mark} FROM lhs) WHERE {mark} = 1", lhs=frame)


def _equal(name: str, dtype: nw.dtypes.DType) -> str:
    """The column as a key: a zero is equal to one of the other sign."""
    return f"({identifier(name)} + 0)" if dtype.is_float() else identifier(name)


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
        msg = f"method 'join_asof': the strategy {strategy!r} is not available on PYSPARK; 'backward' and 'forward' are"
        raise StepError(msg)
    left, right, lefts, rights = asof_keys(on, left_on, right_on, by, by_left, by_right)
    require_columns(frame, "join_asof", [left, *lefts])
    require_columns(other, "join_asof", [right, *rights])
    refuse_other_kinds("join_asof", frame, other, [left, *lefts], [right, *rights])
    columns, others = nw.to_native(frame).schema.fields, nw.to_native(other).schema.fields
    taken = {field.name for field in columns}
    # the time that was found is a value of its own
    keys = {*rights, right} if left == right else {*rights}
    added = [field for field in others if field.name not in keys]
    if not added:
        return frame
    # Spark has no join on the nearest key: the rows of both sides in one order, and for each row of the left one
    # the last of the right one before it
    way = "ASC" if strategy == "backward" else "DESC"
    groups = [f"k{number}" for number in range(len(lefts))]
    lhs = [*_named([left, *lefts], groups), "1 AS side", "0 AS n"]
    # below a window, Sail forgets the order for which it numbers rows; Spark has none within a window
    position = "row_number() OVER (ORDER BY 1)" if is_sail(nw.to_native(frame).sparkSession) else _POSITION
    rhs = [*_named([right, *rights], groups), "0 AS side", f"{position} AS n"]
    for number, field in enumerate(columns):
        lhs.append(f"{identifier(field.name)} AS l{number}")
        rhs.append(f"CAST(NULL AS {field.dataType.simpleString()}) AS l{number}")
    for number, field in enumerate(added):
        lhs.append(f"CAST(NULL AS {field.dataType.simpleString()}) AS r{number}")
        rhs.append(f"{identifier(field.name)} AS r{number}")
    known = " AND ".join(f"{name} IS NOT NULL" for name in ("t", *groups))
    both = f"SELECT {', '.join(lhs)} FROM lhs UNION ALL SELECT * FROM (SELECT {', '.join(rhs)} FROM rhs) WHERE {known}"
    partition = f"PARTITION BY {', '.join(groups)} " if groups else ""
    window = f"{partition}ORDER BY t {way}, side, n {way} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    pairs = ", ".join(f"'r{number}', r{number}" for number in range(len(added)))
    row = f"CASE WHEN side = 0 THEN named_struct({pairs}) END"
    found = f"SELECT *, last_value({row}) IGNORE NULLS OVER ({window}) AS f FROM ({both})"
    selected = [f"l{number} AS {identifier(field.name)}" for number, field in enumerate(columns)]
    for number, field in enumerate(added):
        name = field.name + suffix if field.name in taken else field.name
        selected.append(f"CASE WHEN t IS NOT NULL THEN f.r{number} END AS {identifier(name)}")
    return _query(f"SELECT {', '.join(selected)} FROM ({found}) WHERE side = 1", lhs=frame, rhs=other)


def _named(keys: Sequence[str], groups: Sequence[str]) -> list[str]:
    return [f"{identifier(key)} AS {name}" for key, name in zip(keys, ("t", *groups), strict=True)]


def _unpivot(
    frame: Frame,
    on: str | Sequence[str] | None = None,
    *,
    index: str | Sequence[str] | None = None,
    variable_name: str = "variable",
    value_name: str = "value",
) -> Frame:
    kept, turned = unpivoted(frame, on, index)
    types = frame.collect_schema()
    kinds = {types[name] for name in turned}
    if len(kinds) > 1 and not all(dtype.is_numeric() for dtype in kinds):
        shown = ", ".join(f"{name!r} is {types[name]}" for name in turned)
        msg = f"method 'unpivot': columns of several types cannot become one: {shown}; cast them"
        raise StepError(msg)
    # one pass over the frame, NULLs included; Sail stops at `unpivot` of columns with and without NULLs
    pairs = ", ".join(f"named_struct('n', {literal(name)}, 'v', {identifier(name)})" for name in turned)
    columns = "".join(f"{identifier(name)}, " for name in kept)
    exploded = f"SELECT {columns}explode(array({pairs})) AS laktory_pair FROM lhs"
    made = f"laktory_pair.n AS {identifier(variable_name)}, laktory_pair.v AS {identifier(value_name)}"
    return _query(f"SELECT {columns}{made} FROM ({exploded})", lhs=frame)


def _drop_nulls(frame: Any, subset: Sequence[str] | None) -> Any:
    known = (frame._F.isnotnull(frame._F.col(identifier(name))) for name in subset or frame.columns)
    return frame._with_native(frame.native.filter(reduce(and_, known)))


def _aggregate(frame: Any, *exprs: SparkLikeExpr) -> Any:
    """Sail knows no aggregate of constants alone, which are one row."""
    if not all(expr._metadata is not None and expr._metadata.is_literal for expr in exprs):
        return _narwhals_aggregate(frame, *exprs)
    found = evaluate_exprs(frame, *exprs)
    columns = [column.alias(name) for name, column in found]
    counted = _free("laktory_rows", (name for name, _ in found))
    one = frame.native.agg(*columns, frame._F.count(frame._F.lit(1)).alias(counted))
    return frame._with_native(one.drop(counted))


_narwhals_aggregate = SparkLikeLazyFrame.aggregate
for _name, _method in {"aggregate": _aggregate, "drop_nulls": _drop_nulls}.items():
    setattr(SparkLikeLazyFrame, _name, _method)


METHODS: Mapping[str, Callable[..., Frame]] = {
    "join": _join,
    "join_asof": _join_asof,
    "rename": rename,
    "top_k": top_k,
    "unique": _unique,
    "unpivot": _unpivot,
}


def _query(statement: str, **frames: Frame) -> Frame:
    natives = {name: nw.to_native(frame) for name, frame in frames.items()}
    made: Frame = nw.from_native(query(natives["lhs"].sparkSession, statement, natives))
    return made


def _free(name: str, taken: Iterable[str]) -> str:
    used = {other.casefold() for other in taken}
    while name in used:
        name += "_"
    return name
