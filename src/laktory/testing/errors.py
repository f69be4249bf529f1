"""What is said when something is wrong: the node, the place, what was found, the closest match."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from laktory.errors import DefinitionError, LaktoryError, SinkError, SourceError, StepError
from laktory.testing.features import feature, node

if TYPE_CHECKING:
    from laktory.testing.features import Bench

ROWS = pl.DataFrame({"id": [1], "close": [1.5], "s": ["x"]})
INTERNALS = re.compile(
    r"py4j|java\.|org\.apache|jvm|narwhals|Traceback|duckdb\.|polars\.|grpc|Identifier\(", re.IGNORECASE
)


def _said(bench: Bench, kind: type[LaktoryError], *nodes: dict[str, Any]) -> str:
    """The message, which names the node and no library."""
    with pytest.raises(kind) as caught:
        bench.run(*nodes)
    said = str(caught.value)
    assert INTERNALS.search(said) is None
    return said


@feature("Errors", "missing file")
def _missing_file(bench: Bench) -> None:
    said = _said(bench, SourceError, node("a", "nothing.parquet", "out.parquet"))
    assert re.search(r"node 'a'.*nothing\.parquet", said)


@feature("Errors", "damaged file")
def _damaged_file(bench: Bench) -> None:
    Path("in.parquet").write_bytes(b"PAR1 no longer")
    assert "in.parquet" in _said(bench, SourceError, node("a", "in.parquet", "out.parquet"))


@feature("Errors", "missing column in SQL")
def _missing_column(bench: Bench) -> None:
    said = _said(bench, StepError, node("a", ROWS, "out.parquet", steps=["SELECT clsoe FROM {df}"]))
    assert re.search(r"node 'a'.*clsoe", said)


@feature("Errors", "missing column in a method")
def _missing_column_method(bench: Bench) -> None:
    step = {"func_name": "select", "func_args": ["clsoe"]}
    assert re.search(r"node 'a'.*clsoe", _said(bench, StepError, node("a", ROWS, "out.parquet", steps=[step])))


@feature("Errors", "missing column in a filter")
def _missing_column_filter(bench: Bench) -> None:
    said = _said(bench, LaktoryError, node("a", {"df": ROWS, "filter": "clsoe > 1"}, "out.parquet"))
    assert re.search(r"(?s)clsoe.*did you mean 'close'", said)


@feature("Errors", "syntax error with its place")
def _syntax(bench: Bench) -> None:
    from laktory import models

    text = """name: p
nodes:
- name: a
  source: {data: [{id: 1}]}
  transformer:
    nodes:
    - expr: |
        SELECT id
        FROM {df} WHERE WHERE
"""
    Path("pipeline.yaml").write_text(f"dataframe_backend: {bench.backend}\n{text}", encoding="utf-8")
    with pytest.raises(LaktoryError) as caught:
        models.Pipeline.model_validate(Path("pipeline.yaml")).execute()
    assert re.search(r"pipeline\.yaml:(9|10)\b", str(caught.value))
    assert INTERNALS.search(str(caught.value)) is None


@feature("Errors", "unknown method")
def _method(bench: Bench) -> None:
    said = _said(bench, DefinitionError, node("a", ROWS, steps=[{"func_name": "flter"}]))
    assert "did you mean 'filter'" in said


@feature("Errors", "value that cannot be cast")
def _cast(bench: Bench) -> None:
    step = "SELECT CAST(s AS INTEGER) AS id FROM {df}"
    assert "node 'a'" in _said(bench, StepError, node("a", ROWS, "out.parquet", steps=[step]))
    assert not Path("out.parquet").exists()


@feature("Errors", "type that the format cannot hold")
def _type(bench: Bench) -> None:
    frame = pl.DataFrame({"id": [1], "bad": [[1]]})
    said = _said(bench, SinkError, node("a", frame, {"path": "out.csv", "format": "CSV"}))
    assert re.search(r"CSV cannot hold column 'bad'.*List", said)
    assert not Path("out.csv").exists()


@feature("Errors", "statement that is no query")
def _statement(bench: Bench) -> None:
    assert "a step is one query" in _said(bench, DefinitionError, node("a", ROWS, steps=["DROP TABLE x"]))
