"""Names that existing scripts import, and what the smaller ones of them do."""

from __future__ import annotations

import importlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from typing import TYPE_CHECKING

import polars as pl
import pytest
import yaml

import laktory
from laktory import models
from laktory.datetime import unix_timestamp, utc_datetime
from laktory.errors import DefinitionError, LaktoryError, RunError, UnsupportedError
from laktory.yaml import RecursiveLoader

if TYPE_CHECKING:
    from pathlib import Path

NODES = [
    {"name": "a", "source": {"data": {"x": [1]}}},
    {"name": "b", "source": {"node_name": "a"}},
    {"name": "c", "source": {"node_name": "a"}, "depends_on": ["b"]},
]


@pytest.mark.parametrize(
    "path",
    [
        *("laktory.VERSION", "laktory.Settings", "laktory.SQLParser", "laktory.cache_dir", "laktory.get_logger"),
        *("laktory.show_version_info", "laktory.print_version", "laktory.enums.DataFrameBackends"),
        *("laktory.typing.AnyFrame", "laktory.typing.VariableType", "laktory.exceptions.LaktoryError"),
        *("laktory.models.BaseChild", "laktory.models.MemoryDataSource", "laktory.models.PipelineExecutionPlan"),
        *("laktory.models.LaktoryContext", "laktory.models.Int64", "laktory.models.dtypes.Datetime"),
        *("laktory.models.UnityCatalogDataSource", "laktory.models.TableDataSink"),
        *("laktory.models.datasources.FileDataSource", "laktory.models.datasinks.FileDataSink"),
        *("laktory.narwhals_ext.functions.sql_expr", "laktory.narwhals_ext.dataframe", "laktory.narwhals_ext.expr"),
        *("laktory.api.register_anyframe_namespace", "laktory.cli.app", "laktory.yaml.RecursiveLoader"),
        *("laktory.datetime.unix_timestamp", "laktory.datetime.utc_datetime"),
    ],
)
def test_documented_names_can_be_imported(path: str) -> None:
    home, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(home), name) is not None


