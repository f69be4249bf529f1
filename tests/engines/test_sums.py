"""Sums, lengths and parts of dates in steps: one type and one value on every engine, whatever the width there."""

from __future__ import annotations

import datetime as dt
import importlib

import narwhals as nw
import polars as pl
import pytest
from building import is_refused, out_of_range, said

from laktory.engines.capabilities import ENGINES
from laktory.errors import StepError
from laktory.models.dataframe.dataframemethod import DataFrameMethod
from laktory.transforms import apply
from laktory.transforms.sql import run_statement

TOP = 2**31 - 1
ROWS = pl.DataFrame(
    {
        "g": [1, 1, 2, 2],
        "k": [1, 2, 3, 4],
        "i32": pl.Series([TOP, TOP, 1, None], dtype=pl.Int32),
        "u32": pl.Series([2**32 - 1, 1, 1, None], dtype=pl.UInt32),
        "i16": pl.Series([2**15 - 1] * 4, dtype=pl.Int16),
        "big": pl.Series([2**62, 2**62 - 1, 1, None]),
        "u64": pl.Series([2**62, 1, 1, None], dtype=pl.UInt64),
        "f32": pl.Series([0.5, 2.0**24, 1.0, None], dtype=pl.Float32),
        "d": pl.Series([1, 2, 3, 4]).cast(pl.Decimal(10, 2)),
        "ok": [True, True, False, None],
        "l": pl.Series([[TOP, 1], [1, None], [], None], dtype=pl.List(pl.Int32)),
        "s": ["a-b", "abc", "", None],
        "t": [dt.datetime.fromisoformat("2024-12-31T23:59:58.123456")] * 3 + [None],
        "bigs": [[2**62, 2**62 - 1], [1], [], None],
    }
)
WIDE = 2 * TOP + 1
TWO = "SELECT g, SUM(i32) AS s FROM {df} GROUP BY g"


