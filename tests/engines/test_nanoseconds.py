"""Delta tables hold microseconds: nanoseconds are refused where they would be lost, wherever times are."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from building import node, pipeline

from laktory.errors import SinkError

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


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_nanoseconds_that_a_delta_table_would_lose_are_refused(dtype, backend):
    with pytest.raises(SinkError, match="'out': DELTA cannot hold .* of column 'c': its times have microseconds"):
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
    with pytest.raises(SinkError, match=r"'2023-11-14 22:13:20\.123456789' of column 'c'.*cast it to Datetime\('us'\)"):
        run(backend, frame(NS, FINER))


def test_zoned_nanoseconds_are_written_as_text_alike(backend):
    frame(ZONED, FINER).write_parquet("in.parquet")
    pipeline(backend, node("a", "in.parquet", "out.csv", "out.jsonl")).execute()
    assert Path("out.csv").read_text("utf-8").split()[-1] == "2023-11-14T22:13:20.123456789+0000"
    assert '"2023-11-14T22:13:20.123456789+00:00"' in Path("out.jsonl").read_text("utf-8")
