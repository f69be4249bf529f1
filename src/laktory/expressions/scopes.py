"""Names that texts of a definition may use: the dataframe vocabulary of an API and engine."""

from __future__ import annotations

import ast
from inspect import isroutine
from typing import TYPE_CHECKING, Any

from laktory.errors import ExpressionError
from laktory.expressions import widening
from laktory.expressions.python import MAX_TEXT, Vocabulary, syntax
from laktory.expressions.statement import fragment_problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    import narwhals as nw

__all__ = ["looks_like_code", "scope"]

_DTYPES = (
    "Array Binary Boolean Categorical Date Datetime Decimal Duration Enum Field Float32 Float64 Int8 "
    "Int16 Int32 Int64 Int128 List String Struct Time UInt8 UInt16 UInt32 UInt64 UInt128"
)
_NARWHALS = (
    "all all_horizontal any_horizontal coalesce col concat_str corr cov exclude format len lit max "
    "max_horizontal mean mean_horizontal median min min_horizontal nth struct sum sum_horizontal when"
)
_NARWHALS_SELECTORS = "all boolean by_dtype categorical datetime enum matches numeric string"
_POLARS = (
    "all all_horizontal any any_horizontal approx_n_unique arctan2 arg_sort_by arg_where coalesce col "
    "concat_arr concat_list concat_str corr count cov cum_count cum_sum cum_sum_horizontal date datetime "
    "duration element exclude field first format from_epoch head implode int_range int_ranges last len "
    "lit max max_horizontal mean mean_horizontal median min min_horizontal n_unique nth quantile "
    "rolling_corr rolling_cov sql_expr std struct sum sum_horizontal tail time var when"
)
_POLARS_SELECTORS = (
    "all alpha alphanumeric array binary boolean by_dtype by_index by_name categorical contains date "
    "datetime decimal digit duration ends_with enum exclude first float integer last list map matches "
    "nested numeric signed_integer starts_with string struct temporal time unsigned_integer"
)

_ATTRIBUTES = {
    "nw": frozenset(f"{_DTYPES} {_NARWHALS} laktory selectors sql_expr".split()),
    "pl": frozenset(f"{_DTYPES} {_POLARS} selectors".split()),
}
_LIBRARIES = ("nw", "pl", "F")
"""As definitions call the libraries of the APIs, old and new."""
_NAMES = {
    ("NARWHALS", None): ("nw", "col", "lit", "sql_expr"),
    ("NATIVE", "POLARS"): ("pl", "col", "lit", "sql_expr"),
    ("NATIVE", "PYSPARK"): ("F", "T", "col", "lit", "expr", "sql_expr"),
}

_SPARK_DENIED = frozenset(
    {
        "arrow_udf", "arrow_udtf", "broadcast", "call_function", "call_udf", "input_file_block_length",
        "input_file_block_start", "input_file_name", "java_method", "pandas_udf", "reflect", "try_reflect", "udf",
        "udtf", "unwrap_udt",
    }
)  # fmt: skip
"""Functions of Spark that call code by its name, or tell of files."""

_MAX_RANGE = 10_000_000

_TAKES_PYTHON = frozenset(
    {
        *("map", "map_batches", "map_elements", "map_fields", "pipe", "pipe_with_dtype", "rolling_map"),
        *("deserialize", "from_json", "inspect", "meta", "plugins", "register_plugin", "serialize", "to_native"),
    }
)


def scope(
    api: str = "NARWHALS", backend: str = "POLARS", frame: nw.LazyFrame[Any] | nw.DataFrame[Any] | None = None
) -> Mapping[str, object]:
    """Names of an expression: for `evaluate`.

    Parameters
    ----------
    api : ``NARWHALS``: nw, col, lit, sql_expr. ``NATIVE``: the words of the engine
    backend : engine. POLARS has pl, col, lit, sql_expr. DUCKDB has none: its methods take SQL texts
    frame : that the expression is for, when it is known; SQL and sums in it ask for types
    """
    names = _names(api, backend)
    if "nw" in names:
        return _narwhals(frame)
    if "F" in names:
        return _spark()
    return _polars() if "pl" in names else {}


