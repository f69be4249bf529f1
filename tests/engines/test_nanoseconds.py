"""Delta tables hold microseconds: nanoseconds are refused where they would be lost, wherever times are."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from building import files_at, lines_at, node, pipeline

from laktory.engines.capabilities import ENGINES
from laktory.errors import SinkError, SourceError

NS = pl.Datetime("ns")
ZONED = pl.Datetime("ns", "UTC")
WHOLE, FINER = 1_700_000_000_123_456_000, 1_700_000_000_123_456_789
TYPES = [NS, ZONED, pl.List(NS), pl.List(ZONED), pl.Struct({"a": pl.Int64, "t": NS}), pl.List(pl.Struct({"t": NS}))]


def frame(dtype, value):
    """A NULL, and the value somewhere in a column of the type."""
    time = pl.lit(pl.Series([value]).cast(ZONED if "UTC" in str(dtype) else NS))
    kinds = {
        TYPES[4]: pl.struct(a=pl.lit(1, pl.Int64), t=time),
        TYPES[5]: pl.struct(t=time).implode(),
        pl.List(NS): time.implode(),
        pl.List(ZONED): time.implode(),
    }
    made = pl.select(c=kinds.get(dtype, time))
    return pl.concat([pl.DataFrame({"c": pl.Series([None], dtype=dtype)}), made])


def run(backend, data):
    data.write_parquet("in.parquet")
    sink = {"path": "out", "format": "DELTA", "mode": "OVERWRITE"}
    pipeline(backend, node("a", "in.parquet", sink)).execute()
    return pl.read_delta("out")


def cannot_hold(backend, value):
    """It is the table that cannot, or already the engine."""
    who = "'out': DELTA" if ENGINES[backend].time_unit == "ns" else f"'in.parquet': {backend}"
    error = SinkError if ENGINES[backend].time_unit == "ns" else SourceError
    said = rf"{who} cannot hold {value} of column 'c': its times have microseconds; .*cast it to Datetime\('us'\)"
    return pytest.raises(error, match=said)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_nanoseconds_that_a_delta_table_would_lose_are_refused(dtype, backend):
    with cannot_hold(backend, ".*"):
        run(backend, frame(dtype, FINER))
    assert not Path("out/_delta_log").exists()


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_whole_microseconds_in_a_column_of_nanoseconds_pass(dtype, backend):
    found = run(backend, frame(dtype, WHOLE))
    assert "ns" not in str(found.schema)
    assert found["c"].null_count() == 1
    wanted = frame(dtype, WHOLE)["c"].cast(found.schema["c"])
    assert found["c"].equals(wanted)


def test_the_value_is_told(backend):
    with cannot_hold(backend, r"'2023-11-14 22:13:20\.123456789'"):
        run(backend, frame(NS, FINER))


def test_zoned_nanoseconds_are_written_as_text_alike(backend):
    finer = ENGINES[backend].time_unit == "ns"
    frame(ZONED, FINER if finer else WHOLE).write_parquet("in.parquet")
    pipeline(backend, node("a", "in.parquet", "out.csv", "out.jsonl")).execute()
    time = "2023-11-14T22:13:20.123456789" if finer else "2023-11-14T22:13:20.123456"
    assert lines_at("out.csv")[-1].strip('"') == f"{time}+0000"
    assert f'"{time}+00:00"' in "".join(file.read_text("utf-8") for file in files_at("out.jsonl"))