SUMS: list[tuple[str, list[object]]] = [
    ("SELECT SUM(i32) AS r FROM {df}", [WIDE]),
    ("SELECT sum (u32) AS r FROM {df}", [2**32 + 1]),
    ("SELECT SUM(i16) AS r FROM {df}", [4 * (2**15 - 1)]),
    ("SELECT SUM(big) AS r FROM {df} WHERE k < 3", [2**63 - 1]),
    ("SELECT SUM(u64) AS r FROM {df}", [2**62 + 2]),
    ("SELECT SUM(ok) AS r FROM {df}", [2]),
    ("SELECT SUM(CASE WHEN ok THEN 1 ELSE 0 END) AS r FROM {df}", [2]),
    ("SELECT SUM(CASE WHEN ok THEN 2147483647 ELSE 0 END) AS r FROM {df}", [2 * TOP]),
    ("SELECT SUM(1) AS r FROM {df}", [4]),
    ("SELECT SUM(NULL) AS r FROM {df}", [None]),
    ("SELECT SUM(i32) AS r FROM {df} WHERE k > 9", [None]),
    ("SELECT SUM(i32) AS r FROM {df} WHERE k > 9 GROUP BY g", []),
    ("SELECT SUM(i32) AS r FROM {df} GROUP BY g", [2 * TOP, 1]),
    ("SELECT SUM(DISTINCT i32) AS r FROM {df}", [TOP + 1]),
    ("WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 4) SELECT SUM(n) AS r FROM c", [10]),
    ("WITH RECURSIVE c AS (SELECT i32 FROM {df}), d AS (SELECT * FROM c) SELECT SUM(i32) AS r FROM d", [WIDE]),
    ("SELECT SUM(x) AS r FROM (SELECT i32 FROM {df}) sum (x)", [WIDE]),
    ("SELECT y AS r FROM (SELECT i32, k FROM {df} WHERE k = 3) length(x, y)", [3]),
    ("SELECT DISTINCT ON (g) LENGTH(s) - 10 AS r, g FROM {df} WHERE k IN (1, 4) ORDER BY g", [-7, None]),
    ("SELECT SUM(ALL i32) AS r FROM {df}", [WIDE]),
    ("SELECT SUM(i32) FILTER (WHERE ok) AS r FROM {df}", [2 * TOP]),
    ("SELECT SUM(big) FILTER (WHERE NOT ok) AS r FROM {df}", [1]),
    ("SELECT SUM(i32) OVER (PARTITION BY g) AS r FROM {df}", [2 * TOP, 2 * TOP, 1, 1]),
    ("SELECT SUM(i32) OVER (ORDER BY k) AS r FROM {df}", [TOP, 2 * TOP, WIDE, WIDE]),
    ("SELECT SUM(big) OVER (PARTITION BY g) AS r FROM {df}", [2**63 - 1, 2**63 - 1, 1, 1]),
    (
        "SELECT SUM(i32) OVER (ORDER BY k ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS r FROM {df}",
        [TOP, 2 * TOP, WIDE, WIDE],
    ),
    ("SELECT SUM(i32) OVER w AS r FROM {df} WINDOW w AS (PARTITION BY g)", [2 * TOP, 2 * TOP, 1, 1]),
    ("SELECT SUM(i32) + SUM(u32) + 1 AS r FROM {df}", [WIDE + 2**32 + 2]),
    ("SELECT COALESCE(SUM(i32) * 2, 0) AS r FROM {df}", [2 * WIDE]),
    ("SELECT SUM(-i32) AS r FROM {df}", [-WIDE]),
    ("SELECT MAX(k) AS r FROM {df} GROUP BY g HAVING SUM(i32) > 3000000000", [2]),
    ("SELECT k AS r FROM {df} QUALIFY SUM(i32) OVER (PARTITION BY g) > 3000000000", [1, 2]),
    ("SELECT g AS r FROM {df} GROUP BY g ORDER BY SUM(i32) LIMIT 1", [2]),
    ("SELECT i32 AS v, k AS r FROM {df} QUALIFY SUM(v) OVER (PARTITION BY g) > 3000000000", [1, 2]),
    # the type of what is added up comes from another sum
    ("SELECT SUM(SUM(i32)) OVER () AS r FROM {df} GROUP BY g", [WIDE, WIDE]),
    (f"SELECT SUM(s) AS r FROM ({TWO}) AS t", [WIDE]),
    (f"WITH a AS ({TWO}), b AS (SELECT s + s AS t FROM a) SELECT SUM(t) AS r FROM b", [2 * WIDE]),
    (f'WITH "a A" AS ({TWO}), "b""B"(t) AS (SELECT s FROM "a A") SELECT SUM(t) AS r FROM "b""B"', [WIDE]),
    (f"WITH b AS (WITH a AS ({TWO}) SELECT s FROM a) SELECT SUM(s) AS r FROM b", [WIDE]),
    (f"WITH a AS ({TWO}) SELECT SUM(x.s) AS r FROM (SELECT SUM(a.s) AS s FROM a) AS x", [WIDE]),
    ("SELECT SUM(i32) AS r FROM {df} UNION ALL SELECT SUM(u32) FROM {df}", [WIDE, 2**32 + 1]),
    ("SELECT k AS r FROM {df} UNION ALL (SELECT SUM(i32) AS r FROM {df})", [1, 2, 3, 4, WIDE]),
    ("SELECT k AS r FROM {df} EXCEPT SELECT SUM(i32) AS r FROM {df}", [1, 2, 3, 4]),
    ("SELECT SUM(l.i32) AS r FROM {df} AS l JOIN {df} AS q ON l.k = q.k AND q.i32 IS DISTINCT FROM 0", [WIDE]),
    ("SELECT SUM(l.i32 + q.k) AS r FROM {df} AS l, {df} AS q WHERE l.k = 3 AND q.k = 4", [5]),
    ("SELECT k AS r FROM {df} WHERE k < (SELECT SUM(i32) FROM {df}) AND k > 3", [4]),
    ("SELECT (SELECT SUM(i32) FROM {df}) AS r FROM {df} WHERE k = 1", [WIDE]),
    ("SELECT SUM(column0) AS r FROM (VALUES (2147483647), (1)) AS t(column0)", [TOP + 1]),
    # words that only look like it
    ("SELECT SUM(i32 /* SUM(u32) FROM x */) AS r -- SUM(\nFROM {df}", [WIDE]),
    ('SELECT "sum"("i32") AS r FROM {df}', [WIDE]),
    ("SELECT LENGTH('SUM(x)') + SUM(i32) AS r FROM {df}", [WIDE + 6]),
    ("SELECT SUM(sum) AS r FROM (SELECT i32 AS sum FROM {df}) AS t", [WIDE]),
    ("SELECT SUM(t.from) AS r FROM (SELECT i32 AS from FROM {df}) AS t", [WIDE]),
    ("SELECT SUM(EXTRACT(YEAR FROM DATE '2024-01-31')) AS r FROM {df}", [4 * 2024]),
]


