"""SQL expressions over columns of known types: one value on every engine, or one refusal."""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from building import out_of_range

from laktory import models
from laktory.engines.capabilities import ENGINES
from laktory.errors import ExpressionError, LaktoryError, StepError
from laktory.expressions import compile_sql

MOMENT = dt.datetime(2024, 2, 29, 13, 5, 7, 123456, tzinfo=dt.UTC)
EARLY = dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
DATA = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "big": [2**63 - 1, -(2**63), 5],
        "i8": [127, -128, 5],
        "i32": [2**31 - 1, -(2**31), 7],
        "u8": [255, 0, 3],
        "u64": [2**64 - 1, 0, 7],
        "i": [7, -7, None],
        "a": [Decimal("0.05"), Decimal("-1.25"), Decimal("2.50")],
        "c": [Decimal("0.125"), Decimal("-2.500"), Decimal("10.005")],
        "f": [2.5, -0.5, 1e-7],
        "f32": [0.1, -2.5, 16_777_216.0],
        "tiny": [0.000015, -0.00001, 1e22],
        "e": ["low", "high", "mid"],
        "cat": ["z", "a", "m"],
        "n": ["7", "12", "007"],
        "d": [dt.date(2024, 2, 29), dt.date(1969, 12, 31), None],
        "t": [MOMENT.replace(tzinfo=None), EARLY.replace(tzinfo=None), None],
        "tz": [MOMENT, EARLY, None],
        "clock": [dt.time(13, 5, 7, 123456), dt.time(0, 30), None],
        "b": [True, False, None],
        "l": [[1, 2], [3], None],
        "arr": [[1, 2], [3, 4], [5, 6]],
        "bigs": [[2**63 - 1] * 2, [5], None],
        "floats": [[0.00001], [2.5], None],
        "es": [["low"], ["high"], None],
        "st": [{"big": 2**63 - 1, "a": {"b": {"c": {"d": 2**63 - 1}}}}] * 3,
        "bin": [b"a", b"\xff", None],
    },
    schema_overrides={
        "i8": pl.Int8,
        "i32": pl.Int32,
        "u8": pl.UInt8,
        "u64": pl.UInt64,
        "f32": pl.Float32,
        "a": pl.Decimal(10, 2),
        "c": pl.Decimal(18, 3),
        "e": pl.Enum(["low", "mid", "high"]),
        "cat": pl.Categorical,
        "arr": pl.Array(pl.Int64, 2),
        "es": pl.List(pl.Enum(["low", "mid", "high"])),
    },
)

