"""Modes of a sink, a full refresh, several sinks of one node."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from laktory.engines.capabilities import MODES
from laktory.errors import DefinitionError, RunError, SinkError
from laktory.testing.features import feature, node

if TYPE_CHECKING:
    from laktory.testing.features import Bench

FIRST = pl.DataFrame({"id": [1, 2], "s": ["a", None]})
SECOND = pl.DataFrame({"id": [3], "s": ["c"]})
FORMATS = {"CSV": "out.csv", "PARQUET": "out.parquet", "JSONL": "out.jsonl", "AVRO": "out.avro", "DELTA": "out"}
"""One format of each kind: text, files with types, lines, one that cannot be appended to, tables."""
KEPT = {"OVERWRITE": [3], "APPEND": [1, 2, 3], "IGNORE": [1, 2], "ERROR": [1, 2]}


def _mode(bench: Bench, mode: str) -> None:
    """With each format that has the mode; with others, its refusal."""
    for format_, path in FORMATS.items():
        support = bench.capabilities.formats.get(format_)
        sink = {"path": path, "format": format_, "mode": mode}
        if support is None or mode not in support.modes:
            says = f"mode '{mode}' is not possible for the format" if support else "cannot be written with"
            with pytest.raises(DefinitionError, match=says):
                bench.pipeline(node("a", FIRST, sink))
            continue
        bench.run(node("a", FIRST, sink))
        if mode == "ERROR":
            with pytest.raises(SinkError, match="exists and the mode is ERROR"):
                bench.run(node("a", SECOND, sink))
        else:
            bench.run(node("a", SECOND, sink))
        assert sorted(map(int, bench.read(path, format_)["id"])) == KEPT[mode]


for _each in MODES:
    feature("Outputs", f"mode {_each}")(partial(_mode, mode=_each))


@feature("Outputs", "full refresh")
def _refresh(bench: Bench) -> None:
    sink = {"path": "out.parquet", "format": "PARQUET", "mode": "APPEND"}
    made = bench.run(node("a", FIRST, sink))
    made.execute()
    assert bench.read("out.parquet", "PARQUET").height == 4
    made.execute(full_refresh=True)
    assert bench.read("out.parquet", "PARQUET").height == 2


@feature("Outputs", "a directory of files")
def _directory(bench: Bench) -> None:
    sink = {"path": "out/", "format": "PARQUET", "mode": "APPEND"}
    bench.run(node("a", FIRST, sink))
    made = bench.run(node("a", SECOND, sink))
    assert sorted(bench.read("out/", "PARQUET")["id"]) == [1, 2, 3]
    assert bench.output(made, "a")["id"].to_list() == [3]  # what this run wrote


@feature("Outputs", "partitions")
def _partitions(bench: Bench) -> None:
    sink = {"path": "out/", "format": "PARQUET", "writer_kwargs": {"partition_by": ["s"]}}
    bench.run(node("a", FIRST, sink))
    assert len(list(Path("out").iterdir())) == 2
    assert bench.read("out/", "PARQUET").select("id", "s").sort("id").rows() == FIRST.rows()


@feature("Outputs", "several sinks of one node")
def _several(bench: Bench) -> None:
    sinks = ("out.parquet", {"path": "out.csv", "format": "CSV"}, {"path": "out.jsonl", "format": "JSONL"})
    bench.run(node("a", FIRST, *sinks))
    for format_ in ("PARQUET", "CSV", "JSONL"):
        found = bench.read(f"out.{format_.lower()}", format_)
        assert sorted(map(int, found["id"])) == [1, 2]


@feature("Outputs", "a failed run leaves what was there")
def _failed(bench: Bench) -> None:
    sinks = ("out.parquet", {"path": "out.jsonl", "format": "JSONL"})
    bench.run(node("a", FIRST, *sinks))
    with pytest.raises(RunError):
        bench.run(node("a", FIRST, *sinks, steps=["SELECT CAST(s AS INTEGER) AS id FROM {df}"]))
    for format_ in ("PARQUET", "JSONL"):
        assert sorted(bench.read(f"out.{format_.lower()}", format_)["id"]) == [1, 2]
    assert not list(Path().glob(".laktory-*"))


@feature("Outputs", "other columns are not appended")
def _other_columns(bench: Bench) -> None:
    sink = {"path": "out.parquet", "format": "PARQUET", "mode": "APPEND"}
    bench.run(node("a", FIRST, sink))
    with pytest.raises(SinkError, match="appending wants the same columns"):
        bench.run(node("a", FIRST.rename({"s": "other"}), sink))
    assert bench.read("out.parquet", "PARQUET").height == 2
