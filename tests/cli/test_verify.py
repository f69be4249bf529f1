"""``laktory verify``: one pipeline on several engines, row by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from laktory.cli import app
from laktory.runtime.comparison import Difference, compare

READER = """\
import polars as pl

def rows(laktory_context):
    odd = laktory_context.node.dataframe_backend.value == "DUCKDB"
    return pl.DataFrame({"x": [3, 1, 2], "y": [0.1 + 0.2, 1.0, None], "s": ["c", "odd" if odd else "a", "b"]})
"""
PIPELINE = """\
name: p
imports: [odd_rows]
nodes:
- name: a
  source: {custom_reader: odd_rows.rows}
- name: b
  source: {node_name: a}
  transformer:
    nodes:
    - expr: SELECT x, y FROM {df} ORDER BY x
  expectations:
  - {name: small, expr: x < 3, action: QUARANTINE}
  sinks:
  - {path: o.parquet, format: PARQUET}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "odd_rows.py").write_text(READER)
    return tmp_path


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["verify", *arguments])


def test_what_differs_is_shown_and_nothing_is_written(project: Path) -> None:
    found = call("--engines", "polars,duckdb,sail", "--json")
    assert found.exit_code == 1
    told = json.loads(found.stdout)
    assert (told["first"], told["failed"]) == ("polars", {})
    assert told["engines"]["sail"] == {"a": None, "b": None, "b (quarantine)": None}
    assert {**told["engines"]["duckdb"], "a": None} == {"a": None, "b": None, "b (quarantine)": None}
    assert told["engines"]["duckdb"]["a"] == {
        "columns": None,
        "rows": [3, 3],
        "only_first": [{"x": 1, "y": 1.0, "s": "a"}],
        "only_this": [{"x": 1, "y": 1.0, "s": "odd"}],
    }
    assert found.stderr == "error: not as on polars: 'a'\n"
    assert sorted(path.name for path in project.iterdir() if path.suffix) == ["odd_rows.py", "pipeline.yaml"]


def test_an_engine_that_fails_is_told(project: Path) -> None:
    (project / "pipeline.yaml").write_text(PIPELINE.replace("SELECT x, y", "SELECT x, version() AS v"))
    found = call("--engines", "duckdb,polars", "--select", "b")
    assert found.exit_code == 1
    assert "polars: fails\nerror: node 'b': pipeline.yaml:10:" in found.stdout
    assert found.stderr == "error: polars fails\n"


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        ("polars", "at least two engines are compared"),
        ("polars,duckbd", "there is no engine 'duckbd'; did you mean 'duckdb'?"),
    ],
)
def test_engines_that_cannot_be_compared(project: Path, engines: str, message: str) -> None:
    found = call("--engines", engines)
    assert found.exit_code == 2
    assert message in found.stderr


# ---- comparing frames ----------------------------------------------------------------------------


def difference(tmp_path: Path, one: pl.DataFrame, other: pl.DataFrame) -> Difference | None:
    for name, frame in {"one": one, "other": other}.items():
        (tmp_path / name).mkdir()
        frame.write_parquet(tmp_path / name / "n.parquet")
        (tmp_path / name / "nodes.json").write_text('{"n": ["n.parquet"]}')
    return compare(tmp_path / "one", tmp_path / "other")["n"]


NAN = float("nan")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": [1, 2, 2, None]}, {"a": [2, None, 1, 2]}),
        ({"a": [0.1 + 0.2, NAN, None]}, {"a": [None, 0.3, NAN]}),
        ({"a": [1, 2], "b": [[1, None], []]}, {"b": [[], [1, None]], "a": [2, 1]}),
        ({"a": [{"x": 1}, None]}, {"a": [None, {"x": 1}]}),
        ({"a": pl.Series([1], dtype=pl.UInt8)}, {"a": [1]}),
        ({"a": pl.Series([], dtype=pl.Int64)}, {"a": pl.Series([], dtype=pl.Int32)}),
    ],
)
def test_the_same(tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert difference(tmp_path, pl.DataFrame(one), pl.DataFrame(other)) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": [1, 2]}, {"a": [1, 2, 2]}, Difference(None, (2, 3), [], [{"a": 2}])),
        ({"a": [None, 0]}, {"a": [0, 0]}, Difference(None, (2, 2), [{"a": None}], [{"a": 0}])),
        ({"a": [0.3]}, {"a": [0.3001]}, Difference(None, (1, 1), [{"a": 0.3}], [{"a": 0.3001}])),
        ({"a": [0.0]}, {"a": [None]}, Difference("'a' is Null, not Float64", (1, 1))),
        ({"a": [1]}, {"a": ["1"]}, Difference("'a' is String, not Int64", (1, 1))),
        ({"a": [1], "b": [1]}, {"a": [1]}, Difference("no column 'b'", (1, 1))),
        ({"a": [1]}, {"a": [1], "b": [1]}, Difference("also a column 'b'", (1, 1))),
    ],
)
def test_different(tmp_path: Path, one: dict[str, Any], other: dict[str, Any], expected: Difference) -> None:
    assert difference(tmp_path, pl.DataFrame(one), pl.DataFrame(other)) == expected
