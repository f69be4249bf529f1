"""Nodes side by side give what they give one after another, on every engine and across engines."""

from __future__ import annotations

import polars as pl
import pytest
from building import node, numbers, pipeline


def wide(*engines):
    """Copies, filters, methods and SQL that do not wait for each other, each on one of the engines in turn."""
    parts = []
    for index in range(12):
        kind = index % 4
        source = {"path": "in.parquet", "format": "PARQUET", **({"filter": "x > 1"} if kind == 1 else {})}
        step = {
            2: [{"func_name": "with_columns", "func_kwargs": {"y": "nw.col('x') * 2"}}],
            3: [{"expr": "SELECT id, x, s FROM {df} WHERE id <> 3"}],
        }.get(kind)
        engine = engines[index % len(engines)]
        parts.append(node(f"n{index}", source, f"out{index}.parquet", steps=step, dataframe_backend=engine))
    names = " UNION ALL ".join(f"SELECT id FROM {{nodes.n{index}}}" for index in range(12))
    parts.append(node("all", None, "all.parquet", steps=[{"expr": names}], dataframe_backend=engines[0]))
    return parts


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
@pytest.mark.parametrize(
    "engines", [("POLARS",), ("DUCKDB",), ("PYSPARK",), ("POLARS", "DUCKDB"), ("DUCKDB", "POLARS", "POLARS")]
)
def test_any_number_of_threads(engines, threads, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers(n=1000)
    made = pipeline(engines[0], *wide(*engines))
    for _ in range(3):
        made.execute(threads=threads)
    ids = list(range(1000))
    kept = [ids, ids[2:], ids, [i for i in ids if i != 3]] * 3
    assert [pl.read_parquet(f"out{index}.parquet")["id"].sort().to_list() for index in range(12)] == kept
    assert pl.read_parquet("all.parquet")["id"].sort().to_list() == sorted(i for part in kept for i in part)
