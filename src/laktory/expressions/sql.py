"""SQL expressions with one meaning on every engine: parsed by sqlglot, compiled to narwhals.

The meaning, where dialects or engines differ:

- Whole numbers give Int64, and what does not fit stops the engine. Decimals are exact: ``+ - *`` keep all digits.
  Fractions of 32 bits are calculated and compared in Float64.
- ``/`` divides in Float64; ``//`` and ``DIV`` cut towards zero; ``%`` has the sign of its left side;
  dividing by zero gives NULL; ``%`` of fractions is what ``//`` leaves. ``//`` and ``%`` take no decimals.
- A number, a text, a boolean and a date are not compared with each other, nor chosen between: CAST says what is meant.
- Categories are compared as texts; timestamps with a zone count as UTC beside others, and as text.
- NaN equals NaN and is greater than any number; MIN and MAX skip it unless there is nothing else.
- ROUND, CEIL, FLOOR, POW give Float64; halves round away from zero, in CAST to DECIMAL too. CAST to an integer cuts
  the fraction off.
- Numbers become text as 0.0001, 1.5e-5, 1e+16; times of day as 10:00:00 or 10:00:00.500000.
- LIKE and comparisons of text mind the case. ``||`` with NULL is NULL; CONCAT skips NULL.
- COUNT(x), SUM(x), … skip NULL; SUM of nothing is NULL.
- ``a[1]`` is the first item of a list; ``a.b`` is field b of struct a.
- Date arithmetic and DATE_TRUNC give timestamps; DATE_DIFF counts the units that begin between two moments, weeks
  begin on Monday, EXTRACT(WEEK …) is that of ISO 8601; CURRENT_TIMESTAMP is UTC without a zone.
- In OVER (ORDER BY …) NULL is the smallest value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.errors import ExpressionError
from laktory.expressions.sql_aggregates import AGGREGATES
from laktory.expressions.sql_grammar import handlers, parse_sql, shortened
from laktory.expressions.sql_types import annotate

if TYPE_CHECKING:
    from collections.abc import Mapping

    import narwhals as nw
    from sqlglot import exp

__all__ = ["SQLParser", "columns", "compile_sql", "is_aggregate", "output_name", "parse_sql", "reads_rows"]


class SQLParser:
    """`compile_sql` under the name that scripts use."""

    def parse(self, sql: str) -> nw.Expr:
        """A SQL expression as a Narwhals expression; see `compile_sql`."""
        return compile_sql(sql)


def compile_sql(text: str, schema: Mapping[str, Any] | None = None, *, per_row: bool = False) -> nw.Expr:
    """One narwhals expression that means the same on every engine.

    Its name is the alias, or the name of its left-most column.

    Parameters
    ----------
    text : the expression
    schema : names and narwhals types of the frame that it is for. Without it (default None) nothing is known of the
        columns: sums and products of Int64 may overflow on Polars, and decimals and categories mean what the engine
        makes of them
    per_row : repeat a constant for each row of that frame, default False

    Raises
    ------
    ExpressionError
        With the offset where known, if the text is no expression or asks for what cannot be expressed.
    """
    tree = parse_sql(text)
    annotate(tree, schema or {})
    compilers = handlers()

    def compile_(node: Any) -> Any:
        return compilers[node.key][0](node, compile_)

    try:
        compiled: nw.Expr = compile_(tree)
        if per_row and schema and not columns(tree) and not is_aggregate(tree):
            compiled = _repeated(compiled, next(iter(schema)))
        return compiled.alias(output_name(tree))
    except ExpressionError as error:
        raise ExpressionError(str(error), offset=error.offset) from None
    except (RecursionError, OverflowError, ArithmeticError):
        msg = f"the expression {shortened(text)!r} is nested too deeply or holds a number that is too large"
        raise ExpressionError(msg) from None
    except Exception as error:  # noqa: BLE001 - narwhals refuses combinations with errors of its own
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        msg = f"the expression {shortened(text)!r} cannot be compiled: {first}"
        raise ExpressionError(msg) from None


def _repeated(constant: nw.Expr, column: str) -> nw.Expr:
    """A select of constants alone gives one row on some engines: something of the rows has to be in it."""
    import narwhals as nw

    return nw.when(nw.col(column).is_null() | nw.lit(value=True)).then(constant)


def output_name(tree: exp.Expr) -> str:
    """Name of the result: the alias, else the left-most column, else the function, else ``literal``."""
    from sqlglot import exp

    if isinstance(tree, exp.Alias):
        return str(tree.alias)
    found = sorted(tree.find_all(exp.Column), key=lambda column: column.parts[0].meta.get("start", 0))
    if not found:
        inner = tree.this if isinstance(tree, (exp.Window, exp.Filter, exp.Paren)) else tree
        return (
            inner.sql_name().lower() if isinstance(inner, exp.Func) and inner.key not in {"case", "cast"} else "literal"
        )
    node: Any = found[0]
    name = node.name
    while isinstance(node.parent, (exp.Dot, exp.Bracket)) and node.parent.this is node:
        node = node.parent
        name = node.expression.name if isinstance(node, exp.Dot) else name
    return str(name)


def columns(tree: exp.Expr) -> set[str]:
    """Columns of the frame that the expression reads; for ``a.b`` it is ``a``."""
    from sqlglot import exp

    return {column.parts[0].name for column in tree.find_all(exp.Column)}


def reads_rows(tree: exp.Expr) -> bool:
    """Whether it holds a column outside aggregates: ``x > AVG(x)``, or any window."""
    from sqlglot import exp

    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (exp.Column, exp.Window)):
            return True
        if node.key not in AGGREGATES and node.key != "filter":
            waiting.extend(node.iter_expressions())
    return False


def is_aggregate(tree: exp.Expr) -> bool:
    """Whether it holds an aggregate outside a window: ``SUM(x) > 1``, not ``SUM(x) OVER (…)``."""
    from sqlglot import exp

    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Window):
            continue
        if node.key in AGGREGATES:
            return True
        waiting.extend(node.iter_expressions())
    return False
