"""What a source says of its rows, each option and all in their order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from laktory.testing.features import feature

if TYPE_CHECKING:
    from laktory.testing.features import Bench

ROWS = pl.DataFrame({"id": [1, 2, 3, 3], "x": [1.0, 2.0, 3.0, 3.0], "s": ["a", "b", None, None]})


def _found(bench: Bench, **options: Any) -> dict[str, list[Any]]:
    ROWS.write_parquet("in.parquet")
    found = bench.frame({"path": "in.parquet", "format": "PARQUET", **options}, by=())
    return found.sort(found.columns).to_dict(as_series=False)


@feature("Reading", "filter")
def _filter(bench: Bench) -> None:
    assert _found(bench, filter="x >= 2 AND s IS NOT NULL")["id"] == [2]


@feature("Reading", "selects, a list")
def _select_list(bench: Bench) -> None:
    assert _found(bench, selects=["id", "x * 2 AS y"]) == {"id": [1, 2, 3, 3], "y": [2.0, 4.0, 6.0, 6.0]}


@feature("Reading", "selects, a mapping")
def _select_mapping(bench: Bench) -> None:
    assert _found(bench, selects={"id": "key", "UPPER(s)": "S"}) == {"key": [1, 2, 3, 3], "S": ["A", "B", None, None]}


@feature("Reading", "selects, aggregates")
def _select_aggregates(bench: Bench) -> None:
    assert _found(bench, selects=["COUNT(*) AS n", "SUM(x) AS x"]) == {"n": [4], "x": [9.0]}


@feature("Reading", "renames")
def _renames(bench: Bench) -> None:
    assert list(_found(bench, renames={"s": "text"})) == ["id", "x", "text"]


@feature("Reading", "drops")
def _drops(bench: Bench) -> None:
    assert list(_found(bench, drops=["x", "not there"])) == ["id", "s"]


@feature("Reading", "drop_duplicates")
def _drop_duplicates(bench: Bench) -> None:
    assert _found(bench, drop_duplicates=True)["id"] == [1, 2, 3]


@feature("Reading", "drop_duplicates of columns")
def _drop_duplicates_of(bench: Bench) -> None:
    assert _found(bench, selects=["id", "x"], drop_duplicates=["x"])["id"] == [1, 2, 3]


@feature("Reading", "all of them in their order")
def _all(bench: Bench) -> None:
    found = _found(
        bench,
        filter="id > 1 AND (s LIKE 'b%' OR s IS NULL)",
        selects={"id": "id", "x * 2": "y", "UPPER(s)": "s"},
        renames={"y": "z"},
        drops=["s", "y"],
        drop_duplicates=["id"],
    )
    assert found == {"id": [2, 3], "z": [4.0, 6.0]}


@feature("Reading", "schema")
def _schema(bench: Bench) -> None:
    Path("in.csv").write_text("id,n\n1,007\n2,\n", encoding="utf-8")
    columns = {"id": "Int32", "n": "String"}
    found = bench.frame({"path": "in.csv", "format": "CSV", "schema": {"columns": columns}})
    assert found.schema == {"id": pl.Int32, "n": pl.String}
    assert found.rows() == [(1, "007"), (2, None)]


@feature("Reading", "a folder")
def _folder(bench: Bench) -> None:
    Path("in/more").mkdir(parents=True)
    ROWS[:1].write_ndjson("in/a.jsonl")
    ROWS[1:].write_ndjson("in/more/b.jsonl")
    assert bench.frame({"path": "in/", "format": "JSONL"})["id"].to_list() == [1, 2, 3, 3]


@feature("Reading", "a pattern")
def _pattern(bench: Bench) -> None:
    for index in range(3):
        ROWS[index : index + 1].write_parquet(f"{'ab'[index % 2]}{index}.parquet")
    assert bench.frame({"path": "a*.parquet", "format": "PARQUET"})["id"].to_list() == [1, 3]


@feature("Reading", "partitions")
def _partitions(bench: Bench) -> None:
    for key in ("x", "y"):
        Path(f"in/k={key}").mkdir(parents=True)
        pl.DataFrame({"id": [ord(key)]}).write_parquet(f"in/k={key}/a.parquet")
    assert bench.frame({"path": "in/", "format": "PARQUET"}).rows() == [(ord("x"), "x"), (ord("y"), "y")]


@feature("Reading", "data of the definition")
def _data(bench: Bench) -> None:
    assert bench.frame({"data": [{"id": 2, "s": None}, {"id": 1, "s": "a"}]}).rows() == [(1, "a"), (2, None)]
