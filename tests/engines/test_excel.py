"""What sheets hold comes back; what they do not hold is refused before anything is written."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from test_formats import read, write

from laktory.errors import SinkError, SourceError


def at(*parts):
    return dt.datetime(*parts)  # noqa: DTZ001 - without a zone on purpose


@pytest.mark.parametrize(
    "values",
    [
        [1, None, 3],
        [None, None, 1],
        [2**53, -(2**53)],
        [None, "x" * 32_767],
        [1e307, -2.5],
        [at(2024, 1, 1, 0, 0, 0, 999_000), at(1900, 3, 1)],
        [dt.date(1900, 3, 1), dt.date(9999, 12, 31)],
        [None, True],
        ["01", "=1+1"],
    ],
)
def test_values_that_come_back(session, values):
    write(session, pl.DataFrame({"a": values}), "out.xlsx", "EXCEL")
    assert read(session, "out.xlsx", "EXCEL")["a"].to_list() == values


def test_blank_rows_are_rows(session):
    frame = pl.DataFrame({"a": [1, None, None, 2], "b": ["x", None, None, None]})
    write(session, frame, "out.xlsx", "EXCEL")
    assert read(session, "out.xlsx", "EXCEL").rows() == frame.rows()


@pytest.mark.parametrize(
    ("values", "dtype", "said"),
    [
        ([1, 2**53 + 1], pl.Int64, "9007199254740993"),
        ([1, 2**64 - 1], pl.UInt64, "2^53"),
        ([-(2**53) - 1], pl.Int64, "2^53"),
        ([Decimal("1.2345678901234567")], pl.Decimal(38, 16), "15 digits"),
        (["ok", "x" * 32_768], pl.String, "32,767"),
        ([at(2024, 1, 1, 0, 0, 0, 1500)], pl.Datetime("us"), "milliseconds"),
        ([at(2024, 1, 1, 0, 0, 0, 1)], pl.Datetime("ns"), "milliseconds"),
        ([at(1900, 2, 28)], pl.Datetime("us"), "1900-03-01"),
        ([dt.date(1900, 2, 28)], pl.Date, "1900-03-01"),
        ([1.0, float("inf")], pl.Float64, "inf"),
        ([1.0, float("nan")], pl.Float64, "nan"),
        ([1.7e308], pl.Float64, "1.7e+308"),
        ([dt.time(1)], pl.Time, "Time"),
    ],
)
def test_values_that_are_refused(session, values, dtype, said):
    frame = pl.DataFrame({"n": [0] * len(values), "a": pl.Series(values, dtype=dtype)})
    # or where it is read, if the engine has no such type; Spark's for large integers is a decimal
    with pytest.raises((SinkError, SourceError), match="column 'a'") as caught:
        write(session, frame, "out.xlsx", "EXCEL")
    if isinstance(caught.value, SourceError):
        assert str(dtype()) in session.capabilities.unheld
    said = "15 digits" if dtype == pl.UInt64 and session.capabilities.name == "PYSPARK" else said
    assert said in str(caught.value).replace("NaN", "nan")
    assert not Path("out.xlsx").exists()


def test_a_last_row_of_nulls(session):
    for values in ([1, None], ["x", ""]):
        with pytest.raises(SinkError, match="last row of NULLs"):
            write(session, pl.DataFrame({"a": values}), "out.xlsx", "EXCEL")
    frame = pl.DataFrame({"a": [1, None], "b": [None, None], "c": [None, 2]})
    write(session, frame, "out.xlsx", "EXCEL")
    assert read(session, "out.xlsx", "EXCEL").rows() == frame.rows()


def test_decimals_of_few_digits(session):
    frame = pl.DataFrame({"a": pl.Series(["0.0000000000000012", "1200000000000000000"]).cast(pl.Decimal(38, 18))})
    write(session, frame, "out.xlsx", "EXCEL")
    assert read(session, "out.xlsx", "EXCEL")["a"].to_list() == [1.2e-15, 1.2e18]
