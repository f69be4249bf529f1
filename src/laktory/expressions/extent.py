"""How many rows an expression over columns looks at."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from laktory.expressions.python import parse
from laktory.expressions.sql import columns, is_aggregate, parse_sql
from laktory.expressions.sql import reads_rows as sql_reads_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Extent", "extent", "is_constant", "may_stop", "named_columns", "reads_rows"]

Extent = Literal["row", "rows", "all"]
"""``row``: each row by itself. ``rows``: a value for each row, out of several rows. ``all``: one value of all rows."""

_WIDEST: tuple[Extent, ...] = ("all", "rows", "row")
_TOTALS = frozenset(
    {
        "all", "any", "any_value", "count", "first", "kurtosis", "last", "len", "max", "mean", "median", "min",
        "n_unique", "null_count", "quantile", "skew", "std", "sum", "var",
    }
)  # fmt: skip
_TOTAL_FUNCTIONS = frozenset({"len", "max", "mean", "median", "min", "sum"})
_OF_A_ROW = frozenset(
    {
        "abs", "alias", "all_horizontal", "any_horizontal", "cast", "ceil", "clip", "coalesce", "col", "concat_str",
        "cos", "exp", "fill_nan", "floor", "is_between", "is_close", "is_finite", "is_in", "is_nan", "is_null", "lit",
        "log", "max_horizontal", "mean_horizontal", "min_horizontal", "otherwise", "replace_strict", "round", "sin",
        "sqrt", "sum_horizontal", "then", "when",
    }
)  # fmt: skip
_OF_ROWS = frozenset({"all", "col", "exclude", "nth", "over"})
_OF_A_VALUE = frozenset({"cat", "dt", "list", "name", "str", "struct"})


@lru_cache(maxsize=4096)
def extent(text: str, kind: str) -> Extent:
    """How many rows an expression looks at.

    Parameters
    ----------
    text : the expression
    kind : ``SQL`` or ``DF``

    Raises
    ------
    ExpressionError
        It cannot be read.
    """
    if kind == "SQL":
        return _sql(text).extent
    found = {_of_call(call) for call in _calls(parse(text.strip()))}
    return next((each for each in _WIDEST if each in found), "row")


def is_constant(text: str, kind: str) -> bool:
    """Whether an expression certainly or perhaps names no column.

    Raises
    ------
    ExpressionError
        It cannot be read.
    """
    if kind == "SQL":
        return not _sql(text).columns
    return not any(isinstance(node, ast.Call) and _name(node) == "col" for node in ast.walk(parse(text.strip())))


def reads_rows(text: str, kind: str) -> bool:
    """Whether it names a column outside aggregates, ``x > AVG(x)``, or is a value for each row out of several.

    Raises
    ------
    ExpressionError
        It cannot be read.
    """
    return _sql(text).reads_rows if kind == "SQL" else _reads_rows(parse(text.strip()))


def named_columns(text: str) -> frozenset[str]:
    """Columns that a SQL expression names; for ``a.b`` it is ``a``.

    Raises
    ------
    ExpressionError
        It cannot be read.
    """
    return _sql(text).columns


def _reads_rows(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        if _is_total(node):
            return False
        if _name(node) == "sql_expr":
            texts = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)]
            return not all(isinstance(text, str) and not _sql(text).reads_rows for text in texts)
        if _name(node) in _OF_ROWS or "selectors" in ast.unparse(node.func):
            return True
    return any(_reads_rows(child) for child in ast.iter_child_nodes(node))


def _name(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def may_stop(text: str) -> bool:
    """Whether a SQL expression stops the engine at values that it cannot cast.

    Raises
    ------
    ExpressionError
        It cannot be read.
    """
    return _sql(text).casts


class _Sql(NamedTuple):
    """What is asked of a SQL expression, of one reading of it."""

    columns: frozenset[str]
    extent: Extent
    reads_rows: bool
    casts: bool


@lru_cache(maxsize=4096)
def _sql(text: str) -> _Sql:
    from sqlglot import exp

    tree = parse_sql(text)
    found: Extent = "all" if is_aggregate(tree) else "rows" if tree.find(exp.Window) else "row"
    casts = any(type(node) is exp.Cast for node in tree.walk())
    return _Sql(frozenset(columns(tree)), found, sql_reads_rows(tree), casts)


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """Calls that are no part of what stands before ``.over(…)``."""
    if isinstance(node, ast.Call):
        yield node
        if isinstance(node.func, ast.Attribute) and node.func.attr == "over":
            return
    for child in ast.iter_child_nodes(node):
        yield from _calls(child)


def _of_call(call: ast.Call) -> Extent:
    if _name(call) == "sql_expr" and call.args and isinstance(call.args[0], ast.Constant):
        return _sql(str(call.args[0].value)).extent
    if _is_total(call):
        return "all"
    return "row" if _is_of_a_row(call) else "rows"


def _is_total(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    # nw.max('x'), but not nw.all(); x.max(), x.all()
    return call.func.attr in (_TOTAL_FUNCTIONS if isinstance(call.func.value, ast.Name) else _TOTALS) and not _of_value(
        call.func.value
    )


def _is_of_a_row(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in _OF_A_ROW
    return isinstance(call.func, ast.Attribute) and (call.func.attr in _OF_A_ROW or _of_value(call.func.value))


def _of_value(node: ast.AST) -> bool:
    """Whether methods of it work on each value: ``x.str``."""
    return isinstance(node, ast.Attribute) and node.attr in _OF_A_VALUE
