from __future__ import annotations

import json
import logging
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import laktory
from laktory.cli import app, console
from laktory.cli.definition import variables_of
from laktory.cli.main import COMMANDS
from laktory.cli.quickstart import TEMPLATE
from laktory.errors import DefinitionError, RunError, SinkError

NO_SOURCE = """\
error: node 'brz': pipeline.yaml:6:18: nodes[0].source.path: 'in.jsonl' does not exist
    6 |   source: {path: in.jsonl, format: JSONL}
      |                  ^^^^^^^^
"""


def call(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def prices() -> list[float]:
    return pl.read_parquet("out/gld.parquet")["price"].to_list()


# ---- run -------------------------------------------------------------------------------------


def test_run_writes_sinks_and_logs_lines(project: Path) -> None:
    result = call("run")
    assert result.exit_code == 0, result.output
    assert prices() == [3.5, 2.5]
    lines = result.stdout.splitlines()
    assert any(line.endswith("[laktory] Executing pipeline node brz") for line in lines)
    assert lines[0][:4].isdigit()
    assert lines[-1].startswith("Pipeline pl succeeded in ")
    assert "3 nodes (3 succeeded)" in lines[-1]
    assert result.stderr == ""


def test_run_quiet_prints_nothing(project: Path) -> None:
    result = call("run", "-q")
    assert (result.exit_code, result.output) == (0, "")
    assert prices() == [3.5, 2.5]


def test_run_json_prints_the_record_and_nothing_else(project: Path) -> None:
    result = call("run", "--json")
    record = json.loads(result.stdout)
    assert record["status"] == "succeeded"
    assert [node["name"] for node in record["nodes"]] == ["brz", "slv", "gld"]
    assert record["nodes"][0]["rows_out"] == 3
    assert "Executing pipeline node brz" in result.stderr
    [kept] = Path(".laktory/pipelines/pl/runs").glob("*/record.json")
    assert json.loads(kept.read_text("utf-8")) == record


def test_run_json_of_a_failed_run_is_its_record(project: Path) -> None:
    Path("in.jsonl").unlink()
    result = call("run", "--json", "-q")
    assert result.exit_code == 1
    record = json.loads(result.stdout)
    assert record["status"] == "failed"
    assert [node["status"] for node in record["nodes"]] == ["failed", "skipped", "skipped"]
    assert result.stderr == NO_SOURCE


def test_run_json_of_a_wrong_definition_prints_no_json(project: Path) -> None:
    Path("pipeline.yaml").write_text("name: pl\nnodes: 3\n", "utf-8")
    result = call("run", "--json")
    assert (result.exit_code, result.stdout) == (2, "")


def test_run_select_takes_commas_and_repeats(project: Path) -> None:
    record = json.loads(call("run", "-q", "--json", "--select", "brz,slv", "--select", "gld").stdout)
    assert len(record["nodes"]) == 3
    record = json.loads(call("run", "-q", "--json", "--select", "brz").stdout)
    assert [node["name"] for node in record["nodes"]] == ["brz"]


def test_run_resume_continues_the_failed_run(project: Path) -> None:
    text = Path("pipeline.yaml").read_text("utf-8")
    Path("pipeline.yaml").write_text(text.replace("SUM(price)", "SUM(prise)"), "utf-8")
    assert call("run", "-q").exit_code == 1
    Path("pipeline.yaml").write_text(text, "utf-8")
    record = json.loads(call("run", "-q", "--json", "--resume").stdout)
    assert record["nodes"][0]["status"] == "resumed"
    assert prices() == [3.5, 2.5]


def test_run_full_refresh_replaces_an_appended_sink(project: Path) -> None:
    text = Path("pipeline.yaml").read_text("utf-8")
    Path("pipeline.yaml").write_text(text.replace("out/gld.parquet, ", "out/gld.parquet, mode: APPEND, "), "utf-8")
    for _ in range(2):
        assert call("run", "-q").exit_code == 0
    assert len(prices()) == 4
    assert call("run", "-q", "--full-refresh").exit_code == 0
    assert prices() == [3.5, 2.5]


def test_dry_run_shows_the_plan_and_writes_nothing(project: Path) -> None:
    result = call("run", "--dry-run")
    assert (result.exit_code, result.output) == (0, call("plan").output)
    assert sorted(path.name for path in project.iterdir()) == ["in.jsonl", "pipeline.yaml"]
    assert json.loads(call("run", "--dry-run", "--json").stdout)["pipeline"] == "pl"
    assert call("run", "--dry-run", "-q").output == ""


def test_var_beats_the_definition_and_var_file(project: Path) -> None:
    Path("vars.yaml").write_text("floor: 1\nunused: 3\n", "utf-8")
    call("run", "-q", "--var-file", "vars.yaml")
    assert prices() == [5.0, 2.5]
    call("run", "-q", "--var-file", "vars.yaml", "--var", "floor=3")
    assert prices() == [3.5]


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("n=3", 3),
        ("n=1.5", 1.5),
        ("n=true", True),
        ("n=null", None),
        ("n='3'", "3"),
        ("n=", ""),
        ("n=a=b", "a=b"),
        ("n=a: b", "a: b"),
        ("n=[1, 2]", "[1, 2]"),
        ("n=*", "*"),
        ("n=@x", "@x"),
        ("n=!use secrets.yaml", "!use secrets.yaml"),
        (" n =x", "x"),
    ],
)
def test_var_is_a_yaml_scalar_or_the_text_itself(pair: str, value: object) -> None:
    found = variables_of([pair], None)["n"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("pair", ["n", "=3", " =3"])
def test_var_without_name_or_value_is_an_error(pair: str) -> None:
    with pytest.raises(DefinitionError, match="write it as NAME=VALUE"):
        variables_of([pair], None)


def test_backend_replaces_that_of_the_pipeline_only(project: Path) -> None:
    text = Path("pipeline.yaml").read_text("utf-8")
    Path("pipeline.yaml").write_text(text.replace("- name: gld", "- name: gld\n  dataframe_backend: POLARS"), "utf-8")
    found = json.loads(call("plan", "--json", "--backend", "duckdb").stdout)
    assert [node["engine"] for node in found["nodes"]] == ["DUCKDB", "DUCKDB", "POLARS"]


def test_directory_option_works_before_and_behind_the_command(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for args in (["-C", str(project), "validate"], ["validate", "-C", str(project)]):
        monkeypatch.chdir(project.parent)
        result = call(*args)
        assert (result.exit_code, result.stdout) == (0, "pipeline.yaml is valid: 3 nodes\n")
    result = call("-C", "nowhere", "validate")
    assert result.exit_code == 2
    assert "'nowhere': No such file or directory" in result.stderr


def test_secrets_never_show(project: Path) -> None:
    text = (
        Path("pipeline.yaml").read_text("utf-8").replace("WHERE price", "WHERE symbol <> '${vars.api_key}' AND price")
    )
    Path("pipeline.yaml").write_text(text, "utf-8")
    for args in (["run"], ["plan"], ["plan", "--json"], ["run", "--json"], ["run", "--var", "floor=x"]):
        output = call(*args, "--var", "api_key=kk-very-secret").output
        assert "***" in output
        assert "kk-very-secret" not in output


def test_modules_of_the_project_can_be_imported(project: Path) -> None:
    Path("own_rows_of_cli_test.py").write_text("def rows():\n    return {'a': [1, 2]}\n", "utf-8")
    definition = """\
name: pl
imports: [own_rows_of_cli_test]
nodes:
- name: a
  source: {custom_reader: own_rows_of_cli_test.rows}
  sinks: [{path: a.parquet, format: PARQUET}]
"""
    Path("pipeline.yaml").write_text(definition, "utf-8")
    result = call("run", "-q")
    assert (result.exit_code, result.output) == (0, "")
    assert pl.read_parquet("a.parquet")["a"].to_list() == [1, 2]


# ---- validate, plan, show --------------------------------------------------------------------


def test_validate(project: Path) -> None:
    result = call("validate")
    assert (result.exit_code, result.output) == (0, "pipeline.yaml is valid: 3 nodes\n")
    assert sorted(path.name for path in project.iterdir()) == ["in.jsonl", "pipeline.yaml"]


def test_a_pipeline_may_be_the_only_item_of_a_list(project: Path) -> None:
    text = Path("pipeline.yaml").read_text("utf-8")
    Path("pipeline.yaml").write_text("- " + text.replace("\n", "\n  "), "utf-8")
    assert call("validate").output == "pipeline.yaml is valid: 3 nodes\n"
    Path("pipeline.yaml").write_text("- " + text.replace("\n", "\n  ").replace("price}", "price"), "utf-8")
    Path("pipeline.yaml").write_text("- name: pl\n  nods: []\n  nodes: []\n", "utf-8")
    assert call("validate").stderr.startswith("pipeline.yaml:2:3: ")


def test_plan_tells_order_engine_reads_writes_and_why(project: Path) -> None:
    result = call("plan")
    assert result.exit_code == 0
    assert result.stdout == (Path(__file__).parent / "plan.txt").read_text("utf-8")


def test_plan_select(project: Path) -> None:
    found = json.loads(call("plan", "--json", "-s", "gld").stdout)
    assert [(node["name"], node["implicit"]) for node in found["nodes"]] == [("slv", True), ("gld", False)]
    assert "not selected: runs because a selected node reads it" in call("plan", "-s", "gld").stdout


def test_show_computes_from_the_sources_and_writes_nothing(project: Path) -> None:
    Path("out").mkdir()
    pl.DataFrame({"id": [9], "symbol": ["old"], "price": [99.0]}).write_parquet("out/brz.parquet")
    before = Path("out/brz.parquet").read_bytes()
    result = call("show", "pipeline.yaml", "gld")
    assert result.exit_code == 0, result.output
    assert "old" not in result.stdout
    assert "2.5" in result.stdout
    assert result.stdout.endswith("2 rows\n")
    assert Path("out/brz.parquet").read_bytes() == before
    assert sorted(path.name for path in project.iterdir()) == ["in.jsonl", "out", "pipeline.yaml"]


def test_show_limit(project: Path) -> None:
    result = call("show", "pipeline.yaml", "brz", "--limit", "1")
    assert result.stdout.endswith("the first 1 row\n")
    assert "│ 1 " in result.stdout
    assert "│ 2 " not in result.stdout
    assert call("show", "pipeline.yaml", "brz", "--limit", "0").exit_code == 2
    assert call("show", "brz", "--limit", "1").stdout == result.stdout


# ---- the others ------------------------------------------------------------------------------


def test_version() -> None:
    assert call("--version").output == f"{laktory.__version__}\n"
    result = call("version")
    assert result.exit_code == 0
    assert result.output.startswith(f"laktory: {laktory.__version__}\npython: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"laktory {command}" in result.output or f"root {command}" in result.output


def test_misspelled_command() -> None:
    result = call("vaildate")
    assert result.exit_code == 2
    assert "there is no command 'vaildate'; did you mean 'validate'?" in result.stderr


def test_quickstart_makes_a_project_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("quickstart", "new/project")
    assert result.exit_code == 0, result.output
    made = {path.relative_to("new/project") for path in Path("new/project").rglob("*") if path.is_file()}
    assert made == {path.relative_to(TEMPLATE) for path in TEMPLATE.rglob("*") if path.is_file()}
    assert call("-C", "new/project", "run", "-q").exit_code == 0


def test_quickstart_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pipeline.yaml").write_text("mine", "utf-8")
    result = call("quickstart")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "already has pipeline.yaml; nothing was written" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline.yaml"]
    assert Path("pipeline.yaml").read_text("utf-8") == "mine"


# ---- failures --------------------------------------------------------------------------------


def test_debug_shows_a_traceback(project: Path) -> None:
    Path("in.jsonl").unlink()
    result = call("run", "--debug", "-q")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith(NO_SOURCE)
    assert "Traceback" not in call("run", "-q").stderr


def test_setting_that_is_not_valid_is_a_message(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules["laktory.settings"].__dict__, "settings", None)
    monkeypatch.delitem(__import__("sys").modules["laktory.settings"].__dict__, "settings")
    monkeypatch.setenv("LAKTORY_DATAFRAME_BACKEND", "POLAR")
    result = call("validate")
    assert result.exit_code == 2
    assert "LAKTORY_DATAFRAME_BACKEND" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (RunError("node 'a': no"), 1, "error: node 'a': no\n"),
        (DefinitionError("no"), 2, "error: no\n"),
        (
            ExceptionGroup("two", [SinkError("no"), ExceptionGroup("one", [RunError("nor")])]),
            1,
            "error: no\nerror: nor\n",
        ),
        (ExceptionGroup("two", [SinkError("no"), DefinitionError("nor")]), 1, "error: no\nerror: nor\n"),
        (
            PermissionError(13, "Permission denied", "x"),
            1,
            "error: PermissionError: [Errno 13] Permission denied: 'x'\n",
        ),
        (
            KeyError("x"),
            1,
            "error: KeyError: 'x'\n  this looks like a fault of Laktory; --debug shows where it comes from\n",
        ),
        (RunError("https://me:pass@host/x"), 1, "error: https://***@host/x\n"),
    ],
)
def test_report(error: Exception, code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.report(error) == code
    assert capsys.readouterr().err == told


def test_long_messages_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    console.report(RunError("\n".join(f"line {number}" for number in range(50))))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "… and 41 more lines"


def test_log_level_of_the_user_is_kept(project: Path) -> None:
    logging.getLogger("laktory").setLevel("ERROR")
    assert call("run").output.count("\n") == 1


@pytest.mark.parametrize("command", ["version", "versoin", "plan"])
def test_an_argument_of_any_length_is_quoted_in_part(command: str) -> None:
    result = call(command, *["a/" * 3000] * 2)
    assert result.exit_code == 2
    assert result.stderr.strip()
    assert len(result.stderr) <= 1_400


def test_a_value_that_is_nested_without_end_is_a_text() -> None:
    assert variables_of([f"x={'[' * 5000}"], None) == {"x": "[" * 5000}