VALUES: list[tuple[str, list[Any], Any]] = [
    # whole numbers: Int64, whatever they are made of
    ("-i8", [-127, 128, -5], nw.Int64),
    ("ABS(i8)", [127, 128, 5], nw.Int64),
    ("u8 - 10", [245, -10, -7], nw.Int64),
    ("i32 * i32", [(2**31 - 1) ** 2, 2**62, 49], nw.Int64),
    ("big // 2", [2**62 - 1, -(2**62), 2], nw.Int64),
    ("big % -1", [0, 0, 0], nw.Int64),
    ("u64 // 2", [2**63 - 1, 0, 3], nw.Int64),
    ("big - big", [0, 0, 0], nw.Int64),
    ("SUM(i32) OVER (PARTITION BY b)", [2**31 - 1, -(2**31), 7], nw.Int64),
    # fractions of 32 bits: as they are, or calculated and compared in 64
    ("f32 + 0 * i8", [0.10000000149011612, -2.5, 16_777_216.0], nw.Float64),
    ("f32 * 1 + id - 2", [-0.8999999985098839, -2.5, 16_777_217.0], nw.Float64),
    ("f32 = 16777216 + u8 - 3", [False, False, True], nw.Boolean),
    ("f32 + 1 > 16777216", [False, False, True], nw.Boolean),
    ("f32 = 0.1", [False, False, False], nw.Boolean),
    ("SUM(f32) OVER (PARTITION BY b)", [0.10000000149011612, -2.5, 16_777_216.0], nw.Float64),
    ("CAST(f32 AS VARCHAR)", ["0.1", "-2.5", "16777216.0"], nw.String),
    ("CAST(CAST(f AS REAL) AS VARCHAR) || ''", ["2.5", "-0.5", "1e-7"], nw.String),
    # decimals are exact
    ("a * a", [Decimal("0.0025"), Decimal("1.5625"), Decimal("6.2500")], nw.Decimal(20, 4)),
    ("a * c", [Decimal("0.00625"), Decimal("3.12500"), Decimal("25.01250")], nw.Decimal(28, 5)),
    (
        "CAST('0.05' AS DECIMAL(10,2)) * a",
        [Decimal("0.0025"), Decimal("-0.0625"), Decimal("0.1250")],
        nw.Decimal(20, 4),
    ),
    ("a + c", [Decimal("0.175"), Decimal("-3.750"), Decimal("12.505")], nw.Decimal(19, 3)),
    ("a - 1", [Decimal("-0.95"), Decimal("-2.25"), Decimal("1.50")], nw.Decimal(11, 2)),
    ("2 * a", [Decimal("0.10"), Decimal("-2.50"), Decimal("5.00")], nw.Decimal(11, 2)),
    ("-a", [Decimal("-0.05"), Decimal("1.25"), Decimal("-2.50")], nw.Decimal(10, 2)),
    ("a + 0.5", [0.55, -0.75, 3.0], nw.Float64),
    ("a > 0", [True, False, True], nw.Boolean),
    ("COALESCE(a, 0)", [Decimal("0.05"), Decimal("-1.25"), Decimal("2.50")], nw.Decimal(10, 2)),
    ("CASE WHEN id = 1 THEN a ELSE c END", [Decimal("0.050"), Decimal("-2.500"), Decimal("10.005")], nw.Decimal(18, 3)),
    # casts to decimals: halves go away from zero
    ("CAST(c AS DECIMAL(10,2))", [Decimal("0.13"), Decimal("-2.50"), Decimal("10.01")], nw.Decimal(10, 2)),
    ("CAST(-c AS DECIMAL(10,2))", [Decimal("-0.13"), Decimal("2.50"), Decimal("-10.01")], nw.Decimal(10, 2)),
    ("CAST(f AS DECIMAL(10,0))", [Decimal(3), Decimal(-1), Decimal(0)], nw.Decimal(10, 0)),
    ("CAST('-0.125' AS DECIMAL(10,2))", [Decimal("-0.13")] * 3, nw.Decimal(10, 2)),
    ("CAST(n AS DECIMAL(10,1))", [Decimal("7.0"), Decimal("12.0"), Decimal("7.0")], nw.Decimal(10, 1)),
    # categories are texts
    ("e > 'low'", [False, False, True], nw.Boolean),
    ("e < 'm'", [True, True, False], nw.Boolean),
    ("e = cat", [False, False, False], nw.Boolean),
    ("GREATEST(e, cat)", ["z", "high", "mid"], nw.String),
    ("UPPER(e)", ["LOW", "HIGH", "MID"], nw.String),
    ("LENGTH(cat)", [1, 1, 1], nw.Int64),
    # one text of a value
    ("CAST(f AS VARCHAR)", ["2.5", "-0.5", "1e-7"], nw.String),
    ("CAST(tiny AS VARCHAR)", ["1.5e-5", "-1e-5", "1e+22"], nw.String),
    ("clock || 'x'", ["13:05:07.123456x", "00:30:00x", None], nw.String),
    ("COALESCE(t, t) || ''", ["2024-02-29 13:05:07.123456", "1969-12-31 23:59:59", None], nw.String),
    ("COALESCE(d, d) || ''", ["2024-02-29", "1969-12-31", None], nw.String),
    ("CAST(COALESCE(tz, tz) AS VARCHAR)", ["2024-02-29 13:05:07.123456", "1969-12-31 23:59:59", None], nw.String),
    # times
    ("t = tz", [True, True, None], nw.Boolean),
    ("tz > TIMESTAMP '2020-01-01'", [True, False, None], nw.Boolean),
    ("tz > '2020-01-01'", [True, False, None], nw.Boolean),
    ("clock > '00:30:00'", [True, False, None], nw.Boolean),
    ("CAST(tz AS DATE)", [dt.date(2024, 2, 29), dt.date(1969, 12, 31), None], nw.Date),
    # the rest
    ("arr[1]", [1, 3, 5], nw.Int64),
    ("LENGTH(l)", [2, 1, None], nw.Int64),
    ("LEN(arr)", [2, 2, 2], nw.Int64),
    ("CONTAINS(arr, 3)", [False, True, False], nw.Boolean),
    ("CONTAINS(bigs, 9223372036854775807)", [True, False, None], nw.Boolean),
    ("CONTAINS(floats, 0.00001)", [True, False, None], nw.Boolean),
    ("CONTAINS(floats, -2)", [False, False, None], nw.Boolean),
    ("LIST_CONTAINS(es, 'low')", [True, False, None], nw.Boolean),
    ("TRY_CAST(tz AS TIMESTAMP) = t", [True, True, None], nw.Boolean),
    ("TRY_CAST(id AS TIMESTAMP)", [None, None, None], nw.Datetime("us")),
    ("l[1]", [1, 3, None], nw.Int64),
    # what gives back a value of its arguments has their type
    ("CAST(floats[1] AS VARCHAR)", ["1e-5", "2.5", None], nw.String),
    ("es[1] > 'low'", [False, False, None], nw.Boolean),
    ("LAG(d) OVER (ORDER BY id) = '2024-02-29'", [None, True, False], nw.Boolean),
    ("FIRST_VALUE(tz) OVER (ORDER BY id) = t", [True, False, None], nw.Boolean),
    ("LEAD(f) OVER (ORDER BY id) || ''", ["-0.5", "1e-7", None], nw.String),
    ("LAG(i8, 1, 1000) OVER (ORDER BY id) * 2", [2000, 254, -256], nw.Int64),
    (
        "LAG(a, 1, c) OVER (ORDER BY id)",
        [Decimal("0.125"), Decimal("0.050"), Decimal("-1.250")],
        nw.Decimal(18, 3),
    ),
    (
        "FIRST_VALUE(a) OVER (ORDER BY id) * a",
        [Decimal("0.0025"), Decimal("-0.0625"), Decimal("0.1250")],
        nw.Decimal(20, 4),
    ),
]