# of types that hold a length or a month, and not what is calculated of it
COUNTS: list[tuple[str, list[object]]] = [
    ("SELECT LENGTH(s) - 10 AS r FROM {df}", [-7, -7, -10, None]),
    ("SELECT CHAR_LENGTH(s) - 10 AS r FROM {df}", [-7, -7, -10, None]),
    ("SELECT BIT_LENGTH(s) - 100 AS r FROM {df}", [-76, -76, -100, None]),
    ("SELECT STRPOS(s, '-') - 3 AS r FROM {df} WHERE k < 4", [-1, -3, -3]),
    ("SELECT POSITION('-' IN s) - 3 AS r FROM {df} WHERE k < 4", [-1, -3, -3]),
    ("SELECT ARRAY_LENGTH(l) - 3 AS r FROM {df} WHERE k < 3", [-1, -1]),
    ("SELECT EXTRACT(MONTH FROM t) * 100 + EXTRACT(DAY FROM t) AS r FROM {df}", [1231, 1231, 1231, None]),
    ("SELECT YEAR(t) * 100000000 + MONTH(t) * 1000 AS r FROM {df} WHERE k = 1", [202400012000]),
    ("SELECT DATE_PART('hour', t) * 3600 AS r FROM {df} WHERE k = 1", [82800]),
    ("SELECT EXTRACT(minutes FROM t) * 60 AS r FROM {df} WHERE k = 1", [3540]),
    ("SELECT DAYOFYEAR(t) * QUARTER(t) * 1000 AS r FROM {df} WHERE k = 1", [1464000]),
    ("SELECT LENGTH(s) AS r FROM {df} GROUP BY LENGTH(s) ORDER BY LENGTH(s) NULLS LAST", [0, 3, None]),
    ("SELECT SUM(LENGTH(s) - 10) AS r FROM {df}", [-24]),
    ("SELECT MONTH(t) * 100 AS r FROM {df} GROUP BY ROLLUP(MONTH(t))", [1200, None, None]),
    ("SELECT SUM(k) AS r FROM {df} GROUP BY CASE WHEN LENGTH(s) > 2 THEN 'x' ELSE 'y' END", [3, 7]),
    ("SELECT SUM(i32) OVER w AS r FROM {df} WINDOW w AS (PARTITION BY YEAR(t))", [WIDE, WIDE, WIDE, None]),
    ("SELECT k AS r FROM {df} WHERE LENGTH(s) - 1 < 0", [3]),
    ("SELECT k AS r FROM {df} WHERE LEFT(s, ABS(STRPOS(s, '-') - 3) - 1) = 'ab'", [2]),
    ("WITH year (a) AS (SELECT k FROM {df}) SELECT a * 1 AS r FROM year", [1, 2, 3, 4]),
    ("WITH sum (a, b) AS (SELECT i32, k FROM {df}) SELECT SUM(a) AS r FROM sum", [WIDE]),
    ("SELECT q.length AS r FROM (SELECT k FROM {df}) AS q(length)", [1, 2, 3, 4]),
]
FRACTIONS = [
    ("SELECT SUM(f32) AS r FROM {df}", 2.0**24 + 1.5),
    ("SELECT SUM(f32) OVER () AS r FROM {df} LIMIT 1", 2.0**24 + 1.5),
    ("SELECT AVG(f32) AS r FROM {df} WHERE k < 3", 2.0**23 + 0.25),
    ("SELECT VARIANCE(f32) AS r FROM {df} WHERE k < 3", (2.0**24 - 0.5) ** 2 / 2),
    ("SELECT AVG(i32) AS r FROM {df} WHERE k < 3", float(TOP)),
]

OVERFLOWS = [
    *(
        "SUM(big)",
        "SUM(DISTINCT big)",
        "SUM(big) FILTER (WHERE k > 0)",
        "SUM(big) OVER ()",
        "SUM(big) OVER (ORDER BY k)",
    ),
    *("SUM(big + 1)", "SUM(u64 * 2)"),
]


@pytest.fixture(scope="module", params=["POLARS", "DUCKDB"])  # in words that these share
def session(request, tmp_path_factory):
    """One for all: nothing is left behind between two queries."""
    module, _, name = ENGINES[request.param].entry.partition(":")
    opened = getattr(importlib.import_module(module), name)(str(tmp_path_factory.mktemp("scratch")))
    yield opened
    opened.close()


def whole(session, text):
    """An engine that has no UInt64 holds it as a decimal, whose sums are decimals."""
    return nw.Decimal if "u64" in text and session.schema(session.adopt(ROWS))["u64"] == nw.Decimal else nw.Int64


def summed(session, sql):
    frame = run_statement(said(sql, session.capabilities), session, {"df": session.adopt(ROWS)})
    return session.schema(frame), session.collect(frame).collect("polars").to_native()


