"""Frames taken in, computed, queried and written, on every engine."""

import narwhals as nw
import polars as pl
import pytest

from laktory.engines.protocol import Output
from laktory.errors import SinkError, SourceError, StepError


class OneShot:
    """A stream that may be read once."""

    def __init__(self, frame):
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema=None):
        frame, self.frame = self.frame, None
        return frame.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"a": [1, 2], "b": ["x", None]},
        lambda: [{"a": 1, "b": "x"}, {"a": 2}],
        lambda: pl.DataFrame({"a": [1, 2], "b": ["x", None]}),
        lambda: pl.LazyFrame({"a": [1, 2], "b": ["x", None]}),
        lambda: nw.from_native(pl.DataFrame({"a": [1, 2], "b": ["x", None]})),
        lambda: pl.DataFrame({"a": [1, 2], "b": ["x", None]}).to_arrow(),
        lambda: OneShot(pl.DataFrame({"a": [1, 2], "b": ["x", None]})),
    ],
)
def test_adopt(session, make):
    frame = session.adopt(make())
    for _ in range(2):
        assert frame.collect("polars").to_native().rows() == [(1, "x"), (2, None)]


def test_adopt_a_duckdb_relation(session):
    import duckdb

    with duckdb.connect() as other:
        frame = session.adopt(other.sql("select 1 as a, 'x' as b"))
        assert frame.collect("polars").to_native().rows() == [(1, "x")]


def test_adopt_rows_with_late_keys(session):
    frame = session.adopt([{"a": 1}] * 200 + [{"a": 2.5, "b": True}])
    assert frame.collect("polars").to_native().row(200) == (2.5, True)


@pytest.mark.parametrize("value", [7, "text", [1, 2], {"a": [1], "b": [1, 2]}])
def test_what_is_no_frame(session, value):
    with pytest.raises(SourceError):
        session.adopt(value)


def test_collect(session):
    frame = session.collect(session.adopt({"n": [1, 4, None, 5]}).filter(nw.col("n") > 3))
    assert isinstance(frame, nw.LazyFrame)
    assert frame.collect("polars").to_native()["n"].to_list() == [4, 5]


def test_sql(session):
    frames = {"one": session.adopt({"a": [1, 2]}), "two": session.adopt({"a": [2], "b": ["x"]})}
    frame = session.sql("SELECT l.a, r.b FROM one l LEFT JOIN two r ON l.a = r.a ORDER BY l.a", frames)
    assert frame.collect("polars").to_native().rows() == [(1, None), (2, "x")]


@pytest.mark.parametrize(
    "statement",
    ["SELECT a FROM t", "SELECT sum(a) OVER (PARTITION BY b) FROM t", "WITH u AS (SELECT 1 AS x) SELECT * FROM u"],
)
def test_syntax_that_is_fine(session, statement):
    assert session.check_sql(statement) is None


@pytest.mark.parametrize("statement", ["SELECT (a FROM t", "SELEC a FROM t", "SELECT a\nFROM t WHERE ("])
def test_syntax_that_is_not(session, statement):
    message, _, _ = session.check_sql(statement)
    assert message


def test_failing_steps_are_steps(session):
    frame = session.adopt({"s": ["x"]}).select(nw.col("s").cast(nw.Int64()))
    with pytest.raises(StepError):
        session.stage([Output(frame, "out", "PARQUET")])


def test_a_place_that_cannot_be_written(session):
    with pytest.raises(SinkError, match="nowhere"):
        session.stage([Output(session.adopt({"a": [1]}), "nowhere/out.parquet", "PARQUET")])


def test_adopt_columns_of_numbers_beside_others(session):
    frame = session.collect(session.adopt({"a": [1, 2.5], "b": ["x", "y"], "c": [True, None]}))
    assert frame.collect("polars").to_native().rows() == [(1.0, "x", True), (2.5, "y", None)]
    with pytest.raises(SourceError):
        session.adopt({"a": [2**53 + 1, 0.5]})


def test_a_type_polars_has_not(tmp_path):
    import duckdb

    from laktory.engines._polars.session import PolarsSession

    with duckdb.connect() as other, pytest.raises(SourceError, match="cast it"):
        PolarsSession(str(tmp_path)).adopt(other.sql("select interval 2 months as i"))