WHOLE: list[tuple[str, Any]] = [
    ("SUM(b)", 1),
    ("AVG(b)", 0.5),
    ("MEDIAN(a)", 0.05),
    ("MEDIAN(a) FILTER (WHERE id < 3)", -0.6),
    ("MEDIAN(c + a) FILTER (WHERE id < 3)", -1.7875),
    ("AVG(f32)", (0.10000000149011612 - 2.5 + 16_777_216.0) / 3),
    ("MAX(e)", "mid"),
    ("MIN(e)", "high"),
    ("SUM(a * a)", Decimal("7.8150")),
    ("SUM(big)", 4),
]

OVERFLOWS = [
    *("big + 1", "big - 1", "big * 2", "-big", "ABS(big)", "big // -1", "u64 + 1", "i32 * i32 * 8", "SUM(u64)"),
    *(
        "bigs[1] + bigs[2]",
        "SUM(bigs[1])",
        "st.big + 1",
        "st.a.b.c.d + 1",
        "(st).big + 1",
        "COALESCE(bigs, bigs)[1] + 1",
    ),
    *(f"{call} OVER (ORDER BY id) * 3" for call in ("LAG(big)", "LEAD(big)", "FIRST_VALUE(big)", "LAG(i8, 1, big)")),
    *("COALESCE(LAG(big) OVER (ORDER BY id), 1) + 1", "NULLIF(bigs[1], 0) + 1"),
]

