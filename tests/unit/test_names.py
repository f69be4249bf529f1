"""Names that existing scripts import, and what the smaller ones of them do."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from typing import TYPE_CHECKING

import polars as pl
import pytest
import yaml

import laktory
from laktory import models
from laktory.datetime import unix_timestamp, utc_datetime
from laktory.errors import DefinitionError, UnsupportedError
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


def test_calls_of_later_releases_are_taken_when_they_ask_for_nothing_new() -> None:
    pipeline = models.Pipeline(name="p", nodes=NODES)
    pipeline.execute(refresh="incremental", reset_mode=None, params=None, full_refresh=None, write_sinks=False)
    assert pipeline.nodes_dict["c"].output_df.collect()["x"].to_list() == [1]
    for asked in ({"reset_mode": "DROP", "refresh": "FULL"}, {"params": {"day": "1"}}, {"refresh": "RESET"}):
        with pytest.raises(UnsupportedError):
            pipeline.execute(**asked)


def test_a_sink_is_written_anew_by_full_refresh(tmp_path: Path) -> None:
    sink = models.FileDataSink(path=str(tmp_path / "out.parquet"), format="PARQUET", mode="APPEND")
    for _ in range(2):
        sink.write(pl.DataFrame({"x": [1]}))
    assert sink.read(as_stream=None).collect()["x"].to_list() == [1, 1]
    sink.write(pl.DataFrame({"x": [2]}), full_refresh=True)
    assert sink.as_source(as_stream=False).read().collect()["x"].to_list() == [2]