def looks_like_code(text: str, api: str = "NARWHALS", backend: str = "POLARS") -> bool:
    """Whether a text argument is an expression rather than a literal text.

    It is, when it is valid Python and calls something that starts at a name in scope (``col("x") * 2``), or at
    a library that is not (``pl.col("x")`` in a step of Narwhals: taken for a text, it would be written into rows),
    or names a member of ``nw`` or ``pl`` (``nw.Int64``). Plain words, SQL and ``protocol(x)`` are not.
    """
    names = _names(api, backend)
    if not names or not any(name in text for name in (*names, *_LIBRARIES)):
        return False
    if len(text) > MAX_TEXT or (tree := _python(text)) is None:
        # meant as code, though not finished: evaluating it says what is wrong
        return text.lstrip().startswith(tuple(f"{name}." for name in names if name in _ATTRIBUTES))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _root(node) in _LIBRARIES:
            return True
        if isinstance(node, ast.Call) and _root(node) in names:
            return True
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            members = _ATTRIBUTES.get(node.value.id, frozenset())
            if node.attr in members:
                return True
    return False


def _python(text: str) -> ast.Expression | None:
    """Syntax tree of a text that is one Python expression, allowed or not."""
    try:
        return syntax(text)[0]
    except ExpressionError:
        return None


def _names(api: str, backend: str) -> tuple[str, ...]:
    return _NAMES.get((api.upper(), None if api.upper() == "NARWHALS" else backend.upper()), ())


def _root(node: ast.AST) -> str | None:
    while isinstance(node, (ast.Call, ast.Attribute, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _narwhals(frame: nw.LazyFrame[Any] | nw.DataFrame[Any] | None) -> dict[str, object]:
    import narwhals as nw
    from narwhals import selectors

    from laktory.expressions.sql import compile_sql

    def sql_expr(sql: str) -> nw.Expr:
        return compile_sql(sql, None if frame is None else frame.collect_schema())

    members = _members(nw, f"{_DTYPES} {_NARWHALS}") | {"sql_expr": sql_expr}
    if frame is not None:
        members |= widening.functions(frame)
    members["selectors"] = Vocabulary("nw.selectors", _members(selectors, _NARWHALS_SELECTORS))
    if (functions := getattr(nw, "laktory", None)) is not None:
        public = " ".join(
            name for name in dir(functions) if not name.startswith("_") and isroutine(getattr(functions, name))
        )
        members["laktory"] = Vocabulary("nw.laktory", _members(functions, public) | {"sql_expr": sql_expr})
    begun = (type(nw.when(nw.lit(value=True))),)
    summing = {} if frame is None else widening.methods(frame)
    types = (nw.dtypes.DType, nw.Field)
    vocabulary = Vocabulary("nw", members, (nw.Expr, *begun), types, _TAKES_PYTHON, begun, summing)
    return {"nw": vocabulary, "col": nw.col, "lit": nw.lit, "sql_expr": sql_expr}


def _polars() -> dict[str, object]:
    import polars as pl
    from polars import selectors

    members = _members(pl, f"{_DTYPES} {_POLARS}") | {"int_range": _int_range}
    members["selectors"] = Vocabulary("pl.selectors", _members(selectors, _POLARS_SELECTORS))
    when = pl.when(pl.lit(value=True))
    chained = when.then(1).when(pl.lit(value=True))
    begun = (type(when), type(chained))
    vocabulary = Vocabulary("pl", members, (pl.Expr, *begun), (pl.DataType, pl.Field), _TAKES_PYTHON, begun)
    return {"pl": vocabulary, "col": pl.col, "lit": pl.lit, "sql_expr": pl.sql_expr}


def _spark() -> dict[str, object]:
    from pyspark.sql import Column, functions, types

    def expr(text: str) -> Column:
        if problems := fragment_problems(text):
            raise ExpressionError(problems[0].message)
        return functions.expr(text)

    public = (name for name in functions.__all__ if isroutine(getattr(functions, name)) and name not in _SPARK_DENIED)
    members = _members(functions, " ".join(public)) | {"expr": expr}
    made = _members(types, " ".join(name for name in types.__all__ if name.endswith("Type")))
    return {
        "F": Vocabulary("F", members, (Column,), (types.DataType,), _TAKES_PYTHON | {"transform"}),
        "T": Vocabulary("T", made, (), (types.DataType,)),
        "col": functions.col,
        "lit": functions.lit,
        "expr": expr,
        "sql_expr": expr,
    }


def _int_range(start: Any = 0, end: Any = None, step: int = 1, **options: Any) -> Any:
    """As Polars has it, no longer than a column that somebody could want."""
    import polars as pl

    first, last = (0, start) if end is None else (start, end)
    known = all(isinstance(bound, int) for bound in (first, last, step))
    if known and step and (last - first) // step > _MAX_RANGE:
        msg = f"int_range is too large: at most {_MAX_RANGE:,} rows"
        raise ExpressionError(msg)
    return pl.int_range(start, end, step, **options)


def _members(module: Any, names: str) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names.split()}
