"""NaN in files of any writer: greater than any number, equal to itself, on every engine."""

from __future__ import annotations

import math

import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest

from laktory import models

ROWS = {"i": [1, 2, 3, 4], "f": [1.0, math.nan, 3.0, None]}


@pytest.fixture(params=["polars", "arrow", "duckdb"])
def path(request, tmp_path):
    file = str(tmp_path / "in.parquet")
    if request.param == "polars":
        pl.DataFrame(ROWS).write_parquet(file)
    elif request.param == "arrow":
        pa.parquet.write_table(pa.table(ROWS), file)
    else:
        sink = models.FileDataSink(path=file, format="PARQUET", dataframe_backend="DUCKDB")
        sink.write(pl.DataFrame(ROWS))
    return file


@pytest.mark.parametrize(
    ("predicate", "kept"),
    [
        ("f > 5", [2]),
        ("f <= 3", [1, 3]),
        ("NOT f > 5", [1, 3]),
        ("f BETWEEN 0 AND 4", [1, 3]),
        ("f = f", [1, 2, 3]),
        ("f <> 1", [2, 3]),
    ],
)
def test_comparisons(path, backend, predicate, kept):
    source = models.FileDataSource(path=path, format="PARQUET", filter=predicate, dataframe_backend=backend)
    assert source.read().collect("polars").to_native()["i"].sort().to_list() == kept


def test_extremes_skip_nan(path, backend):
    selects = ["max(f) AS most", "min(f) AS least", "count(*) FILTER (WHERE f > 2) AS n"]
    source = models.FileDataSource(path=path, format="PARQUET", selects=selects, dataframe_backend=backend)
    assert source.read().collect("polars").to_native().rows() == [(3.0, 1.0, 2)]