REFUSED = {
    "i = '7'": "a comparison takes values of one kind, found i (a number) and '7' (text); write CAST(… AS …) around",
    "n = 12": "found n (text) and 12 (a number)",
    "i IN ('7', '8')": "IN takes values of one kind",
    "i BETWEEN '1' AND '9'": "found i (a number) and '1' (text)",
    "CASE WHEN id = 1 THEN i ELSE n END": "CASE takes values of one kind, found i (a number) and n (text)",
    "COALESCE(i, 'x')": "COALESCE takes values of one kind",
    "COALESCE(d, '2024-01-01')": "COALESCE takes values of one kind",
    "COALESCE(tz, t)": "found tz (a timestamp with a zone) and t (a date or timestamp)",
    "GREATEST(i, n)": "GREATEST takes values of one kind",
    "b = 1": "found b (a boolean) and 1 (a number)",
    "b + 1": "+ takes numbers, not b, a boolean; write CAST(… AS INT)",
    "d - d": "DATEDIFF('day', a, b)",
    "n + 1": "+ takes numbers, not text",
    "NOT i": "NOT takes a condition, not i",
    "i AND b": "AND takes a condition, not i",
    "IF(i, 1, 2)": "IF takes a condition, not i",
    "TRIM(i)": "TRIM takes text; write CAST(… AS VARCHAR)",
    "d LIKE '2024%'": "LIKE takes text",
    "YEAR(n)": "YEAR takes a date or timestamp, not text; write CAST(… AS TIMESTAMP)",
    "a // 1": "// takes no decimals; CAST them to DOUBLE or BIGINT",
    "a % 1": "% takes no decimals",
    "l || 'x'": "l, a list value, has no text that is the same on every engine",
    "bin || 'x'": "bin, a binary value, has no text",
    "MAX(l)": "MAX takes values that have an order, not a list",
    "CAST(d AS INT)": "d, a time value, cannot be cast to INT",
    "COALESCE(LAG(t) OVER (ORDER BY id), 3)": "COALESCE takes values of one kind",
    "LAG(i, 1, 'x') OVER (ORDER BY id)": "LAG takes values of one kind",
    "LEAD(i, 1, d) OVER (ORDER BY id)": "LEAD takes values of one kind",
    "l[1] + d": "+ takes numbers",
    "TRUNC(d)": "TRUNC takes a number, not a time value",
    "POW(d, 2)": "POW takes a number, not a time value",
    "POW(2, b)": "POW takes a number, not a boolean value",
    "LOG(d)": "LOG takes a number, not a time value",
    "LOG(2, b)": "LOG takes a number, not a boolean value",
    "SQRT(b)": "SQRT takes a number, not a boolean value",
    "ARRAY_LENGTH(n)": "ARRAY_LENGTH takes a list, not n",
    "CONTAINS(l, 'x')": "CONTAINS looks for 'x' among items of another kind (integer)",
    "CONTAINS(l, 1.5)": "CONTAINS looks for 1.5 among items of another kind (integer)",
    "LENGTH(st)": "LENGTH takes text",
    "st.a.B.c": "st.a.B.c names the field 'B', which is not there; did you mean 'b'?",
    "st.a.b.c.nope": "names the field 'nope', which is not there; fields: d",
    "ISINF(b)": "ISINF takes a number, not a boolean value",
    "SUM(d)": "SUM takes numbers, not a time value",
}


def held(engine: Any) -> pl.DataFrame:
    """The columns whose types an engine has."""
    return DATA.drop([name for name, dtype in DATA.schema.items() if type(dtype).__name__ in engine.unheld])


@pytest.fixture
def adopted(session: Any) -> Any:
    return session.adopt(held(session.capabilities))


def values_of(frame: Any, session: Any) -> pl.DataFrame:
    """What a file would hold, in the order of the rows."""
    del session
    return frame.collect("polars").to_native()


@pytest.mark.parametrize(("text", "wanted", "dtype"), VALUES, ids=[text for text, _, _ in VALUES])
def test_values_and_types(text: str, wanted: list[Any], dtype: Any, adopted: Any, session: Any) -> None:
    schema = adopted.collect_schema()
    if "clock" in text and "clock" not in schema:
        with pytest.raises((LaktoryError, nw.exceptions.ColumnNotFoundError)):
            session.schema(adopted.select(compile_sql(text, schema)))
        return
    if schema["u64"] != nw.UInt64 and text == "u64 // 2":  # a decimal holds what Spark has no type for
        with pytest.raises(ExpressionError, match="// takes no decimals"):
            compile_sql(text, schema)
        return
    frame = adopted.select("id", compile_sql(text, adopted.collect_schema()).alias("r"))
    assert session.schema(frame)["r"] == dtype
    assert values_of(frame, session).sort("id")["r"].to_list() == wanted


