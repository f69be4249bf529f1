"""`unique` with a subset: one whole row per key, whatever the types of the keys."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from building import node, pipeline

NAN = float("nan")
KEYS = {
    "floats": ([NAN, 0.0, -0.0, NAN, None, 1.5, None], 4),
    "texts": (["a", "", None, "a", "A", "", None], 4),
    "booleans": ([True, False, None, True, True, None, False], 3),
    "dates": ([date(2024, 1, 1), None, date(2024, 1, 1), date(2024, 1, 2), None, None, date(1, 1, 1)], 4),
    "decimals": ([Decimal("1.10"), Decimal("1.1"), None, Decimal(0), None, Decimal("-1.1"), Decimal(0)], 4),
    "lists": ([[1, 2], [2, 1], None, [], [1, 2], [None], []], 5),
    "structs": ([{"a": 1}, {"a": None}, None, {"a": 1}, {"a": 2}, None, {"a": None}], 4),
}
STEP = {"func_name": "unique", "func_kwargs": {"subset": ["key"], "keep": "any"}}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("how", ["method", "source"])
def test_one_whole_row_per_key(backend, kind, how):
    values, expected = KEYS[kind]
    frame = pl.DataFrame({"n": range(len(values)), "key": values, "same": range(len(values))})
    frame.write_parquet("in.parquet")
    source = {"path": "in.parquet", "format": "PARQUET"}
    if how == "source":
        made = node("b", source | {"drop_duplicates": ["key"]}, "out.parquet")
    else:
        made = node("b", source, "out.parquet", steps=[STEP])
    pipeline(backend, made).execute()
    found = pl.read_parquet("out.parquet")
    assert found.columns == frame.columns
    assert found.height == expected
    assert found["n"].to_list() == found["same"].to_list()
    rows = {n: str(value) for n, value in zip(frame["n"], frame["key"], strict=True)}
    assert [str(value) for value in found["key"]] == [rows[n] for n in found["n"]]


def test_polars_holds_the_keys_and_not_the_rows(tmp_path, monkeypatch):
    """Of the rows kept, `any` of Polars holds all columns until the last row is seen."""
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"key": [1, 1], "x": [1, 2]}).write_parquet("in.parquet")
    source = {"path": "in.parquet", "format": "PARQUET"}
    for made in (node("a", source, steps=[STEP]), node("a", source | {"drop_duplicates": ["key"]})):
        frame = pipeline("POLARS", made).nodes_dict["a"].execute()
        assert "keep_strategy: First" in frame.to_native().explain()
