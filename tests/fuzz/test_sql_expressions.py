"""SQL expressions on every engine: the value the documents say, or refused by all."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import sql_dialect
from fuzzing import budget, example
from hypothesis import given
from hypothesis import strategies as st
from sql_grammar import LARGEST, ROWS, SMALLEST, Part, Row, booleans, expressions, order

from laktory.engines.capabilities import ENGINES
from laktory.errors import LaktoryError
from laktory.expressions import is_aggregate, parse_sql
from laktory.models import FileDataSource

SCHEMA = {"n": pl.Int64, "i": pl.Int64, "j": pl.Int8, "f": pl.Float64, "g": pl.Float32, "s": pl.String, "u": pl.String}
SCHEMA |= {"b": pl.Boolean, "c": pl.Boolean}


def written(rows: list[dict[str, Any]], path: Path) -> Path:
    numbered = [{"n": number, **row} for number, row in enumerate(rows)]
    pl.DataFrame(numbered, schema=SCHEMA).write_parquet(path)
    return path


def outcomes(path: Path, **options: Any) -> dict[str, Any]:
    """Per engine: the rows, or the error."""
    found: dict[str, Any] = {}
    for engine in ENGINES:
        try:
            source = FileDataSource(path=path, format="PARQUET", dataframe_backend=engine, **options)
            found[engine] = source.read().collect("polars").to_native().rows(named=True)
        except LaktoryError as error:
            found[engine] = error
        except Exception as error:
            # collecting may raise what the library raises
            if type(error).__module__.partition(".")[0].lstrip("_") not in {"duckdb", "narwhals", "polars", "pyspark"}:
                raise
            found[engine] = error
    return found


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float):
        return order(found) == order(wanted) or math.isclose(found, wanted, rel_tol=1e-9)
    if {type(found), type(wanted)} == {Decimal, int}:
        return found == wanted  # integers of 128 bits arrive from DuckDB as decimals
    return type(found) is type(wanted) and found == wanted


def check(found: dict[str, Any], wanted: list[Any], *, may_stop: bool, must_stop: bool, shown: str) -> None:
    for engine, rows in found.items():
        if isinstance(rows, Exception):
            assert may_stop or must_stop, f"{engine} refuses {shown}: {rows}"
            continue
        assert not must_stop, f"{engine} gives {rows} for {shown}, which does not fit"
        assert len(rows) == len(wanted), f"{engine}: {rows}"
        assert all(map(same, rows, wanted)), f"{engine}: {shown} gives {rows} instead of {wanted}"


@budget(80)
@given(ROWS, expressions())
def test_values(tmp_path: Path, rows: list[dict[str, Any]], expression: tuple[str, Part]) -> None:
    kind, part = expression
    seen = [Row(row) for row in rows]
    wanted = [part.value(row) for row in seen]
    must_stop = kind == "integer" and any(value is not None and not SMALLEST <= value <= LARGEST for value in wanted)
    with example(part.text, rows):
        found = outcomes(written(rows, tmp_path / "in.parquet"), selects=["n", f"{part.text} AS r"])
        values = {
            engine: result
            if isinstance(result, Exception)
            else [row["r"] for row in sorted(result, key=lambda row: row["n"])]
            for engine, result in found.items()
        }
        check(values, wanted, may_stop=any(row.may_stop for row in seen), must_stop=must_stop, shown=part.text)


@budget(40)
@given(ROWS, booleans(2))
def test_filters(tmp_path: Path, rows: list[dict[str, Any]], part: Part) -> None:
    seen = [Row(row) for row in rows]
    wanted = [number for number, row in enumerate(seen) if part.value(row) is True]
    with example(part.text, rows):
        found = outcomes(written(rows, tmp_path / "in.parquet"), filter=part.text, selects=["n"])
        values = {
            engine: result if isinstance(result, Exception) else sorted(row["n"] for row in result)
            for engine, result in found.items()
        }
        check(values, wanted, may_stop=any(row.may_stop for row in seen), must_stop=False, shown=part.text)


# ---- anything ------------------------------------------------------------------------------------

_WORDS = (
    "i j f g s u b c n NULL TRUE 0 1 -1 9223372036854775807 9223372036854775808 1e308 0.1 'a' '' '2024-02-30' "
    "'1.5' DATE INTERVAL ( ) ( ) , + - * / // % || = <> < >= AND OR NOT IS IN BETWEEN LIKE CASE WHEN THEN ELSE "
    "END CAST( TRY_CAST( AS INT BIGINT VARCHAR DOUBLE DECIMAL(10,2) BOOLEAN TIMESTAMP :: [1] .a SUM( MIN( MAX( "
    "COUNT( AVG( OVER PARTITION BY ORDER DESC ROW_NUMBER() LAG( ROUND( FLOOR( LOG( SQRT( POW( UPPER( LENGTH( "
    "SUBSTRING( SPLIT_PART( REGEXP_REPLACE( REGEXP_MATCHES( CONCAT( COALESCE( NULLIF( GREATEST( DATE_TRUNC( "
    'DATEDIFF( EXTRACT( YEAR FROM DISTINCT FILTER WHERE MEDIAN( STDDEV( * $1 ? {df} -- /* */ ; " ` \\ é \x00 SELECT '
    "read_csv('x') getenv('HOME') 'canary.csv' MAP STRUCT_PACK( LIST( [ ] { } -> @ # ~ ^ & | << >> "
)
WORDS = _WORDS.split()
SOUP = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=14).flatmap(
    lambda words: st.sampled_from([" ", ""]).map(lambda gap: gap.join(words))
)


@st.composite
def mutated(draw: Any) -> str:
    text = draw(expressions(3))[1].text
    for _ in range(draw(st.integers(1, 3))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 4))
        text = text[:at] + draw(st.sampled_from(["", " ", *WORDS]) | st.characters()) + text[at + length :]
    return text


ROW = {"i": 3, "j": 2, "f": 1.5, "g": 0.5, "s": "a b", "u": "12", "b": True, "c": False}


@budget(120)
@given(SOUP | mutated(), st.booleans())
def test_any_text(tmp_path: Path, text: str, filters: bool) -> None:
    rows = [ROW, dict.fromkeys(ROW), {**ROW, "i": -7, "f": math.nan, "s": "", "u": None}]
    with example(text):
        path = written(rows, tmp_path / "in.parquet")
        found = outcomes(path, filter=text) if filters else outcomes(path, selects=[text])
        names = [engine for engine, result in found.items() if isinstance(result, Exception)]
        assert len(names) in {0, len(found)}, f"{names} alone refuse {text!r}: {found}"
        if not names:
            first, *others = (sorted(map(plain, result)) for result in found.values())
            assert all(other == first for other in others), f"{text!r}: {found}"


def plain(row: dict[str, Any]) -> str:
    return repr([(key, f"{value:.9g}" if isinstance(value, float) else value) for key, value in row.items()])


# ---- engines among themselves --------------------------------------------------------------------


@budget(60)
@given(sql_dialect.ROWS, sql_dialect.texts() | sql_dialect.texts("A"))
def test_engines_agree(tmp_path: Path, rows: list[dict[str, Any]], text: str) -> None:
    """The same rows from every engine, or none from any; one may stop where the other finds nothing to compute."""
    numbered = [{"n": number, **row} for number, row in enumerate(rows)]
    path = tmp_path / "in.parquet"
    pl.DataFrame(numbered, schema=sql_dialect.SCHEMA).write_parquet(path)
    with example(text, rows):
        try:
            aggregate = is_aggregate(parse_sql(text))
        except LaktoryError:
            aggregate = False
        found = outcomes(path, selects=[f"{text} AS r"] if aggregate else ["n", f"{text} AS r"])
        names = [engine for engine, result in found.items() if isinstance(result, Exception)]
        assert len(names) in {0, len(found)}, f"{names} alone refuse {text!r}: {found}"
        if not names:
            first, *others = (sorted(result, key=lambda row: row.get("n", 0)) for result in found.values())
            for second in others:
                for one, other in zip(first, second, strict=True):
                    assert same(one["r"], other["r"]), f"{text!r}: {one['r']!r} or {other['r']!r}"
