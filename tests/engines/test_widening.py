"""Numbers of several files in one column, and of a file in a declared one: kept as they are, or refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import narwhals as nw
import polars as pl
import pytest
from test_formats import read, refused

NAN = float("nan")


def files(kind, *columns):
    Path("d").mkdir()
    for number, column in enumerate(columns):
        frame = pl.DataFrame({"a": column})
        (frame.write_parquet if kind == "PARQUET" else frame.write_ipc)(f"d/{number}.{kind.lower()}")


@pytest.mark.parametrize("kind", ["PARQUET", "IPC"])
@pytest.mark.parametrize(
    ("one", "other", "bad"),
    [
        ([2**53, -(2**53), None], [1.5, NAN], None),
        ([1, 2**53 + 1], [1.5], "'9007199254740993' is no Float64"),
        ([-(2**63)], [1.5], "'-9223372036854775808' is no Float64"),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), [1.5], "'18446744073709551615' is no Float64"),
        (pl.Series([2**31 - 1], dtype=pl.Int32), [1.5], None),
        (pl.Series([Decimal("0.1")]), [0.1], "column 'a' is Decimal"),
    ],
)
def test_integers_beside_fractions_are_not_rounded(session, kind, one, other, bad):
    files(kind, one, other)
    if bad is not None:
        assert bad in refused(session, "d", kind)
        return
    back = read(session, "d", kind)["a"].to_list()
    assert sorted(map(str, back)) == sorted(map(str, [None if v is None else float(v) for v in [*one, *other]]))


@pytest.mark.parametrize("kind", ["PARQUET", "IPC"])
@pytest.mark.parametrize(
    ("values", "dtype", "bad"),
    [
        ([2**53 + 1], nw.Float64(), "'9007199254740993' is no Float64"),
        ([2**24 + 1], nw.Float32(), "'16777217' is no Float32"),
        ([0.1, 1e300], nw.Float32(), "'1e+300' is no Float32"),
        ([1.555], nw.Decimal(10, 2), "column 'a' is Float64, but 'schema' declares Decimal"),
        ([0.5, float("inf"), None], nw.Float32(), None),
        ([7, None], nw.Decimal(10, 2), None),
    ],
)
def test_a_declared_type_does_not_round(session, kind, values, dtype, bad):
    files(kind, values)
    schema = nw.Schema({"a": dtype})
    if bad is not None:
        assert bad in refused(session, "d", kind, schema=schema)
    else:
        assert read(session, "d", kind, schema=schema)["a"].to_list() == values


F32, F64 = nw.Float32(), nw.Float64()
INSIDE = [
    ([[1, 2**53 + 1]], nw.List(F64), "'9007199254740993' is no Float64"),
    ([[[2**24 + 1]]], nw.List(nw.List(F32)), "'16777217' is no Float32"),
    ([{"b": 2**53 + 1}], nw.Struct({"b": F64}), "'9007199254740993' is no Float64"),
    ([[{"b": 1, "c": 2**53 + 1}]], nw.List(nw.Struct({"c": F64, "b": nw.Int64()})), "'9007199254740993' is no Float64"),
    ([[1e300]], nw.List(F32), "'1e+300' is no Float32"),
    ([[2**53, None], None, []], nw.List(F64), None),
    ([{"b": 7, "c": [1]}, None, {"b": None, "c": None}], nw.Struct({"c": nw.List(F64), "b": F64}), None),
    ([[0.5, float("inf")]], nw.List(F32), None),
]


@pytest.mark.parametrize("kind", ["PARQUET", "IPC"])
@pytest.mark.parametrize(("values", "dtype", "bad"), INSIDE)
def test_nor_does_one_inside_lists_and_structs(session, kind, values, dtype, bad):
    files(kind, values)
    schema = nw.Schema({"a": dtype})
    if bad is not None:
        assert bad in refused(session, "d", kind, schema=schema)
    else:
        found = read(session, "d", kind, schema=schema)
        assert found.schema == schema.to_polars()
        assert found["a"].to_list() == values


@pytest.mark.parametrize("kind", ["PARQUET", "IPC"])
@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize(("unit", "microseconds"), [("us", [123_456, -1, 999]), ("ms", [123_000, -1000, 0])])
def test_a_coarser_unit_cuts(session, kind, zone, unit, microseconds):
    files(kind, pl.Series([123_456_789, -1, 999_999]).cast(pl.Datetime("ns", zone)))
    found = read(session, "d", kind, schema=nw.Schema({"a": nw.Datetime(unit, zone)}))
    assert found["a"].cast(pl.Datetime("us", zone)).to_physical().to_list() == microseconds


@pytest.mark.parametrize("kind", ["CSV", "JSONL"])
def test_a_coarser_unit_cuts_text_with_a_zone(session, kind):
    text = "2023-11-14T22:13:20.123456Z"
    Path("in").write_text(f"a\n{text}\n" if kind == "CSV" else f'{{"a": "{text}"}}\n', encoding="utf-8")
    found = read(session, "in", kind, schema=nw.Schema({"a": nw.Datetime("ms", "UTC")}))
    assert found["a"].cast(pl.Datetime("us", "UTC")).to_physical().to_list() == [1_700_000_000_123_000]
