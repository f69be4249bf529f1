"""Calls of the command line: odd variables, paths, selections and backends end with 0 or 2, and a message of ours."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import budget, example
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from laktory.cli import app

PIPELINE = """\
name: p
variables: {x: one, y: 2}
nodes:
- name: a
  tags: [daily]
  source: {path: in.jsonl, format: JSONL}
  sinks:
  - {path: "out/${vars.x}.parquet", format: PARQUET}
- name: b
  source: {node_name: a}
  transformer:
    nodes:
    - expr: SELECT id FROM {df} WHERE id > ${vars.y}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "pipeline.yaml").write_text(PIPELINE, "utf-8")
    (folder / "in.jsonl").write_text('{"id": 1}\n', "utf-8")
    (folder / "vars.yaml").write_text("x: 1\ny: [1, {a: b}]\n", "utf-8")
    (folder / "list.yaml").write_text("- 1\n", "utf-8")
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(folder / "pipe.yaml") if hasattr(os, "mkfifo") else None
    return folder


ODD = st.sampled_from(
    [
        *(
            "",
            " ",
            "=",
            "==",
            "x",
            "x=",
            "=x",
            "x=1=2",
            "x = 1",
            "é=1",
            "1x=2",
            "x.y=1",
            "x[0]=1",
            "x-y=1",
            "X=1",
            "-x=1",
            "--",
            "-",
            "y=~",
        ),
        *(
            "x=[1, 2",
            "x={a: b}",
            "x=&a",
            "x=*a",
            "x=!use /etc/passwd",
            "x=!!python/object:os.system",
            "x=\x00",
            "x=\udcff",
            "x=\ud800",
            "x=\ufeff",
        ),
        *(
            "x=2020-99-99",
            "x=1e999",
            "x=0b2",
            "x=" + "1" * 5000,
            "x=" + "a" * 200_000,
            "x=" + "[" * 3000,
            "x=- - - -",
            "x=#",
            "x=|",
            "x=>-",
            "x='",
        ),
        *(
            "x=${vars.x}",
            "x=${vars.y}",
            "x=${{ 9**9**9 }}",
            "x=${{",
            "x=../../../etc",
            "x=a/b/c",
            "x=" + "a" * 300,
            "x=\n",
            "y=1; DROP TABLE x",
            "y={df}",
        ),
    ]
)
TEXT = ODD | st.text(max_size=8) | st.tuples(st.sampled_from("xy"), st.text(max_size=8)).map("=".join)
FILES = st.sampled_from(
    [
        *(
            "pipeline.yaml",
            "./pipeline.yaml",
            "nope.yaml",
            "pipline.yaml",
            "vars.yaml",
            "list.yaml",
            "bytes.yaml",
            "in.jsonl",
            ".",
            "..",
            "/",
            "",
        ),
        *(
            "out\x00",
            "\udcff.yaml",
            "é.yaml",
            "a" * 300 + ".yaml",
            "a/" * 3000 + "b.yaml",
            "pipeline.yaml/x",
            "~",
            "~nobody/x.yaml",
            "*.yaml",
            "http://x/y.yaml",
        ),
        *("/dev/null", "/proc/self/mem", "-", "--", "\n", "name: p", "{}", "[]", "nodes: []\nname: x"),
    ]
)
OPTIONS = st.one_of(
    st.tuples(st.just("--var"), TEXT),
    st.tuples(st.just("--var-file"), FILES | st.text(max_size=5)),
    st.tuples(
        st.just("--backend"),
        st.sampled_from(["POLARS", "duckdb", "SPARK", "", "\udcff", "polar"]) | st.text(max_size=5),
    ),
    st.tuples(st.sampled_from(["--select", "-s"]), st.text("ab*,+ é\udcff", max_size=6) | st.text(max_size=5)),
    st.tuples(st.sampled_from(["--json", "--nope", "-q", "--help", "--select"])),
    st.tuples(st.just("-C"), st.sampled_from([".", "nope", "", "\x00", "\udcff", "/root/../tmp", "pipeline.yaml"])),
)


@budget(60)
@given(
    st.sampled_from(["validate", "plan", "run", "show", "schema", "version", "vaildate", "\udcff", ""]),
    st.none() | FILES,
    st.lists(OPTIONS, max_size=3),
)
def test_any_call(
    project: Path, monkeypatch: pytest.MonkeyPatch, command: str, file: str | None, options: list[Any]
) -> None:
    monkeypatch.chdir(project)
    arguments = [command, *([file] if file is not None else []), *(word for option in options for word in option)]
    if command == "run":
        arguments.append("--dry-run")
    with example(arguments):
        before = sorted(Path().rglob("*"))
        result = CliRunner().invoke(app, arguments)
        os.chdir(project)
        told(result, {0, 2} | ({1} if command == "show" else set()))
        assert sorted(Path().rglob("*")) == before


def told(result: Any, codes: set[int]) -> None:
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in codes, (result.exit_code, result.output)
    assert "fault of Laktory" not in result.output
    assert "Traceback" not in result.output
    assert result.exit_code == 0 or result.stderr.strip()
    assert len(result.stderr) < 6_000, result.stderr[:3000]


@budget(40)
@given(st.text("abc123.-_ é~'\":,", max_size=10))
def test_values_of_variables(project: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A value is what YAML reads in it where that is one value, else the text."""
    monkeypatch.chdir(project)
    with example(text):
        result = CliRunner().invoke(app, ["plan", "--json", "--var", f"x={text}"])
        told(result, {0, 2})
        try:
            value = yaml.safe_load(text) if text.strip() else text
        except (yaml.YAMLError, ValueError):
            value = text
        if not isinstance(value, str):
            return
        value = text if isinstance(value, (dict, list)) else value
        if result.exit_code == 0:
            paths = [sink["what"] for node in json.loads(result.stdout)["nodes"] for sink in node["writes"]]
            assert paths == [f"out/{value}.parquet"]
        else:
            assert re.search(r"'path'|nodes\[0\]|\$\{vars", result.output), result.output