@pytest.mark.parametrize(("text", "wanted"), WHOLE)
def test_aggregates(text: str, wanted: Any, adopted: Any) -> None:
    result = adopted.select(compile_sql(text, adopted.collect_schema())).collect().item()
    assert result == wanted


@pytest.mark.parametrize("text", OVERFLOWS)
def test_a_whole_number_that_does_not_fit_stops_the_run(text: str, adopted: Any, session: Any) -> None:
    frame = adopted.select(compile_sql(text, adopted.collect_schema()).alias("r"))
    if "u64" in text and adopted.collect_schema()["u64"] != nw.UInt64:
        found = max(session.fetch(frame)["r"].to_list())
        assert found == {"u64 + 1": 2**64, "SUM(u64)": 2**64 + 6}[text]
        return
    with pytest.raises(StepError, match=out_of_range(session)):
        session.collect(frame).collect()


@pytest.mark.parametrize("text", REFUSED)
def test_values_of_several_kinds_are_refused_alike(text: str, adopted: Any) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_sql(text, adopted.collect_schema())
    assert REFUSED[text] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("COALESCE(1, CAST(v AS INT))", [1, 1, 1]),
        ("COALESCE(NULL, 1, CAST(v AS INT))", [1, 1, 1]),
        ("COALESCE(k, CAST(v AS INT))", [1, 2, 7]),
        ("COALESCE(k, CAST(v AS INT), 0)", [1, 2, 7]),
        ("COALESCE(NULLIF(k, 9), -1, CAST(v AS INT))", [1, 2, -1]),
        ("IFNULL(CAST(TRY_CAST(v AS INT) AS INT), k)", [1, 2, 7]),
        ("CASE WHEN TRUE THEN 1 ELSE CAST(v AS INT) END", [1, 1, 1]),
        ("CASE WHEN FALSE THEN CAST(v AS INT) ELSE k END", [1, 2, None]),
        ("CASE WHEN v = 'bad' THEN k ELSE CAST(v AS INT) END", [1, 2, 7]),
        ("IF(k IS NULL, CAST(v AS INT), k)", [1, 2, 7]),
    ],
)
def test_what_a_row_does_not_take_does_not_stop_the_run(text: str, wanted: list[Any], session: Any) -> None:
    frame = session.adopt(pl.DataFrame({"v": ["1", "bad", "7"], "k": [1, 2, None]}))
    compiled = compile_sql(text, frame.collect_schema(), per_row=True)
    for columns in (frame.with_columns(compiled.alias("r")), frame.select(compiled.alias("r"))):
        assert values_of(session.collect(columns), session)["r"].to_list() == wanted


def test_a_category_handed_on_stays_what_it_is(adopted: Any) -> None:
    schema = adopted.collect_schema()
    assert adopted.select(compile_sql("e AS x", schema)).collect_schema()["x"] == schema["e"]


def test_sources_and_steps_know_the_types_of_their_frames(backend: str) -> None:
    held(ENGINES[backend]).write_parquet("data.parquet")
    source = {"path": "data.parquet", "format": "PARQUET", "filter": "a * a > 0.001 AND id < 3"}
    source["selects"] = ["id", "a * a AS square", "a", "e"]
    steps = [
        {"func_name": "with_columns", "func_kwargs": {"more": "nw.laktory.sql_expr('a * square')"}},
        {
            "func_name": "laktory.groupby_and_agg",
            "func_kwargs": {
                "groupby_columns": ["id"],
                "agg_expressions": [
                    "max(more) AS more",
                    {"expr": "max(a * a) AS squares"},
                    {"expr": "nw.col('a').max().alias('m')"},
                    {"expr": "nw.col('a').min().alias('least')", "type": "DF"},
                ],
            },
        },
    ]
    sinks = [{"path": "out.parquet", "format": "PARQUET"}]
    node = {"name": "n", "source": source, "transformer": {"nodes": steps}, "sinks": sinks}
    models.Pipeline(name="p", dataframe_backend=backend, nodes=[node]).execute()
    assert sorted(pl.read_parquet("out.parquet").rows()) == [
        (1, Decimal("0.000125"), Decimal("0.0025"), Decimal("0.05"), Decimal("0.05")),
        (2, Decimal("-1.953125"), Decimal("1.5625"), Decimal("-1.25"), Decimal("-1.25")),
    ]


