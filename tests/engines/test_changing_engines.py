"""A pipeline that ran on one engine runs on another one, in the same place."""

from pathlib import Path

import polars as pl
import pytest
from building import node, numbers, pipeline, rows_of

from laktory.engines.capabilities import ENGINES
from laktory.errors import RunError

PAIRS = [(one, other) for one in ENGINES for other in ENGINES if one != other]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return request.param


def run(backend, n, *sinks):
    numbers(n=n)
    made = pipeline(backend, node("a", "in.parquet", *sinks))
    made.execute()
    return made


@pytest.mark.parametrize("sinks", [("out.parquet",), ("out.parquet", "out.csv")])
def test_what_another_engine_wrote_is_replaced(pair, sinks):
    for backend, n in zip(pair, (3, 5), strict=True):
        made = run(backend, n, *sinks)
        assert [row["id"] for row in rows_of(made.nodes_dict["a"].output_df, "id")] == list(range(n))
    for backend in pair:
        found = pipeline(backend, node("b", "out.parquet"))
        found.execute()
        assert len(rows_of(found.nodes_dict["b"].output_df, "id")) == 5
    assert sorted(path.name for path in Path().iterdir() if not path.name.startswith(".")) == sorted(
        ["in.parquet", *sinks]
    )
    assert not list(Path().glob(".laktory-*"))


def test_a_delta_table_is_appended_to_by_any_engine(pair):
    sink = {"path": "t", "format": "DELTA", "mode": "APPEND"}
    for backend, n in zip(pair, (3, 5), strict=True):
        run(backend, n, sink)
    assert pl.read_delta("t").height == 8


def test_appending_to_what_is_of_another_kind_is_refused(pair):
    one, other = pair
    sink = {"path": "out.parquet", "format": "PARQUET", "mode": "APPEND"}
    run(one, 3, sink)
    if ENGINES[one].folders == ENGINES[other].folders:
        run(other, 5, sink)
        assert pl.read_parquet("out.parquet").height == 8
        return
    with pytest.raises(RunError, match=r"cannot append to 'out\.parquet': another engine has written it, as a \w+;"):
        run(other, 5, sink)
    assert pl.scan_parquet("out.parquet").collect().height == 3


def test_a_directory_of_other_files_is_not_replaced_by_a_file(backend):
    numbers()
    Path("out.parquet").mkdir()
    numbers("out.parquet/mine.parquet")
    with pytest.raises(RunError):
        pipeline("POLARS", node("a", "in.parquet", "out.parquet")).execute()
    assert [path.name for path in Path("out.parquet").iterdir()] == ["mine.parquet"]