@pytest.mark.parametrize(("sql", "wanted"), SUMS + COUNTS, ids=[sql for sql, _ in SUMS + COUNTS])
def test_whole_numbers_are_int64_and_right(session, sql, wanted):
    if is_refused(said(sql, session.capabilities), session.capabilities, "df"):
        with pytest.raises(StepError, match="this engine"):
            summed(session, sql)
        return
    schema, found = summed(session, sql)
    assert schema["r"] == whole(session, sql)
    assert sorted(found["r"].to_list(), key=str) == sorted(wanted, key=str)


@pytest.mark.parametrize(("sql", "wanted"), FRACTIONS)
def test_fractions_of_32_bits_are_added_up_in_64(session, sql, wanted):
    schema, found = summed(session, sql)
    assert schema["r"] == nw.Float64
    assert found["r"].to_list() == [wanted]


def test_a_sum_of_decimals_stays_one(session):
    schema, found = summed(session, "SELECT SUM(d) AS r FROM {df}")
    assert (schema["r"], schema["r"].scale) == (nw.Decimal, 2)
    assert str(found["r"][0]) == "10.00"


@pytest.mark.parametrize("call", OVERFLOWS)
def test_a_sum_that_does_not_fit_into_64_bits_stops_the_run(session, call):
    if whole(session, call) == nw.Decimal:
        assert summed(session, f"SELECT {call} AS r FROM {{df}}")[1]["r"].to_list() == [2**63 + 4]
        return
    if is_refused(f"SELECT {call} AS r FROM {{df}}", session.capabilities, "df"):
        call = "SUM(big) OVER (PARTITION BY 1)"
    with pytest.raises(StepError, match=out_of_range(session)):
        summed(session, f"SELECT {call} AS r FROM {{df}}")


def test_columns_keep_their_names(session):
    if session.capabilities.name == "POLARS":
        assert summed(session, "SELECT SUM(i32), SUM(big) + 1, g FROM {df} GROUP BY g")[0].names() == [
            "i32",
            "big",
            "g",
        ]


def test_what_the_engine_does_not_take_is_told_as_before(session):
    with pytest.raises(StepError, match="nope"):
        summed(session, "SELECT SUM(nope) AS r FROM {df}")
    with pytest.raises(StepError, match="(?i)sum"):
        summed(session, "SELECT SUM(l) AS r FROM {df}")


def test_a_sum_of_a_type_that_cannot_be_told_is_refused():
    """Polars takes names of the SELECT list in QUALIFY, and a window that is named after it."""
    from laktory.engines._polars.widening import widened

    frames = {"t": ROWS.lazy()}
    sql = "SELECT i32 AS v, SUM(k) OVER w AS s FROM t QUALIFY SUM({v}) OVER w > 3 WINDOW w AS (PARTITION BY g)"
    with pytest.raises(StepError, match=r"the type of 'v' in SUM\(…\) cannot be told where it stands"):
        widened(sql.format(v="v"), frames)
    assert "SUM(CAST(CAST(v AS BIGINT) AS HUGEINT))" in widened(sql.format(v="CAST(v AS BIGINT)"), frames)


