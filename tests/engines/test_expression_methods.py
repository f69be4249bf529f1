"""Methods of expressions in steps mean the same on every engine."""

from __future__ import annotations

import datetime as dt

import narwhals as nw
import polars as pl
import pytest
from building import node, pipeline

from laktory.errors import StepError

ROWS = pl.DataFrame({"g": ["a", "a", "b"], "x": [1, None, 1]}, schema={"g": pl.String, "x": pl.Int64})
UTC = dt.datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)


@pytest.mark.parametrize(("method", "whole", "groups"), [("n_unique", 2, [2, 1]), ("null_count", 1, [1, 0])])
def test_counts_of_no_rows_are_zero(session, method, whole, groups):
    count = getattr(nw.col("x"), method)()

    def rows(frame):
        return frame.collect("polars").to_native().cast({"x": pl.Int64}).sort(pl.all())["x"].to_list()

    full, empty = session.adopt(ROWS), session.adopt(ROWS.clear())
    assert rows(full.select(count)) == [whole]
    assert rows(empty.select(count)) == [0]
    assert rows(full.group_by("g").agg(count).select("x")) == sorted(groups)
    assert rows(empty.group_by("g").agg(count).select("x")) == []
    assert rows(full.with_columns(count.over("g")).select("x")) == sorted([groups[0], *groups])
    assert rows(empty.select(x=count + 1)) == [1]


@pytest.mark.parametrize("unit", ["us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("wanted", [None, "UTC"])
def test_replacing_a_time_zone_gives_its_type(session, unit, zone, wanted):
    plain = pl.Series([UTC.replace(tzinfo=None), None]).cast(pl.Datetime(unit))
    unit = session.capabilities.time_unit or unit
    frame = session.adopt(pl.DataFrame({"t": plain.dt.replace_time_zone(zone)}))
    replaced = nw.col("t").dt.replace_time_zone(wanted)
    found = frame.with_columns(replaced, m=replaced)
    held = session.schema(frame)["t"].time_unit
    assert session.schema(found) == {"t": nw.Datetime(held, wanted), "m": nw.Datetime(held, wanted)}
    assert found.collect("polars").to_native()["m"].to_list() == plain.dt.replace_time_zone(wanted).to_list()
    last = frame.select(nw.col("t").max().dt.replace_time_zone(wanted))
    assert session.schema(last) == {"t": nw.Datetime(held, wanted)}
    beside = frame.with_columns(m=nw.col("t").max().dt.replace_time_zone(wanted))
    assert beside.collect("polars").to_native()["m"].to_list() == [UTC if wanted else UTC.replace(tzinfo=None)] * 2


def test_a_replaced_time_zone_is_written(backend):
    pl.DataFrame({"t": [UTC.replace(tzinfo=None)]}).write_parquet("in.parquet")
    step = {"func_name": "with_columns", "func_kwargs": {"t": "nw.col('t').dt.replace_time_zone('UTC')"}}
    pipeline(backend, node("a", "in.parquet", "out.parquet", steps=[step])).execute()
    assert pl.read_parquet("out.parquet")["t"].to_list() == [UTC]


@pytest.mark.parametrize("method", ["convert_time_zone", "replace_time_zone"])
def test_another_zone_is_right_or_refused(backend, method):
    pl.DataFrame({"t": [UTC]}).write_parquet("in.parquet")
    step = {"func_name": "with_columns", "func_kwargs": {"t": f"nw.col('t').dt.{method}('Asia/Tokyo')"}}
    made = pipeline(backend, node("a", "in.parquet", "out.parquet", steps=[step]))
    if backend != "POLARS":
        with pytest.raises(StepError, match=f"dt.{method}: times with a zone are UTC on {backend}, not 'Asia/Tokyo'"):
            made.execute()
        return
    made.execute()
    wanted = getattr(pl.Series([UTC]).dt, method)("Asia/Tokyo")
    assert pl.read_parquet("out.parquet")["t"].equals(wanted)
