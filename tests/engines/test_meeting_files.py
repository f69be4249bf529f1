"""Nodes that meet in a file without being connected: which rows are read may not hang on who is faster."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from building import node, numbers, pipeline

from laktory.errors import DefinitionError

FIRST = "nothing says which of them runs first"
GROWS = "each run would read what the one before it wrote"


def partitioned(path):
    return {"path": path, "format": "PARQUET", "writer_kwargs": {"partition_by": ["s"]}}


@pytest.mark.parametrize(
    ("sink", "source"),
    [
        ("out.parquet", "out.parquet"),
        ("out.parquet", "./out.parquet"),
        ("out/a.parquet", "out/"),
        ("out/a.parquet", "out/*.parquet"),
        ("out/x/a.parquet", "out/**/*.parquet"),
        (partitioned("out/d/"), "out/*/s=*/*.parquet"),
        ({"path": "out/d/", "format": "PARQUET"}, "out"),
        ({"path": "t", "format": "DELTA"}, {"path": "t", "format": "DELTA"}),
    ],
)
def test_a_file_that_another_node_writes_is_read_before_or_after_it(backend, sink, source):
    numbers()
    source = source if isinstance(source, dict) else {"path": source, "format": "PARQUET"}
    writer, reader = node("w", "in.parquet", sink), node("r", source, "r.parquet")
    for nodes in ([writer, reader], [reader, writer]):
        with pytest.raises(DefinitionError, match=FIRST):
            pipeline(backend, *nodes).execute()
    pipeline(backend, reader | {"depends_on": ["w"]}, writer).execute()
    assert pl.read_parquet("r.parquet").height == 6


@pytest.mark.parametrize("source", ["data/", "data/*.parquet", "data/**/*.parquet", "data", "*/*.parquet"])
@pytest.mark.parametrize("downstream", [False, True])
def test_a_source_does_not_hold_what_is_made_of_it(backend, source, downstream):
    Path("data").mkdir()
    numbers("data/in.parquet")
    source = {"path": source, "format": "PARQUET"}
    nodes = [node("a", source), node("b", "a", "data/out.parquet")]
    with pytest.raises(DefinitionError, match=GROWS):
        pipeline(backend, *(nodes if downstream else [node("a", source, "data/out.parquet")])).execute()
    assert not Path("data/out.parquet").exists()


def test_a_file_may_be_made_anew_from_itself(backend):
    numbers()
    made = node("a", "in.parquet", "in.parquet", steps=["SELECT id + 1 AS id, x, s FROM {df}"])
    for _ in range(2):
        pipeline(backend, made).execute()
    assert sorted(pl.read_parquet("in.parquet")["id"]) == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ("data/", "data/out.csv"),
        ("data/", "data/_out.parquet"),
        ("data/", "data.parquet"),
        ("data/*.parquet", "data/x/out.parquet"),
        ("data/in*.parquet", "data/out.parquet"),
    ],
)
def test_what_a_source_does_not_read_lies_where_it_likes(backend, source, sink):
    Path("data").mkdir()
    numbers("data/in.parquet")
    for _ in range(2):
        pipeline(backend, node("a", {"path": source, "format": "PARQUET"}, sink, "copy.parquet")).execute()
    assert pl.read_parquet("copy.parquet").height == 6


def test_what_runs_before_is_read_as_it_was(backend):
    numbers()
    reader = node("r", "in.parquet", "r.parquet")
    writer = node("w", {"data": [{"id": 9}]}, "in.parquet", depends_on=["r"])
    pipeline(backend, writer, reader).execute()
    assert pl.read_parquet("r.parquet").height == 6
    assert pl.read_parquet("in.parquet")["id"].to_list() == [9]