METHODS: list[tuple[str, str, list[object]]] = [
    ("select", "nw.col('i32').sum()", [WIDE]),
    ("select", "nw.sum('u32')", [2**32 + 1]),
    ("select", "nw.col('i16').sum()", [4 * (2**15 - 1)]),
    ("select", "nw.when(nw.col('k') < 3).then(nw.col('big')).sum()", [2**63 - 1]),
    ("select", "nw.col('ok').sum()", [2]),
    ("select", "nw.when(nw.col('ok')).then(2147483647).otherwise(0).sum()", [2 * TOP]),
    ("select", "(nw.col('i32') - 1).sum() + nw.col('u32').sum()", [WIDE - 3 + 2**32 + 1]),
    ("select", "nw.col('i32').sum().cast(nw.Int64) * 2", [2 * WIDE]),
    ("agg", "nw.col('i32').sum()", [2 * TOP, 1]),
    ("select", "nw.len() - 10", [-6]),
    ("agg", "nw.len() - 10", [-8, -8]),
    ("with_columns", "nw.len().over('g') - 10", [-8] * 4),
    ("select", "nw.col('s').count() - 10", [-7]),
    ("agg", "nw.col('s').n_unique() - nw.col('s').null_count() - 5", [-3, -4]),
    ("with_columns", "nw.col('k').rank('ordinal').over('g') - 5", [-4, -3, -4, -3]),
    ("with_columns", "nw.col('s').str.len_chars() - 10", [-7, -7, -10, None]),
    ("with_columns", "nw.col('bigs').list.len() - 10", [-8, -9, -10, None]),
    ("with_columns", "nw.col('t').dt.month() * 100 + nw.col('t').dt.day()", [1231, 1231, 1231, None]),
    ("with_columns", "nw.col('t').dt.year() * 100_000_000", [202400000000] * 3 + [None]),
    ("with_columns", "nw.col('t').dt.microsecond() * 1_000_000", [123456000000] * 3 + [None]),
    ("with_columns", "nw.col('l').list.sum()", [TOP + 1, 1, 0, None]),
    ("with_columns", "nw.col('bigs').list.sum()", [2**63 - 1, 1, 0, None]),
    ("select", "nw.col('l').list.sum().sum()", [TOP + 2]),
    ("agg", "nw.sum('big') - nw.col('big').min()", [2**62, 0]),
    ("with_columns", "nw.col('i32').sum()", [WIDE] * 4),
    ("with_columns", "nw.col('i32').sum().over('g')", [2 * TOP, 2 * TOP, 1, 1]),
    ("with_columns", "nw.col('u64').sum().over('g')", [2**62 + 1, 2**62 + 1, 1, 1]),
    ("with_columns", "nw.col('i32').cum_sum().over(order_by='k')", [TOP, 2 * TOP, WIDE, None]),
    ("with_columns", "nw.col('i32').cum_sum(reverse=True).over('g', order_by='k')", [2 * TOP, TOP, 1, None]),
    ("with_columns", "nw.col('i32').rolling_sum(2, min_samples=1).over(order_by='k')", [TOP, 2 * TOP, TOP + 1, 1]),
]


def applied(session, method, **expressions):
    if method == "agg":
        texts = [f"({text}).alias('{name}')" for name, text in expressions.items()]
        arguments = {"groupby_columns": "g", "agg_expressions": texts}
        step = DataFrameMethod(func_name="laktory.groupby_and_agg", func_kwargs=arguments)
    else:
        step = DataFrameMethod(func_name=method, func_kwargs=expressions)
    frame = apply(session.adopt(ROWS), [step], session=session, frames={})
    return session.schema(frame), session.collect(frame).collect("polars").to_native()


@pytest.mark.parametrize(("method", "text", "wanted"), METHODS)
def test_whole_numbers_in_a_method_are_int64_and_right(session, method, text, wanted):
    schema, found = applied(session, method, r=text)
    assert schema["r"] == whole(session, text)
    assert sorted(found["r"].to_list(), key=str) == sorted(wanted, key=str)


def test_columns_of_several_types_are_summed_each_in_its_own(session):
    step = DataFrameMethod(func_name="select", func_args=["nw.col('i32', 'ok', 'd', 'f32').sum()"])
    frame = apply(session.adopt(ROWS), [step], session=session, frames={})
    found = session.collect(frame).collect("polars").to_native()
    assert list(session.schema(frame).values()) == [nw.Int64, nw.Int64, nw.Decimal(38, 2), nw.Float64]
    assert [str(value) for value in found.row(0)] == [str(WIDE), "2", "10.00", str(2.0**24 + 1.5)]


@pytest.mark.parametrize("text", ["nw.col('i32', 'f32').mean()", "nw.mean('f32', 'i32', 'big')"])
def test_means_of_several_columns_are_calculated_in_64_bits(session, text):
    step = DataFrameMethod(func_name="select", func_args=[text])
    found = (
        session.collect(apply(session.adopt(ROWS), [step], session=session, frames={})).collect("polars").to_native()
    )
    assert set(found.dtypes) == {pl.Float64}
    assert found["f32"].to_list() == [(2.0**24 + 1.5) / 3]
    assert found["i32"].to_list() == [WIDE / 3]


def test_methods_calculate_fractions_of_32_bits_in_64(session):
    texts = {name: f"nw.col('f32').{name}()" for name in ("sum", "mean", "std", "var")}
    schema, found = applied(session, "select", **texts)
    assert set(schema.values()) == {nw.Float64}
    assert found["sum"].to_list() == [2.0**24 + 1.5]
    assert found["mean"].to_list() == [pytest.approx((2.0**24 + 1.5) / 3, rel=1e-12)]


@pytest.mark.parametrize(
    "text", ["nw.sum('big')", "nw.col('big').cum_sum().over(order_by='k')", "nw.sum('i32', 'big')"]
)
def test_a_sum_in_a_method_that_does_not_fit_stops_the_run(session, text):
    step = DataFrameMethod(func_name="select", func_args=[text])
    with pytest.raises(StepError, match=out_of_range(session)):
        session.collect(apply(session.adopt(ROWS), [step], session=session, frames={}))