def test_the_loader_reads_includes_like_a_definition(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("[1, 2]", "utf-8")
    (tmp_path / "whole.yaml").write_text("a: !use part.yaml\nb: |\n  x\n  y\nc: {df}\n", "utf-8")
    with (tmp_path / "whole.yaml").open(encoding="utf-8") as fp:
        assert yaml.load(fp, Loader=RecursiveLoader) == {"a": [1, 2], "b": "x\ny\n", "c": "{df}"}
    with pytest.raises(DefinitionError, match=r"1:4"):
        yaml.load(StringIO("a: [1"), Loader=RecursiveLoader)


def test_the_parser_gives_an_expression() -> None:
    import narwhals as nw

    frame = nw.from_native(pl.DataFrame({"x": [1, None, 3]}))
    assert frame.filter(laktory.SQLParser().parse("x IS NOT NULL AND x > 1"))["x"].to_list() == [3]


def test_moments_are_in_utc() -> None:
    moment = datetime(2024, 1, 2, 3, tzinfo=UTC)
    assert utc_datetime("2024-01-02T03:00:00") == utc_datetime(unix_timestamp(moment)) == moment
    east = utc_datetime(datetime(2024, 1, 2, 5, tzinfo=timezone(timedelta(hours=2))))
    assert (east, east.tzinfo) == (moment, UTC)
    assert abs(utc_datetime().timestamp() - unix_timestamp()) < 60


def test_the_execution_plan_under_its_older_name() -> None:
    pipeline = models.Pipeline(name="p", nodes=NODES)
    plan = models.PipelineExecutionPlan(pipeline, selects=["*b"])
    assert plan.node_names == list(plan.nodes_dict) == ["a", "b"]
    assert plan.nodes_dict["b"].source.node_name == "a"
    assert plan.tasks_dict["node-b"].nodes == ("b",)


def test_the_graph_of_a_pipeline() -> None:
    dag = models.Pipeline(name="p", nodes=NODES).dag
    assert sorted(dag.edges) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert list(models.Pipeline(name="p", nodes=NODES[:1]).dag.nodes) == ["a"]


OTHER = [{"name": "b", "source": {"data": {"x": [1]}}, "sinks": [{"path": "b.parquet", "format": "PARQUET"}]}]
APPENDING = [
    {
        "name": "a",
        "source": {"data": {"x": [1]}},
        "sinks": [{"path": "a.parquet", "format": "PARQUET", "mode": "APPEND"}],
    }
]


def test_calls_of_other_releases_are_taken_when_they_ask_for_nothing_new(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    pipeline = models.Pipeline(name="p", nodes=APPENDING)
    pipeline.execute(refresh="incremental", reset_mode=None, params={}, full_refresh=None)
    pipeline.execute(True, {"z": pl.DataFrame({"y": [1]})})  # 0.13: the frames come second
    pipeline.execute(True, False, {"z": pl.DataFrame({"y": [1]})})  # 0.8: the full refresh does
    node = pipeline.nodes_dict["a"]
    node.execute(True, True, "INCREMENTAL", None, True, None)
    node.execute(True, True, False, None)
    assert node.sinks[0].read().collect()["x"].to_list() == [1] * 5
    node.execute(True, True, "FULL")
    assert node.sinks[0].read().collect()["x"].to_list() == [1]
    node.sinks[0].write(pl.DataFrame({"x": [2]}), None, "APPEND", view_definition=None)  # 0.9
    assert node.sinks[0].read().collect()["x"].to_list() == [1, 2]
    pipeline.purge(mode=None)
    assert not node.sinks[0].exists()


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"reset_mode": "DROP", "refresh": "FULL"}, UnsupportedError, "reset_mode"),
        ({"params": {"day": "1"}}, UnsupportedError, "params"),
        ({"refresh": "RESET"}, UnsupportedError, "purge"),
        ({"refresh": 3}, DefinitionError, "'INCREMENTAL' or 'FULL'"),
        ({"full_refresh": 1}, DefinitionError, "neither True nor False"),
        ({"full_refresh": "no"}, DefinitionError, "refresh='no' is not valid"),
        ({"named_dfs": [1]}, DefinitionError, "a mapping from names to frames"),
        ({"named_dfs": {"z": None}}, DefinitionError, "is None, expected a frame"),
        ({"threads": "2"}, DefinitionError, "whole number"),
        ({"threads": 0}, DefinitionError, "whole number"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_written(asked, error, message, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        models.Pipeline(name="p", nodes=APPENDING).execute(**asked)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = models.FileDataSink(path="a.parquet", format="PARQUET", mode="APPEND")
    sink.write(pl.DataFrame({"x": [1]}))
    with pytest.raises(RunError, match="same columns"):
        sink.write(pl.DataFrame({"y": [1]}))
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_reader_that_exits_has_failed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "leaving_readers.py").write_text("import sys\n\n\ndef leave():\n    sys.exit(0)\n", "utf-8")
    nodes = [{"name": "a", "source": {"custom_reader": "leaving_readers.leave"}}, *OTHER]
    pipeline = models.Pipeline(name="p", imports=["leaving_readers"], nodes=nodes)
    with pytest.raises(RunError, match="SystemExit"):
        pipeline.execute()
    assert {node["name"]: node["status"] for node in pipeline.last_run["nodes"]} == {"a": "failed", "b": "succeeded"}


def test_a_sink_is_written_anew_by_full_refresh(tmp_path: Path) -> None:
    sink = models.FileDataSink(path=str(tmp_path / "out.parquet"), format="PARQUET", mode="APPEND")
    for _ in range(2):
        sink.write(pl.DataFrame({"x": [1]}))
    assert sink.read(as_stream=None).collect()["x"].to_list() == [1, 1]
    sink.write(pl.DataFrame({"x": [2]}), full_refresh=True)
    assert sink.as_source(as_stream=False).read().collect()["x"].to_list() == [2]


@pytest.mark.parametrize("name", ["is_dlt_execute", "dlt", "Dispatcher"])
def test_names_of_other_releases_say_what_is_missing(name):
    assert not hasattr(laktory, name)
    with pytest.raises(
        AttributeError, match=f"'laktory.{name}' is not supported by this version of Laktory: "
    ) as caught:
        getattr(laktory, name)
    assert isinstance(caught.value, LaktoryError)


@pytest.mark.parametrize(
    "name", ["PipelineViewDataSink", "DataSinkMergeCDCOptions", "Stack", "LakeflowJobOrchestrator"]
)
def test_models_of_other_releases_say_what_is_missing(name):
    assert not hasattr(models, name)
    with pytest.raises(LaktoryError, match=f"'laktory.models.{name}' is not supported by this version of Laktory: "):
        getattr(models, name)


@pytest.mark.parametrize(
    "home", ["base", "custom", "dataframe", "datasinks", "datasources", "dtype", "pipeline", "dtypes"]
)
def test_each_part_of_the_models_can_be_imported_first(home: str) -> None:
    """They refer to one another, and nothing says which of them a script names first."""
    names = [name for name, part in models._HOMES.items() if part == home] or ["Int64"]
    code = f"from laktory.models.{home} import {names[0]}; import laktory.models; laktory.models.Pipeline(name='p')"
    if names[0] in models._OLDER:
        code = f"from laktory.models import {names[0]}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_name_of_the_models_is_there() -> None:
    assert [name for name in models.__all__ if getattr(models, name, None) is None] == []
    assert set(models._HOMES) == set(models.__all__)


def test_purging_leaves_a_directory_that_holds_other_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = models.FileDataSink(path="out/", format="PARQUET")
    sink.write(pl.DataFrame({"x": [1]}))
    (tmp_path / "out" / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(RunError, match=r"cannot remove the directory 'out/': it holds '.*notes.txt'"):
        sink.purge()
    assert (tmp_path / "out" / "notes.txt").read_text("utf-8") == "mine"
    (tmp_path / "out" / "notes.txt").unlink()
    sink.purge()
    assert not sink.exists()
