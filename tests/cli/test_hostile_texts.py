"""Definitions too large to lie on disk as cases: told in one short message, within seconds, nothing read or written."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from laktory.cli import app
from laktory.errors import MAX_CHARACTERS, LaktoryError, RunError

NODE = "name: pl\nnodes:\n- name: slv\n  source: {path: in.jsonl, format: JSONL}\n"
STEP = f"{NODE}  transformer:\n    nodes:\n    - "
LARGE = {
    "5 MB of value": (NODE + "  comment2: " + "x" * 5_000_000, "unknown field 'comment2'"),
    "1 MB of list": (NODE + "  tagz: [" + "a, " * 300_000 + "a]", "unknown field 'tagz'"),
    "10,000 brackets": (NODE + "variables: {x: " + "[" * 10_000 + "]" * 10_000 + "}", "128 deep"),
    "100,000 open brackets": (NODE + "variables: " + "[" * 100_000, "128 deep"),
    "50,000 open braces": (NODE + "variables: " + "{a: " * 50_000, "128 deep"),
    "5 MB of SQL": (STEP + "expr: \"SELECT '" + "x" * 5_000_000 + "' AS a FROM {dff}\"", "nothing is named {dff}"),
    "5,000 conditions": (STEP + "expr: SELECT id FROM {df} WHERE " + " AND ".join(["id > 1"] * 5_000), "too deeply"),
    "subqueries": (
        STEP + "expr: SELECT * FROM " + "(SELECT * FROM " * 300 + "{df}" + ")" * 300,
        "cannot be understood",
    ),
    "1 MB of expression": (STEP + '{func_name: head, func_args: ["nw.lit(' + "1" * 1_000_000 + ')"]}', "1,000,008"),
    "1 MB of filter": (NODE.replace("JSONL}", "JSONL, filter: '" + "id>0 OR " * 125_000 + "id>0'}"), "10,000 are read"),
    "1 MB of name": (NODE.replace("slv", "s" * 1_000_000), "cannot be a name"),
    "2,000 nodes in a circle": (
        "name: pl\nnodes:\n"
        + "".join(f"- {{name: n{i}, source: {{node_name: n{(i + 1) % 2000}}}}}\n" for i in range(2000)),
        "is not a DAG",
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_definitions(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, expected = LARGE[name]
    monkeypatch.chdir(tmp_path)
    Path("pipeline.yaml").write_text(text, "utf-8")
    started = time.monotonic()
    result = CliRunner().invoke(app, ["validate"])
    assert result.exit_code == 2, result.output[:1000]
    assert expected in result.stderr
    assert len(result.stderr) <= MAX_CHARACTERS + 100
    assert time.monotonic() - started < 20
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline.yaml"]


def test_one_target_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    source = {"path": "in.jsonl", "format": "JSONL"}
    nodes = [
        {"name": name, "source": source, "sinks": [{"path": f"{folder}/x.parquet", "format": "PARQUET"}]}
        for name, folder in (("a", "out"), ("b", "link"))
    ]
    Path("pipeline.yaml").write_text(json.dumps({"name": "pl", "nodes": nodes}), "utf-8")
    result = CliRunner().invoke(app, ["run"])
    assert result.exit_code == 2
    assert "writes to 'link/x.parquet', as nodes[0].sinks[0] does: one would undo the other" in result.stderr
    assert not list((tmp_path / "out").iterdir())


def test_every_error_is_short() -> None:
    assert str(LaktoryError("a" * 5_000)) == "a" * (MAX_CHARACTERS - 1) + "…"
    assert str(RunError("\n".join("abc"))) == "a\nb\nc"
    assert str(RunError("\n".join(map(str, range(50))))).splitlines()[-2:] == ["8", "… and 41 more lines"]
