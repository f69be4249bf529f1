"""What the command line tells of rules."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from laktory.cli import app, console

PIPELINE = """\
name: pl
nodes:
- name: brz
  source: {path: in.jsonl, format: JSONL}
  expectations:
  - {name: cheap, expr: price < 3, action: QUARANTINE}
  - {name: no A, expr: symbol <> 'A', action: WARN, tolerance: {rel: 0.7}}
  - {name: enough, expr: COUNT(*) > 2, type: AGGREGATE, action: FAIL}
  sinks:
  - {path: out/brz.parquet, format: PARQUET}
"""
TABLE = """\
node  rule    action      failed  rows      %  tolerance  status
brz   cheap   QUARANTINE       1     3  33.33  0 rows     FAIL
brz   no A    WARN             2     3  66.67  70.00%     PASS
brz   enough  FAIL                   3                    PASS
"""


@pytest.fixture
def judged(project: Path) -> Path:
    (project / "pipeline.yaml").write_text(PIPELINE, "utf-8")
    return project


def call(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def test_a_run_ends_with_what_its_rules_found(judged: Path) -> None:
    result = call("run")
    assert result.exit_code == 0, result.output
    assert TABLE in result.stdout
    assert result.stdout.splitlines()[-1].startswith("Pipeline pl succeeded in ")
    assert "Warning" not in result.output
    assert result.stderr == ""


def test_a_run_without_rules_has_no_such_table(project: Path) -> None:
    assert "tolerance" not in call("run").stdout


def test_the_record_has_the_same(judged: Path) -> None:
    [node] = json.loads(call("run", "--json").stdout)["nodes"]
    assert [node[f"rows_{name}"] for name in ("stage", "out", "quarantined", "dropped")] == [3, 2, 1, 0]
    assert [(check["name"], check["status"], check["fails"]) for check in node["checks"]] == [
        ("cheap", "FAIL", 1), ("no A", "PASS", 2), ("enough", "PASS", None),
    ]  # fmt: skip


def test_the_terminal_shows_the_same(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    result = call("run")
    assert result.exit_code == 0, result.output
    assert [line.split() for line in TABLE.splitlines()][1] in [line.split() for line in result.stdout.splitlines()]


def test_fail_on_warn_tells_by_its_exit_code_what_the_outputs_do_not(judged: Path) -> None:
    result = call("run", "--quiet", "--fail-on-warn")
    assert result.exit_code == 1
    assert "--fail-on-warn: 1 expectation failed: 'cheap' of node 'brz' (1 of 3 rows)" in result.stderr
    assert Path("out/brz.parquet").exists()
    (judged / "pipeline.yaml").write_text(PIPELINE.replace("price < 3", "price < 4"), "utf-8")
    assert call("run", "--quiet", "--fail-on-warn").exit_code == 0


def test_quarantine_shows_rows_with_reasons(judged: Path) -> None:
    call("run", "--quiet")
    result = call("quarantine", "pipeline.yaml", "brz")
    assert result.exit_code == 0, result.output
    first, rest = result.stdout.split("\n", 1)
    assert first.startswith("Node brz, run ")
    assert rest.startswith(TABLE)
    assert "cheap, no A" in rest
    assert rest.endswith("1 row\n")
    assert call("quarantine", "brz").stdout == result.stdout


def test_quarantine_as_json(judged: Path) -> None:
    call("run", "--quiet")
    told = json.loads(call("quarantine", "brz", "--json").stdout)
    assert told["rows_quarantined"] == 1
    assert told["rows"] == [{"id": 3, "symbol": "A", "price": 3.5, "_failed_expectations": "cheap, no A"}]


def test_quarantine_shows_rows_that_stopped_a_node(judged: Path) -> None:
    (judged / "pipeline.yaml").write_text(PIPELINE.replace("WARN, tolerance: {rel: 0.7}", "FAIL"), "utf-8")
    failed = call("run", "--quiet")
    assert failed.exit_code == 1
    told = json.loads(call("quarantine", "brz", "--json").stdout)
    assert [row["id"] for row in told["rows"]] == [1, 3]
    assert [check["status"] for check in told["checks"]] == ["FAIL", "FAIL", "PASS"]


def test_quarantine_knows_the_rules_of_the_run_it_shows(judged: Path) -> None:
    call("run", "--quiet")
    (judged / "pipeline.yaml").write_text(PIPELINE.replace("name: cheap", "name: other"), "utf-8")
    assert "cheap, no A" in call("quarantine", "brz").stdout


def test_quarantine_without_the_rows(judged: Path) -> None:
    call("run", "--quiet")
    for folder in Path(".laktory").rglob("quarantine"):
        shutil.rmtree(folder)
    result = call("quarantine", "brz")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(TABLE)


def test_the_plan_names_the_rules(judged: Path) -> None:
    shown = call("plan").stdout
    assert "   rule    cheap: price < 3 (QUARANTINE)\n" in shown
    assert json.loads(call("plan", "--json").stdout)["nodes"][0]["rules"][0] == "cheap: price < 3 (QUARANTINE)"


def test_quarantine_shows_rows_of_its_own_pipeline(judged: Path) -> None:
    first = PIPELINE.replace("name: pl\n", "name: pl\nroot_path: root\n")
    other = first.replace("name: pl\n", "name: other\n").replace("price < 3", "price < 0").replace("brz.p", "other.p")
    (judged / "pipeline.yaml").write_text(first, "utf-8")
    (judged / "other.yaml").write_text(other, "utf-8")
    for file in ("pipeline.yaml", "other.yaml", "other.yaml"):
        call("run", "--quiet", file)
    assert len(json.loads(call("quarantine", "pipeline.yaml", "brz", "--json").stdout)["rows"]) == 1
    assert len(json.loads(call("quarantine", "other.yaml", "brz", "--json").stdout)["rows"]) == 3


def test_a_run_that_fails_after_the_rules_hides_no_rows(judged: Path) -> None:
    call("run", "--quiet")
    sink = "  - {path: out/brz.parquet, format: PARQUET, mode: ERROR}\n"
    dear = PIPELINE.replace("price < 3", "price < 0")
    (judged / "pipeline.yaml").write_text(dear[: dear.rindex("  - ")] + sink, "utf-8")
    result = call("run")
    assert result.exit_code == 1
    assert "brz   cheap   QUARANTINE       3     3  100.00" in result.stdout
    told = json.loads(call("quarantine", "brz", "--json").stdout)
    assert (told["rows_quarantined"], len(told["rows"])) == (3, 3)


def test_a_run_that_fails_before_the_rules_hides_no_rows(judged: Path) -> None:
    call("run", "--quiet")
    wrong = "  - {name: n, expr: CAST(symbol AS INTEGER) > 0}\n  sinks:"
    (judged / "pipeline.yaml").write_text(PIPELINE.replace("  sinks:", wrong), "utf-8")
    assert call("run", "--quiet").exit_code == 1
    assert "cheap, no A" in call("quarantine", "brz").stdout


def test_quarantine_of_rows_that_have_a_column_of_that_name(judged: Path) -> None:
    rows = "  transformer:\n  - expr: SELECT price, symbol, price AS _failed_expectations FROM {df}\n  expectations:\n"
    (judged / "pipeline.yaml").write_text(PIPELINE.replace("  expectations:\n", rows), "utf-8")
    call("run", "--quiet")
    [row] = json.loads(call("quarantine", "brz", "--json").stdout)["rows"]
    assert row["__failed_expectations"] == "cheap, no A"


def test_quarantine_as_json_is_json(judged: Path) -> None:
    odd = "CAST('nan' AS DOUBLE) AS n, [CAST('inf' AS DOUBLE)] AS l, CAST(symbol AS BLOB) AS b"
    steps = f'  transformer:\n  - expr: "SELECT price, symbol, {odd} FROM {{df}}"\n  expectations:\n'
    (judged / "pipeline.yaml").write_text(PIPELINE.replace("  expectations:\n", steps), "utf-8")
    assert call("run", "--quiet", "--backend", "duckdb").exit_code == 0
    told = json.loads(call("quarantine", "brz", "--json").stdout, parse_constant=pytest.fail)
    assert {name: told["rows"][0][name] for name in "nlb"} == {"n": None, "l": [None], "b": "41"}
