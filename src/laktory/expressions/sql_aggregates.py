"""Aggregates and window functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.expressions.sql_build import (
    FLOATS,
    by_dtype,
    call_name,
    floating,
    integer_argument,
    is_category,
    kind,
    literal,
    refuse,
    untyped_column,
    when,
)
from laktory.expressions.sql_types import choices, summable

if TYPE_CHECKING:
    from collections.abc import Callable

    from laktory.expressions.sql_build import Compile, Handler

__all__ = ["AGGREGATES", "HANDLERS"]

AGGREGATES = frozenset(
    {
        *("sum", "avg", "count", "countif", "min", "max", "median", "logicaland", "logicalor"),
        *("stddev", "stddevsamp", "stddevpop", "variance", "variancepop"),
    }
)
"""Keys of the nodes that turn many rows into one value."""


# ---- aggregates ------------------------------------------------------------------------------


def _column_argument(node: Any) -> None:
    from sqlglot import exp

    inner = node.this
    if inner is None or not any(True for _ in inner.find_all(exp.Column)):
        refuse(f"{call_name(node)} needs a column", node)
    for part in inner.walk():
        if part.key in AGGREGATES or isinstance(part, exp.Window):
            refuse(f"{call_name(node)} cannot be applied to {call_name(part)}", node)
        if isinstance(part, exp.Distinct):
            refuse(f"{call_name(node)}(DISTINCT …) is not available; only COUNT(DISTINCT …) is", node)


def _aggregate(function: Callable[[Any], Any]) -> Handler:
    def handler(node: Any, compile_: Compile) -> Any:
        import narwhals as nw

        _column_argument(node)
        found = kind(node.this)
        if found not in {None, "integer", "float", "decimal", "number", "boolean", "null"}:
            refuse(f"{call_name(node)} takes numbers, not {'text' if found == 'text' else f'a {found} value'}", node)
        value = compile_(node.this)
        return function(value.cast(nw.Int64) if found == "boolean" else value)

    return handler


def _sum(node: Any, compile_: Compile) -> Any:
    """NULL when there is nothing to add."""
    import narwhals as nw

    value = _aggregate(lambda value: value)(node, compile_)
    # narrow integers would overflow silently on Polars
    total = (value + literal(0) if kind(node.this) in {None, "number"} else summable(node.this, value)).sum()
    return when(value.count() > 0, total.cast(nw.Int64) if kind(node.this) in {"integer", "boolean"} else total)


def _int64(value: Any) -> Any:
    import narwhals as nw

    return value.cast(nw.Int64)


def _count(node: Any, compile_: Compile) -> Any:
    import narwhals as nw
    from sqlglot import exp

    if isinstance(node.this, (exp.Star, exp.Literal)):
        return _int64(nw.len())
    if isinstance(node.this, exp.Distinct):
        if len(node.this.expressions) != 1:
            refuse("COUNT(DISTINCT …) takes one value", node)
        inner = node.copy()
        inner.set("this", node.this.expressions[0])
        _column_argument(inner)
        value = compile_(node.this.expressions[0])
        distinct = _int64(value.n_unique()) - when(value.null_count() > 0, literal(1), literal(0))
        return when(value.count() > 0, distinct, literal(0))
    _column_argument(node)
    return _int64(compile_(node.this).count())


def _count_if(node: Any, compile_: Compile) -> Any:
    _column_argument(node)
    return _int64(when(compile_(node.this), literal(1)).count())


def _ordered_argument(node: Any) -> None:
    _column_argument(node)
    if (found := kind(node.this)) in {"list", "struct"}:
        refuse(f"{call_name(node)} takes values that have an order, not a {found}", node)


def _min(node: Any, compile_: Compile) -> Any:
    _ordered_argument(node)
    return compile_(node.this).min()


def _max(node: Any, compile_: Compile) -> Any:
    """NaN counts only where there is nothing else, as for MIN."""
    import narwhals as nw

    _ordered_argument(node)
    value = compile_(node.this)
    if untyped_column(node.this):
        floats = (FLOATS, nw.Float64, lambda column: column.is_nan())
        nan = by_dtype(node.this.name, [floats], lambda column: column.is_null() & literal(value=False))
    elif kind(node.this) in {"float", "number"}:
        nan = value.is_nan()
    else:
        return value.max()
    return nw.coalesce(when(~nan, value).max(), value.max())


def _truth(name: str) -> Handler:
    def handler(node: Any, compile_: Compile) -> Any:
        _column_argument(node)
        if kind(node.this) not in {None, "boolean", "null"}:
            refuse(f"{call_name(node)} takes a condition, not {node.this.sql()}", node)
        value = compile_(node.this)
        return when(value.count() > 0, getattr(value, name)())

    return handler


def _filter(node: Any, compile_: Compile) -> Any:
    """``SUM(x) FILTER (WHERE p)``: rows outside p count as NULL."""
    from sqlglot import exp

    aggregate, condition = node.this, node.expression.this
    if aggregate.key not in AGGREGATES or isinstance(aggregate.this, exp.Distinct):
        refuse("FILTER follows an aggregate without DISTINCT", node)
    inner = aggregate.copy()
    value = exp.Literal.number(1) if isinstance(aggregate.this, exp.Star) else aggregate.this
    inner.set("this", exp.Case(ifs=[exp.If(this=condition.copy(), true=value.copy())]))
    return compile_(inner)


def _refused_first(node: Any, _: Compile) -> Any:
    hint = "use MIN, MAX or FIRST_VALUE(x) OVER (PARTITION BY … ORDER BY …)"
    refuse(f"{call_name(node)} depends on the order of the rows; {hint}", node)


# ---- windows ---------------------------------------------------------------------------------


def _window(node: Any, compile_: Compile) -> Any:
    from sqlglot import exp

    if node.args.get("alias") is not None:
        refuse("named windows are not available; write OVER (PARTITION BY … ORDER BY …)", node)
    partition = [_plain_column(part, "PARTITION BY") for part in node.args.get("partition_by") or []]
    order, descending = _order(node.args.get("order"))
    function, spec = node.this, node.args.get("spec")
    if function.key in _RANKINGS:
        if spec is not None:
            refuse(f"{call_name(function)} takes no ROWS or RANGE", node)
        if not order:
            refuse(f"{call_name(function)} needs ORDER BY in its OVER (…)", node)
        return _RANKINGS[function.key](function, compile_, partition, order, descending)
    aggregate = function.this if isinstance(function, exp.Filter) else function
    if aggregate.key not in AGGREGATES:
        refuse(f"{call_name(function)} cannot be used with OVER", node)
    if order or spec is not None:
        return _running(node, compile_, partition, order, descending)
    value = compile_(function)
    if partition:
        return value.over(*partition)
    column = next((name.name for name in function.find_all(exp.Column)), None)
    return _spread(value, column, node)


def _spread(value: Any, column: str | None, node: Any) -> Any:
    """One value beside every row: something of the rows themselves has to be in the expression."""
    import narwhals as nw

    if column is None:
        refuse("OVER () needs a column in the aggregate: COUNT(id) OVER () instead of COUNT(*) OVER ()", node)
    return when(nw.col(column).is_null() | literal(value=True), value)


def _plain_column(node: Any, clause: str) -> str:
    from sqlglot import exp

    if not isinstance(node, exp.Column) or len(node.parts) != 1:
        refuse(f"{clause} in OVER (…) takes columns; compute {node.sql()!r} in a step before", node)
    return str(node.name)


def _order(order: Any) -> tuple[list[str], bool]:
    """Columns and direction. NULL is the smallest value: first when ascending, last when descending."""
    if order is None:
        return [], False
    columns = [_plain_column(item.this, "ORDER BY") for item in order.expressions]
    for item in order.expressions:
        if is_category(item.this):
            refuse(
                f"ORDER BY {item.this.sql()} would follow its categories on some engines; CAST it AS VARCHAR in a "
                "step before",
                order,
            )
    directions = {bool(item.args.get("desc")) for item in order.expressions}
    if len(directions) > 1:
        refuse(
            "ORDER BY in OVER (…) takes one direction for all its columns; a step before can turn one round",
            order,
        )
    return columns, directions.pop()


def _row_number(_: Any, __: Compile, partition: list[str], order: list[str], descending: bool) -> Any:
    import narwhals as nw

    key = nw.col(order[0])
    number = _int64(key.is_null().cum_count().over(*partition, order_by=order))
    return _int64(_rows(key, partition)) + 1 - number if descending else number


def _rows(key: Any, partition: list[str]) -> Any:
    count = key.is_null().count()
    return count.over(*partition) if partition else count


def _rank(method: str) -> Callable[[Any, Compile, list[str], list[str], bool], Any]:
    def ranking(node: Any, _: Compile, partition: list[str], order: list[str], descending: bool) -> Any:
        import narwhals as nw

        if len(order) != 1:
            refuse(f"{call_name(node)} takes one column in ORDER BY", node)
        key = nw.col(order[0])

        def over(value: Any) -> Any:
            return _int64(value.over(*partition) if partition else value)

        rank = over(key.rank(method, descending=descending))  # type: ignore[arg-type]
        nulls, known = over(key.null_count()), over(key.count())
        if method == "dense":
            kinds = over(key.n_unique())
            any_null = when(nulls > literal(0), literal(1), literal(0))
            return when(key.is_null(), kinds, rank) if descending else when(key.is_null(), literal(1), rank + any_null)
        return when(key.is_null(), known + 1, rank) if descending else when(key.is_null(), literal(1), rank + nulls)

    return ranking


def _neighbour(direction: int) -> Callable[[Any, Compile, list[str], list[str], bool], Any]:
    """LAG and LEAD."""

    def ranking(node: Any, compile_: Compile, partition: list[str], order: list[str], descending: bool) -> Any:
        offset = 1 if node.args.get("offset") is None else integer_argument(node.args["offset"], node, "offset")
        if offset < 0:
            refuse(f"{call_name(node)} takes no negative offset", node)
        steps = offset * direction * (-1 if descending else 1)
        current, *default = choices(node, compile_)
        _column_argument(node)
        value = current.shift(steps).over(*partition, order_by=order)
        if not default:
            return value
        number = _row_number(node, compile_, partition, order, descending)
        inside = (
            number > literal(offset)
            if direction > 0
            else _int64(_length_of(order, partition)) - number >= literal(offset)
        )
        return when(inside, value, *default)

    return ranking


def _length_of(order: list[str], partition: list[str]) -> Any:
    import narwhals as nw

    return _rows(nw.col(order[0]), partition)


def _first_value(node: Any, compile_: Compile, partition: list[str], order: list[str], descending: bool) -> Any:
    _column_argument(node)
    value = compile_(node.this)
    chosen = value.last() if descending else value.first()
    return chosen.over(*partition, order_by=order)


_RANKINGS: dict[str, Callable[[Any, Compile, list[str], list[str], bool], Any]] = {
    "rownumber": _row_number,
    "rank": _rank("min"),
    "denserank": _rank("dense"),
    "lag": _neighbour(1),
    "lead": _neighbour(-1),
    "firstvalue": _first_value,
}


def _running(node: Any, compile_: Compile, partition: list[str], order: list[str], descending: bool) -> Any:
    """Running SUM and COUNT. Without ROWS, standard SQL adds up equal keys together, which engines here cannot."""
    spec = node.args.get("spec")
    frame = (
        None
        if spec is None
        else tuple(str(spec.args.get(name) or "").upper() for name in ("kind", "start", "start_side", "end", "exclude"))
    )
    if not order or frame not in {
        ("ROWS", "UNBOUNDED", "PRECEDING", "CURRENT ROW", ""),
        ("ROWS", "UNBOUNDED", "PRECEDING", "", ""),
    }:
        refuse(
            "a running aggregate is written OVER (ORDER BY … ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)", node
        )
    function = node.this
    if function.key == "count" and function.this.key in {"star", "literal"}:
        return _row_number(function, compile_, partition, order, descending)
    if function.key not in {"sum", "count"} or function.this.key == "distinct":
        refuse(f"{call_name(function)} cannot run over ordered rows; SUM(column) and COUNT(column) can", node)
    _column_argument(function)
    value = compile_(function.this)
    count = _int64(value.cum_count(reverse=descending).over(*partition, order_by=order))
    if function.key == "count":
        return count
    total = summable(function.this, value).fill_null(0).cum_sum(reverse=descending).over(*partition, order_by=order)
    return when(count > literal(0), _int64(total) if kind(function.this) == "integer" else total)


HANDLERS: dict[str, tuple[Handler, str]] = {
    "sum": (_sum, "this"),
    "avg": (_aggregate(lambda value: value.mean()), "this"),
    "count": (_count, "this"),
    "countif": (_count_if, "this"),
    "min": (_min, "this"),
    "max": (_max, "this"),
    "stddev": (_aggregate(lambda value: value.std()), "this"),
    "stddevsamp": (_aggregate(lambda value: value.std()), "this"),
    "stddevpop": (_aggregate(lambda value: value.std(ddof=0)), "this"),
    "variance": (_aggregate(lambda value: value.var()), "this"),
    "variancepop": (_aggregate(lambda value: value.var(ddof=0)), "this"),
    "median": (_aggregate(lambda value: floating(value).median()), "this"),
    "logicaland": (_truth("all"), "this"),
    "logicalor": (_truth("any"), "this"),
    "filter": (_filter, "this expression"),
    "window": (_window, "this partition_by order spec over alias first"),
    "first": (_refused_first, "this"),
    "last": (_refused_first, "this"),
}
"""Key of a sqlglot node → how it is compiled, and the arguments that are understood."""