def test_a_filter_that_mixes_kinds_fails_in_words(backend: str) -> None:
    Path("data.csv").write_text("i,n\n7,007\n", encoding="utf-8")
    source = {"path": "data.csv", "format": "CSV", "infer_schema": True, "filter": "i = '7'"}
    node = {"name": "n", "source": source, "sinks": [{"path": "out.parquet", "format": "PARQUET"}]}
    with pytest.raises(LaktoryError, match="a comparison takes values of one kind"):
        models.Pipeline(name="p", dataframe_backend=backend, nodes=[node]).execute()


SELECTS: list[tuple[dict[str, Any], list[tuple[Any, ...]]]] = [
    ({"selects": ["count(*) AS n"]}, [(3,)]),
    ({"selects": {"1": "k"}}, [(1,), (1,), (1,)]),
    ({"selects": ["1 AS k", "sum(a) AS total"]}, [(1, 6)]),
    ({"selects": ["a", "'x' AS k"], "filter": "true"}, [(1, "x"), (2, "x"), (3, "x")]),
    ({"selects": ["a"], "filter": "1 > 2"}, []),
    ({"selects": ["a", "SUM(a) OVER (PARTITION BY b) AS s"]}, [(1, 3), (2, 3), (3, 3)]),
]


@pytest.mark.parametrize(("options", "wanted"), SELECTS, ids=str)
def test_constants_and_aggregates_in_sources(options: dict[str, Any], wanted: list[Any], backend: str) -> None:
    source = {"data": {"a": [1, 2, 3], "b": [1, 1, 2]}, **options}
    sinks = [{"path": "out.parquet", "format": "PARQUET"}]
    models.Pipeline(
        name="p", dataframe_backend=backend, nodes=[{"name": "n", "source": source, "sinks": sinks}]
    ).execute()
    assert sorted(pl.read_parquet("out.parquet").rows()) == wanted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filter": "SUM(a) > 1"}, "a filter judges each row, and an aggregate is one value of all rows"),
        ({"selects": ["a", "SUM(a)"]}, "'selects' mixes columns with aggregates of all rows"),
        ({"selects": ["*", "COUNT(*) AS n"]}, "'selects' mixes columns with aggregates of all rows"),
        ({"selects": ["a - AVG(a) AS x"]}, "a column stands beside an aggregate of all rows"),
    ],
)
def test_rows_and_aggregates_are_not_mixed(options: dict[str, Any], message: str, backend: str) -> None:
    source = {"data": {"a": [1, 2, 3]}, **options}
    with pytest.raises(LaktoryError, match=re.escape(message)):
        models.Pipeline(name="p", dataframe_backend=backend, nodes=[{"name": "n", "source": source}]).execute()


DIVIDED = [
    ("x / 10", lambda x: x / 10),
    ("x // 0.1", lambda x: float(math.trunc(x / 0.1))),
    ("x % 0.1", lambda x: x - math.trunc(x / 0.1) * 0.1),
    ("10 / x", lambda x: 10 / x),
    ("x / MAX(x)", lambda x: x / 9.99),
    ("ROUND(x, 1)", lambda x: math.copysign(math.floor(abs(x) * 10 + 0.5) / 10, x)),
]


@pytest.mark.parametrize(("text", "wanted"), DIVIDED, ids=[text for text, _ in DIVIDED])
def test_division_by_a_constant_is_that_by_a_column_to_the_last_digit(text: str, wanted: Any, session: Any) -> None:
    numbers = [number / 100 for number in range(-999, 1000) if number]
    frame = session.adopt(pl.DataFrame({"x": numbers}))
    result = frame.select("x", compile_sql(text, frame.collect_schema()).alias("r")).collect().to_dict(as_series=False)
    assert result["r"] == [wanted(x) for x in result["x"]]
