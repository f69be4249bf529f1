"""SQL steps in the engine's own words: the differences that the documents list."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from building import TOO_WIDE

from laktory.errors import StepError
from laktory.transforms.sql import run_statement

PAGE = Path(__file__).parents[2].joinpath("docs", "pipelines.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(SELECT .*?)`( \(column\))? \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("engine", ["POLARS", "DUCKDB"], indirect=True)  # in words that these share
@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_listed_differences_between_engines(row: tuple[str, ...], session: Any) -> None:
    text, names, polars, duckdb, spark = row
    spark, _, sail = spark.partition("; Sail: ")
    data = {"i": [1, 2, None], "f": [2.5, 1.5, float("nan")], "d": [dt.date(2024, 1, 31)] * 3}
    spark = sail if sail and session.capabilities.variant == "Sail" else spark
    wanted = {"POLARS": polars, "DUCKDB": duckdb, "PYSPARK": spark}[session.capabilities.name]
    frames = {"df": session.adopt(pl.DataFrame(data))}
    if wanted == "error":
        with pytest.raises(StepError):
            session.collect(run_statement(text, session, frames))
        return
    found = session.fetch(run_statement(text, session, frames))
    values = ["NULL" if value is None else str(value) for value in found.to_series()]
    assert ", ".join(found.columns if names else values) == wanted


def test_the_documents_list_differences() -> None:
    assert len(ROWS) >= 9
    assert all(polars != duckdb for _, _, polars, duckdb, _ in ROWS)


def test_a_product_too_wide_for_its_columns_wraps_around_or_stops_the_run(session):
    frame = session.adopt(pl.DataFrame({"i": [10**6]}, schema={"i": pl.Int32}))
    product = session.sql("SELECT i * i AS r FROM df", {"df": frame})
    if session.capabilities.name == "POLARS" or session.capabilities.variant == "Sail":
        assert session.fetch(product)["r"].to_list() == [10**12 % 2**32 - 2**32]
        return
    with pytest.raises(
        StepError, match=TOO_WIDE if session.capabilities.name == "PYSPARK" else "multiplication of INT32"
    ):
        session.fetch(product)
