"""SQL expressions: one meaning on every engine, and refusals that point at the fault."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from laktory.errors import ExpressionError
from laktory.expressions import columns, compile_sql, is_aggregate, output_name, parse_sql
from laktory.testing.rules import FRAME, GROUPS


def data(name: str) -> Any:
    return yaml.safe_load(Path(__file__).parent.joinpath("data", name).read_text(encoding="utf-8"))


TABLE = data("sql_expressions.yaml")
REFUSALS = data("sql_refusals.yaml")


def wanted_of(value: Any, dtype: str) -> Any:
    """YAML has no decimals."""
    if isinstance(value, list):
        return [wanted_of(item, dtype) for item in value]
    return Decimal(value) if dtype.startswith("Decimal") and value is not None else value


CONSTRUCTS = [(text, wanted_of(value, dtype)) for group in GROUPS for text, value, dtype, *_ in group["constructs"]]
ROWS = [pair for pair in CONSTRUCTS if isinstance(pair[1], list)] + TABLE["rows"]
ONE = [pair for pair in CONSTRUCTS if not isinstance(pair[1], list)] + TABLE["one"]
# constructs are tested with types of their own
KNOWN = [
    *(("typed", *pair) for pair in TABLE["rows"] + TABLE["one"]),
    *(("untyped", *pair) for pair in ROWS + ONE),
]

ENGINES = ("POLARS", "DUCKDB")


@pytest.fixture(scope="module")
def connection() -> Any:
    with duckdb.connect() as opened:
        yield opened


def frame_of(data: pl.DataFrame, engine: str, connection: Any) -> nw.LazyFrame[Any]:
    return nw.from_native(data.lazy() if engine == "POLARS" else connection.from_arrow(data.to_arrow()))


@pytest.fixture(scope="module", params=ENGINES)
def frame(request: pytest.FixtureRequest, connection: Any) -> nw.LazyFrame[Any]:
    return frame_of(pl.DataFrame(FRAME), request.param, connection)


def same(found: Any, wanted: Any) -> bool:
    """Equal, of the same kind, and NaN equals NaN. DuckDB adds up integers in 128 bits, which arrive as decimals."""
    if isinstance(found, Decimal) and isinstance(wanted, int):
        return found == wanted
    if isinstance(wanted, float) and isinstance(found, float):
        return (math.isnan(wanted) and math.isnan(found)) or math.isclose(found, wanted, rel_tol=1e-12)
    return type(found) is type(wanted) and found == wanted


def spelled(dtype: Any) -> str:
    """A type as sql_constructs.yaml has it."""
    text = str(dtype).replace("precision=", "").replace("scale=", "")
    return "Datetime" if dtype == nw.Datetime("us") else text


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group["group"])
def test_constructs_have_one_value_and_one_type(group: dict[str, Any], session: Any) -> None:
    frame = session.adopt(pl.DataFrame(FRAME))
    schema = session.schema(frame)
    for whole in (True, False):
        listed = [construct for construct in group["constructs"] if is_aggregate(parse_sql(construct[0])) == whole]
        if not listed:
            continue
        chosen = [compile_sql(text, schema).alias(f"result {place}") for place, (text, *_) in enumerate(listed)]
        result = session.collect(frame.select(*chosen) if whole else frame.select("id", *chosen)).collect()
        result = result if whole else result.sort("id").drop("id")
        for column, (text, value, dtype, *_) in zip(result.iter_columns(), listed, strict=True):
            found = column[0] if whole else column.to_list()
            # to the last digit
            assert (text, repr(found), spelled(column.dtype)) == (text, repr(wanted_of(value, dtype)), dtype)


@pytest.mark.parametrize(("typed", "text", "wanted"), KNOWN, ids=lambda value: ascii(value)[:60])
def test_values(typed: str, text: str, wanted: Any, frame: nw.LazyFrame[Any]) -> None:
    compiled = compile_sql(text, frame.collect_schema() if typed == "typed" else None)
    if not isinstance(wanted, list):
        result = frame.select(compiled).collect()
        assert result.shape == (1, 1)
        assert same(result.item(), wanted), f"{result.item()!r} instead of {wanted!r}"
        return
    rows = frame.with_columns(compiled.alias("result")).sort("id").collect()["result"].to_list()
    assert len(rows) == 5
    wanted = wanted if len(wanted) == 5 else wanted * 5
    assert all(map(same, rows, wanted)), f"{rows} instead of {wanted}"


@pytest.mark.parametrize(("text", "wanted"), ROWS, ids=lambda value: ascii(value)[:60])
def test_filters_keep_the_rows_where_a_predicate_is_true(
    text: str, wanted: list[Any], frame: nw.LazyFrame[Any]
) -> None:
    if not all(isinstance(value, bool | None) for value in wanted) or not columns(parse_sql(text)):
        wanted = [value is not None for value in wanted] if len(wanted) == 5 else [True] * 5
        text = f"({text.removesuffix(' AS x').removesuffix(' -- a comment')}) IS NOT NULL AND id > 0"
    kept = frame.filter(compile_sql(text)).sort("id").collect()["id"].to_list()
    assert kept == [index + 1 for index, value in enumerate(wanted) if value]


GROUPED = [
    ("COUNT(*)", [2, 2, 1]),
    ("COUNT(i)", [2, 1, 1]),
    ("COUNT(DISTINCT j)", [1, 2, 0]),
    ("SUM(i)", [0, 0, 3]),
    ("SUM(j) / COUNT(*)", [2.0, 0.5, None]),
    ("MAX(f)", [2.5, math.nan, 0.5]),
    ("MAX(i) - MIN(i)", [14, 0, 0]),
    ("MAX(k)", ["a", "b", None]),
    ("MAX(k || '!')", ["a!", "b!", None]),
    ("MIN(CAST(k AS VARCHAR))", ["a", "b", None]),
    ("COUNT(k)", [2, 2, 0]),
    ("SUM(CASE WHEN d >= '2000-01-01' THEN 1 ELSE 0 END)", [2, 0, 1]),
    ("SUM(CAST(n AS INT))", [9, 7, 5]),
    ("AVG(i) FILTER (WHERE i > 0)", [7.0, None, 3.0]),
    ("BOOL_OR(b) AND COUNT(*) > 1", [True, True, False]),
    ("ROUND(STDDEV(id), 3)", [0.707, 0.707, None]),
    ("STARTS_WITH(MAX(s), 'a') OR MAX(s) IS NULL", [False, False, False]),
]


@pytest.mark.parametrize(("text", "wanted"), GROUPED)
def test_grouped_aggregates_read_keys_too(text: str, wanted: list[Any], frame: nw.LazyFrame[Any]) -> None:
    grouped = frame.group_by("k").agg(
        compile_sql(text, frame.collect_schema()).alias("result"), nw.col("id").min().alias("first")
    )
    result = grouped.sort("first").collect()["result"].to_list()
    assert all(map(same, result, wanted)), f"{result} instead of {wanted}"


@pytest.mark.parametrize("engine", ENGINES)
def test_narrow_integers_do_not_overflow(engine: str, connection: Any) -> None:
    top = pl.DataFrame({"a": [2**31 - 1] * 2, "b": [100, 100]}, schema={"a": pl.Int32, "b": pl.Int8})
    frame = frame_of(top, engine, connection)
    texts = ["a + a", "a * a", "b + b", "b + 100", "SUM(a)", "SUM(b)", "b * b * b"]
    result = frame.select(*(compile_sql(text).alias(text) for text in texts)).collect().row(0)
    top_value = 2**31 - 1
    assert [int(value) for value in result] == [2 * top_value, top_value**2, 200, 200, 2 * top_value, 200, 10**6]


@pytest.mark.parametrize("engine", ENGINES)
def test_empty_frames(engine: str, connection: Any) -> None:
    frame = frame_of(pl.DataFrame({"x": [1.5]}).clear(), engine, connection)
    texts = ["COUNT(*)", "COUNT(x)", "SUM(x)", "AVG(x)", "MAX(x)", "MIN(x)", "COUNT(DISTINCT x)", "BOOL_AND(x > 1)"]
    result = frame.select(*(compile_sql(text).alias(text) for text in texts)).collect()
    assert result.rows() == [(0, 0, None, None, None, None, 0, None)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("CAST(x AS INT)", "1.5"),
        ("CAST(x AS INT)", " 1"),
        ("CAST(x AS DOUBLE)", "1,5"),
        ("CAST(x AS DATE)", "2024-1-31"),
        ("CAST(x AS DATE)", "2024-02-30"),
        ("CAST(x AS DATE)", "20240131"),
        ("CAST(x AS TIMESTAMP)", "2024-01-31 25:00:00"),
        ("CAST(x AS BOOLEAN)", "maybe"),
        ("CAST(x AS TINYINT)", "300"),
    ],
)
def test_casts_of_unreadable_text_stop_the_engine(text: str, value: str, engine: str, connection: Any) -> None:
    frame = frame_of(
        pl.DataFrame({"x": ["1", value] if "DATE" not in text and "STAMP" not in text else [value]}), engine, connection
    )
    with pytest.raises(Exception, match=r"(?s)conver|invalid|parse|range|Could not"):
        frame.select(compile_sql(text)).collect()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "text", ["missing", "CAST(missing AS INT)", "MAX(missing)", "missing > '2024-01-01'", "missing || 'x'"]
)
def test_missing_columns_are_never_null(text: str, engine: str, connection: Any) -> None:
    frame = frame_of(pl.DataFrame({"x": [1]}), engine, connection)
    with pytest.raises(nw.exceptions.ColumnNotFoundError):
        frame.select(compile_sql(text)).collect()


@pytest.mark.parametrize("engine", ENGINES)
def test_column_names_are_taken_literally(engine: str, connection: Any) -> None:
    names = ["a.b", "a+b", "a b", "^x", "x$", "sélect", "(1)", "a", "ab", "[x]", "SUM"]
    frame = frame_of(pl.DataFrame({name: [float(index)] for index, name in enumerate(names)}), engine, connection)
    for index, name in enumerate(names):
        for text in (f'"{name}" * 2', f"`{name}` * 2"):
            assert frame.select(compile_sql(text)).collect().to_dict(as_series=False) == {name: [2.0 * index]}
        assert frame.select(compile_sql(f'CAST("{name}" AS INT)')).collect().to_dict(as_series=False) == {name: [index]}


def test_current_timestamp_is_utc_without_a_zone() -> None:
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    result = (
        nw.from_native(pl.DataFrame({"x": [1]})).with_columns(compile_sql("CURRENT_TIMESTAMP").alias("t"))["t"].item()
    )
    assert result.tzinfo is None
    assert before <= result <= dt.datetime.now(dt.UTC).replace(tzinfo=None)


NAMES = [
    ("id * 2", "id"),
    ("2 * id", "id"),
    ("a + b", "a"),
    ("COALESCE(x, y) AS z", "z"),
    ('x AS "A b"', "A b"),
    ("MAX(price) - MIN(cost)", "price"),
    ("CASE WHEN b > 1 THEN a END", "b"),
    ("data.symbol", "symbol"),
    ("data.a.b.c.d", "d"),
    ("items[1].price * 2", "price"),
    ("items[1]", "items"),
    ("DATEDIFF('day', first, second)", "first"),
    ("SUM(x) OVER (PARTITION BY a)", "x"),
    ("COUNT(*)", "count"),
    ("COUNT(*) > 1", "literal"),
    ("CURRENT_DATE", "current_date"),
    ("1", "literal"),
]


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_output_name(text: str, name: str) -> None:
    assert output_name(parse_sql(text)) == name


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a + b * a", {"a", "b"}),
        ("data.a.b > x", {"data", "x"}),
        ("data.a.b.c.d.e > 1", {"data"}),
        ("SUM(x) FILTER (WHERE y) OVER (PARTITION BY z)", {"x", "y", "z"}),
        ('"A b"[1].c', {"A b"}),
        ("COUNT(*)", set()),
        ("CASE a WHEN 1 THEN b ELSE c END", {"a", "b", "c"}),
    ],
)
def test_columns(text: str, names: set[str]) -> None:
    assert columns(parse_sql(text)) == names


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("COUNT(*)", True),
        ("x > AVG(x)", True),
        ("MEAN(x) + 1", True),
        ("SUM(x) FILTER (WHERE y > 1)", True),
        ("COALESCE(MAX(x), 0) > 1", True),
        ("x + 1", False),
        ("SUM(x) OVER (PARTITION BY y)", False),
        ("SUM(x) FILTER (WHERE y > 1) OVER (PARTITION BY y)", False),
        ("RANK() OVER (ORDER BY x)", False),
        ("SUM(x) OVER (PARTITION BY y) / SUM(x)", True),
        ("GREATEST(x, y)", False),
    ],
)
def test_is_aggregate(text: str, answer: bool) -> None:
    assert is_aggregate(parse_sql(text)) is answer


@pytest.mark.parametrize(("text", "message", "offset"), REFUSALS, ids=lambda value: ascii(value)[:60])
def test_refusals(text: str, message: str, offset: int | None) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_sql(text)
    assert message in str(caught.value)
    assert caught.value.offset == offset


LARGE = [
    "(" * 2000 + "x" + ")" * 2000,
    "- " * 3000 + "x",
    "NOT " * 2000 + "x",
    "x" + " + x" * 2000,
    "x" + " AND x" * 4000,
    "x" * 20_000,
    "NULLIF(" * 30 + "x" + ", 1)" * 30,
    "ROUND(" * 30 + "x" + ")" * 30,
    "x = " * 200 + "x",
    "CASE " + "WHEN x = 1 THEN 2 " * 500 + "END",
    "CASE WHEN x THEN " * 300 + "x" + " END" * 300,
    "GREATEST(" + ", ".join(["x"] * 400) + ")",
    "x || " * 2000 + "x",
    "x IN (" + ", ".join(map(str, range(4000))) + ")",
    "CAST(" * 40 + "x" + " AS INT)" * 40,
    "x" + "[1]" * 500,
    "x" + ".x" * 500,
    "'" + "a" * 20_000 + "'",
    "9" * 5000,
    "x LIKE '" + "%a" * 6000 + "'",
]


@pytest.mark.parametrize("text", LARGE, ids=lambda text: text[:20])
def test_large_expressions_are_refused_quickly(text: str) -> None:
    with pytest.raises(ExpressionError, match="too large|nested too deeply|characters|too long|branches"):
        compile_sql(text)


@pytest.mark.parametrize("engine", ENGINES)
def test_long_but_flat_expressions_work(engine: str, connection: Any) -> None:
    frame = frame_of(pl.DataFrame({"x": [1, 999], "s": ["a", "k7"]}), engine, connection)
    texts = [
        " OR ".join(f"x = {number}" for number in range(1, 200)),
        "x IN (" + ", ".join(map(str, range(500))) + ")",
        "s NOT IN (" + ", ".join(f"'k{number}'" for number in range(500)) + ")",
        " AND ".join(["x < 500"] * 300),
    ]
    result = frame.select(*(compile_sql(text).alias(str(index)) for index, text in enumerate(texts))).collect()
    assert result.rows() == [(True,) * 4, (False,) * 4]


WORDS = r"""
x y "a b" `c` 'text' 'it''s' '2024-01-01' 1 2.5 1e3 NULL TRUE ( ) , . + - * / // % || = <> < >= :: [ ] ; ? : {
} AND OR NOT IS IN LIKE ILIKE ESCAPE BETWEEN CASE WHEN THEN ELSE END CAST( TRY_CAST( AS INT DATE TIMESTAMP
INTERVAL DAY COUNT( SUM( MAX( DISTINCT OVER PARTITION BY ORDER ROWS UNBOUNDED PRECEDING ROUND( SUBSTRING(
TRIM( LEADING FROM COALESCE( NULLIF( GREATEST( EXTRACT( YEAR DATE_TRUNC( REGEXP_LIKE( SPLIT_PART( LAG(
ROW_NUMBER() FILTER WHERE SELECT -- /* */ $1 @ # \ ' " ` é
"""


@settings(max_examples=300, deadline=3000)
@given(st.lists(st.sampled_from(WORDS.split()), max_size=14).map(" ".join) | st.text(max_size=50))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        compile_sql(text)
    except ExpressionError as error:
        assert error.offset is None or 0 <= error.offset <= len(text)
        assert "sqlglot" not in str(error)


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/", "%", "//"]), pair).map(
            lambda p: f"({p[1][0]} {p[0]} {p[1][1]})"
        ),
        pair.map(lambda p: f"COALESCE({p[0]}, {p[1]})"),
        pair.map(lambda p: f"NULLIF({p[0]}, {p[1]})"),
        pair.map(lambda p: f"CASE WHEN {p[0]} > {p[1]} THEN {p[0]} ELSE {p[1]} END"),
        pair.map(lambda p: f"CASE WHEN {p[0]} IN ({p[1]}, 2, NULL) THEN 1 ELSE 0 END"),
        inner.map(lambda value: f"ABS({value})"),
        inner.map(lambda value: f"(- {value})"),
    )


NUMERIC = st.recursive(st.sampled_from(["i", "j", "f", "g", "1", "2.5", "-3", "0"]), nested, max_leaves=6)


@settings(max_examples=60, deadline=None)
@given(NUMERIC)
def test_engines_agree_on_any_arithmetic(text: str) -> None:
    data = pl.DataFrame(FRAME).select("id", "i", "j", "f", "g")
    results = []
    with duckdb.connect() as connection:
        for engine in ENGINES:
            frame = frame_of(data, engine, connection)
            compiled = compile_sql(f"{text} + 0.0", frame.collect_schema())
            results.append(frame.with_columns(compiled.alias("r")).sort("id").collect()["r"].to_list())
    assert all(map(same, *results)), results
