"""The ``laktory`` namespace of Narwhals: one behaviour, every engine."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import narwhals as nw
import polars as pl
import pytest

import laktory.api
import laktory.narwhals_ext as ext
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError, ExpressionError, MissingDependencyError

ROWS = {
    "symbol": ["A", "A", "B", "B", "B", None],
    "day": [2, 1, 3, 1, 2, 1],
    "close": [12.0, 10.0, 26.0, 20.0, None, 5.0],
}
NESTED = pl.DataFrame(
    {
        "id": [1],
        "data": [{"open": 1.0, "inner": {"x": 1}}],
        "prices": [[{"close": 1.0}, {"close": 2.0}]],
        "tags": [["a"]],
        "a.b": [1],
    }
)


@pytest.fixture(params=list(ENGINES))
def lazy(request, tmp_path):
    """Makes a lazy frame of the engine."""
    module, _, name = ENGINES[request.param].entry.partition(":")
    session = getattr(importlib.import_module(module), name)(str(tmp_path))
    yield session.adopt
    session.close()


def rows(frame: Any) -> list[tuple[Any, ...]]:
    return sorted(frame.lazy().collect("polars").to_native().rows(), key=str)


@pytest.mark.parametrize(
    ("p", "wanted"),
    [(1.0, [1.0, 2.0, 3.0, -1.0, -3.0, 0.0]), (0.5, [0.5, 1.5, 2.5, -0.5, -2.5, 0.5]), (10, [0.0] * 6)],
)
def test_roundp_takes_halves_away_from_zero(lazy, p, wanted):
    frame = lazy({"id": list(range(6)), "x": [0.5, 1.5, 2.5, -0.5, -2.5, 0.25]})
    result = frame.with_columns(nw.col("x").laktory.roundp(p)).sort("id").collect()
    assert result["x"].to_list() == wanted


# ---- rows ----------------------------------------------------------------------------------------


def test_union_matches_columns_by_name(lazy):
    frame = lazy({"a": [1], "b": [10]})
    others = [lazy({"b": [20], "a": [2]}), lazy({"a": [3], "b": [30]})]
    assert rows(frame.laktory.union(others)) == [(1, 10), (2, 20), (3, 30)]
    assert rows(frame.laktory.union(others[0])) == [(1, 10), (2, 20)]
    assert rows(frame.laktory.union(frame)) == [(1, 10), (1, 10)]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": [1]}, r"frame 0 has other columns: it lacks \['b'\]"),
        ({"a": [1], "b": [1], "c": [1]}, r"it has \['c'\] more"),
        ({"a": [1], "b": ["x"]}, "column 'b' is Int64 here and String in frame 0"),
    ],
)
def test_union_refuses_other_columns(lazy, other, message):
    with pytest.raises(DefinitionError, match=message):
        lazy({"a": [1], "b": [10]}).laktory.union(lazy(other))


@pytest.mark.parametrize(
    "expressions",
    [
        ["max(close) AS high", "count(*) AS n"],
        ["nw.col('close').max().alias('high')", "nw.len().alias('n')"],
        [{"expr": "max(close) AS high"}, {"expr": "nw.len().alias('n')", "type": "DF"}],
        [nw.col("close").max().alias("high"), {"expr": "count(*) AS n", "type": "SQL"}],
    ],
)
def test_group_and_aggregate(lazy, expressions):
    found = rows(lazy(ROWS).laktory.groupby_and_agg(["symbol"], expressions))
    assert found == [("A", 12.0, 2), ("B", 26.0, 3), (None, 5.0, 1)]


def test_aggregate_the_whole_frame(lazy):
    frame = lazy(ROWS).laktory
    assert rows(frame.groupby_and_agg(agg_expressions="sum(close) AS total")) == [(73.0,)]
    assert rows(frame.groupby_and_agg("symbol", "sum(day) AS days")) == [("A", 3), ("B", 6), (None, 1)]


@pytest.mark.parametrize(
    ("columns", "expressions", "message"),
    [
        (["symbol"], None, "'agg_expressions' is empty"),
        (["symbol"], [], "'agg_expressions' is empty"),
        (["symbl"], ["count(*) AS n"], "no column 'symbl'; did you mean 'symbol'"),
        (["symbol"], [3], "3 is not an expression"),
    ],
)
def test_group_and_aggregate_is_checked(lazy, columns, expressions, message):
    with pytest.raises(DefinitionError, match=message):
        lazy(ROWS).laktory.groupby_and_agg(columns, expressions)


def test_rows_are_numbered_from_0(lazy):
    frame = lazy(ROWS)
    assert rows(frame.laktory.with_row_index(order_by=["close"]).select("index", "close")) == [
        (0, None), (1, 5.0), (2, 10.0), (3, 12.0), (4, 20.0), (5, 26.0),
    ]  # fmt: skip
    numbered = frame.laktory.with_row_index("i", order_by="day", partition_by="symbol")
    assert numbered.collect_schema().names() == ["i", "symbol", "day", "close"]
    assert rows(numbered.select("symbol", "day", "i")) == [
        ("A", 1, 0), ("A", 2, 1), ("B", 1, 0), ("B", 2, 1), ("B", 3, 2), (None, 1, 0),
    ]  # fmt: skip


def test_the_first_rows_of_each_window(lazy):
    frame = lazy(ROWS).laktory
    assert rows(frame.window_filter(["symbol"], order_by=["day"]).select("symbol", "day")) == [
        ("A", 1),
        ("B", 1),
        (None, 1),
    ]
    two = frame.window_filter("symbol", "day", drop_row_index=False, row_index_name="n", rows_to_keep=2)
    assert two.collect_schema().names() == ["symbol", "day", "close", "n"]
    assert rows(two.select("symbol", "n")) == [("A", 1), ("A", 2), ("B", 1), ("B", 2), (None, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order_by": "day", "rows_to_keep": 0}, "rows_to_keep must be 1 or more, found 0"),
        ({}, "rows of a lazy frame have no order of their own"),
        ({"order_by": "dya"}, "order_by: there is no column 'dya'; did you mean 'day'"),
        ({"order_by": "day", "row_index_name": "day"}, "there is a column 'day' already"),
    ],
)
def test_windows_are_checked(lazy, arguments, message):
    with pytest.raises(DefinitionError, match=message):
        lazy(ROWS).laktory.window_filter("symbol", **arguments)


def test_eager_frames_have_the_namespace_too():
    frame = nw.from_native(pl.DataFrame(ROWS))
    assert frame.laktory.with_row_index("i").to_native()["i"].to_list() == [0, 1, 2, 3, 4, 5]
    united = frame.laktory.union(frame)
    assert isinstance(united, nw.DataFrame)
    assert len(united) == 12


# ---- looking -------------------------------------------------------------------------------------


def test_columns_and_what_is_inside(lazy):
    frame = lazy(NESTED).laktory
    assert frame.schema_flat() == [
        "id",
        "data",
        "data.open",
        "data.inner",
        "data.inner.x",
        "prices",
        "prices[*].close",
        "tags",
        "a.b",
    ]
    present = [
        "id",
        "data.open",
        "`data`.`inner`.x",
        "prices[2].close",
        "prices[*].close",
        "prices[0]",
        "tags[1]",
        "a.b",
        "`a.b`",
    ]
    absent = ["x", "data.x", "prices.close", "id[0]", "data[0].open", "ID", "prices[2].open", ""]
    assert [name for name in present if not frame.has_column(name)] == []
    assert [name for name in absent if frame.has_column(name)] == []


def test_the_signature(lazy):
    assert lazy({"x": [1], "label": ["a"]}).laktory.signature() == "DataFrame[x: Int64, label: String]"


def test_display(lazy, capsys):
    frame = lazy({"x": [1, 2, 3], "text": ["a" * 50, "b", "c"]}).laktory
    frame.display(n=2)
    out = capsys.readouterr().out
    assert "a" * 50 in out
    assert "only showing top 2 rows" in out
    assert "│ c" not in out
    frame.display(truncate=True, vertical=True)
    out = capsys.readouterr().out
    assert out.count("-RECORD") == 3
    assert "a" * 20 in out
    assert "a" * 21 not in out
    assert "only showing" not in out


# ---- expressions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1.0, [0.0, 1.0, 3.0, -1.0]),
        (0.1, [0.3, 1.2, 2.7, -1.2]),
        (5, [0.0, 0.0, 5.0, 0.0]),
        (0.25, [0.25, 1.25, 2.75, -1.25]),
    ],
)
def test_round_to_a_multiple(lazy, p, expected):
    found = (
        lazy({"i": [0, 1, 2, 3], "x": [0.31, 1.23, 2.74, -1.23]}).with_columns(nw.col("x").laktory.roundp(p)).sort("i")
    )
    assert found.collect("polars")["x"].to_list() == pytest.approx(expected)


@pytest.mark.parametrize("p", [0, -1, float("inf"), float("nan"), "1", True])
def test_round_to_a_multiple_of_nothing(p):
    with pytest.raises(ExpressionError, match="p must be a positive number"):
        nw.col("x").laktory.roundp(p)


def test_the_current_timestamp(lazy):
    before = datetime.now(UTC) - timedelta(seconds=1)
    frame = lazy({"x": [1, 2]}).with_columns(now=nw.laktory.current_timestamp())
    assert frame.collect_schema()["now"] == nw.Datetime("us", "UTC")
    values = frame.collect("polars")["now"].to_list()
    assert values[0] == values[1]
    assert before < values[0] <= datetime.now(UTC)


def test_sql_expressions(lazy):
    for function in (nw.laktory.sql_expr, ext.functions.sql_expr):
        assert rows(lazy({"x": [1, 2]}).with_columns(y=function("x * 2 > 2"))) == [(1, False), (2, True)]


def test_units(lazy):
    if importlib.util.find_spec("planck") is None:
        with pytest.raises(MissingDependencyError, match=r"pip install 'laktory\[units\]'"):
            nw.col("x").laktory.convert_units("m", "ft")
        return
    found = lazy({"x": [0.0, 100.0]}).select(
        m=nw.col("x").laktory.convert_units("km", "m"), f=nw.col("x").laktory.convert_units("C", "F")
    )
    assert rows(found) == [(0.0, pytest.approx(32.0)), (100_000.0, pytest.approx(212.0))]
    with pytest.raises(ExpressionError, match="'kmm' is not a unit"):
        nw.col("x").laktory.convert_units("kmm", "m")
    with pytest.raises(ExpressionError, match="cannot be converted"):
        nw.col("x").laktory.convert_units("m", "kg")


# ---- registration --------------------------------------------------------------------------------


def test_namespaces_of_the_user_stand_where_they_are_registered():
    class Mine:
        def __init__(self, wrapped: Any) -> None:
            self.wrapped = wrapped

    assert laktory.api.register_lazyframe_namespace("mine_lazy")(Mine) is Mine
    laktory.api.register_dataframe_namespace("mine_eager")(Mine)
    laktory.api.register_expr_namespace("mine_expr")(Mine)
    eager = nw.from_native(pl.DataFrame({"x": [1]}))
    lazy_frame = eager.lazy()
    assert lazy_frame.mine_lazy.wrapped is lazy_frame
    assert lazy_frame.mine_lazy is lazy_frame.mine_lazy
    assert eager.mine_eager.wrapped is eager
    assert not hasattr(eager, "mine_lazy")
    assert not hasattr(lazy_frame, "mine_eager")
    assert isinstance(nw.col("x").mine_expr, Mine)
    laktory.api.register_expr_namespace("mine_expr")(Mine)  # a module may be loaded again


SCRIPT = """
import sys
{code}
import narwhals as nw
print(*(hasattr(owner, "laktory") for owner in (nw, nw.LazyFrame, nw.DataFrame, nw.Expr)))
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import laktory", "False False False False"),
        ("import laktory.api", "True True True True"),
        ("import laktory.narwhals_ext", "True True True True"),
        (
            "import os; os.environ['LAKTORY_REGISTER_NW_EXTENSIONS'] = 'false'; import laktory.api",
            "False False False False",
        ),
    ],
)
def test_registration_happens_on_demand(code, expected):
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(code=code)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
