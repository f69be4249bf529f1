"""Steps of a transformer: one behaviour, every engine."""

from __future__ import annotations

import importlib
import inspect
import logging
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from laktory import models
from laktory.api import register_anyframe_namespace
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError, StepError
from laktory.models.dataframe.dataframemethod import DataFrameMethod
from laktory.models.dataframe.dataframetransformer import DataFrameTransformer
from laktory.models.datasources import DataFrameDataSource, PipelineNodeDataSource
from laktory.transforms import StatementError, apply
from laktory.transforms.arguments import resolve

PRICES = {
    "symbol": ["AAPL", "AAPL", "MSFT", "MSFT", "GOOG"],
    "day": [1, 2, 1, 2, 1],
    "close": [10.0, 12.0, 20.0, 18.0, None],
}


@pytest.fixture(params=list(ENGINES))
def session(request, tmp_path):
    module, _, name = ENGINES[request.param].entry.partition(":")
    opened = getattr(importlib.import_module(module), name)(str(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def run(session):
    """Apply steps to PRICES and give the rows, sorted."""

    def run(
        *steps: Any, frames: dict[str, Any] | None = None, source: Any = PRICES, **options: Any
    ) -> list[tuple[Any, ...]]:
        transformer = DataFrameTransformer(nodes=list(steps), dataframe_backend=session.capabilities.name, **options)
        known = {key: session.adopt(value) for key, value in (frames or {}).items()}
        flowing = None if source is None else session.adopt(source)
        frame = apply(flowing, transformer.nodes, session=session, frames=known, read=reader(session, known))
        return rows(session.collect(frame))

    return run


def reader(session, frames):
    """What a run does with sources in arguments."""

    def read(source):
        if isinstance(source, PipelineNodeDataSource):
            return frames[f"nodes.{source.node_name}"]
        return session.adopt(source.data)

    return read


def rows(frame: Any) -> list[tuple[Any, ...]]:
    assert isinstance(frame, nw.LazyFrame)
    return sorted(frame.collect("polars").to_native().rows(), key=str)


# ---- SQL -----------------------------------------------------------------------------------------


def test_a_query_reads_the_flowing_frame_and_others(run):
    other = {"symbol": ["AAPL", "MSFT"], "name": ["Apple", "Microsoft"]}
    sql = "SELECT d.symbol, n.name FROM {df} d JOIN {nodes.meta-data} n ON d.symbol = n.symbol WHERE d.day = 1"
    assert run({"expr": sql}, frames={"nodes.meta-data": other}) == [("AAPL", "Apple"), ("MSFT", "Microsoft")]


def test_each_step_reads_the_one_before(run):
    steps = [
        {"expr": "SELECT symbol, sum(close) AS total FROM {df} GROUP BY symbol;"},
        {"func_name": "filter", "func_args": "nw.col('total') > 30"},
        {"expr": "SELECT symbol, '{df}' AS text FROM {df} -- {df}"},
    ]
    assert run(*steps) == [("MSFT", "{df}")]


def test_the_flowing_frame_wins_over_a_named_one(run):
    assert run({"expr": "SELECT count(*) AS n FROM {df}"}, frames={"df": {"x": [1]}}) == [(5,)]


def test_a_query_needs_no_source(run):
    assert run({"expr": "SELECT x + 1 AS y FROM {mine}"}, frames={"mine": {"x": [1, 2]}}, source=None) == [(2,), (3,)]


def test_names_that_would_collide_stay_apart(run):
    frames = {"nodes.a-b": {"x": [1]}, "nodes.a_b": {"x": [2]}, "nodes.A_b": {"x": [3]}}
    sql = "SELECT x FROM {nodes.a-b} UNION ALL SELECT x FROM {nodes.a_b} UNION ALL SELECT x FROM {nodes.A_b}"
    assert run({"expr": sql}, frames=frames) == [(1,), (2,), (3,)]


def test_regular_expressions_keep_their_braces(run, session):
    like = "RLIKE" if session.capabilities.name == "PYSPARK" else "~"
    sql = f"SELECT symbol, '{{4,4}}' AS braces FROM {{df}} WHERE symbol {like} '[A-P]{{4,4}}' AND day = 1"
    assert run({"expr": sql}) == [("AAPL", "{4,4}"), ("GOOG", "{4,4}")]


@pytest.mark.parametrize(
    ("sql", "message", "place"),
    [
        ("SELECT *\nFROM {nodes.nope}", "nothing is named {nodes.nope} here", (2, 6)),
        ("SELECT *\nFROM {df} JOIN other USING (x)", "table 'other' is not a placeholder", (2, 16)),
        ("SELECT * FROM read_csv('/etc/hosts')", "a step reads no files", (1, 15)),
        ("DROP TABLE x", "found 'DROP'", (1, 1)),
    ],
)
def test_a_refused_query_tells_the_place(run, sql, message, place):
    with pytest.raises(StatementError) as caught:
        run({"expr": sql})
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == place


def test_the_engine_tells_in_the_words_of_the_definition(run):
    with pytest.raises(StepError) as caught:
        run({"expr": "SELECT nope.x FROM {df}"})
    assert "__df__" not in str(caught.value)


def test_the_failing_step_is_named(run):
    with pytest.raises(StepError, match=r"step 1 \(DataFrameMethod\): .*'uniqe'; did you mean 'unique'\?"):
        run({"expr": "SELECT * FROM {df}"}, {"func_name": "uniqe"})


# ---- methods -------------------------------------------------------------------------------------


def test_the_log_reads_like_the_documentation(run, caplog):
    logger = logging.getLogger("laktory")
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger="laktory")
    try:
        run(
            {"expr": "  SELECT\n    symbol\n  FROM\n    {df}\n"},
            {"func_name": "unique", "func_kwargs": {"subset": ["symbol"], "keep": "any"}},
        )
    finally:
        logger.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == [
        "Executing DataFrame Transformer",
        "Executing DataFrame transformer node 0 (DataFrameExpr).",
        "DataFrame as \nSELECT\n  symbol\nFROM\n  {df}",
        "Executing DataFrame transformer node 1 (DataFrameMethod).",
        "Applying df.unique(subset=['symbol'],keep=any)",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {"func_args": ["{nodes.meta}"], "func_kwargs": {"on": "symbol", "how": "inner"}},
        {"func_kwargs": {"other": "{nodes.meta}", "on": ["symbol"]}},
        {"func_kwargs": {"other": {"node_name": "meta"}, "on": "symbol"}},
        {"func_kwargs": {"other": PipelineNodeDataSource(node_name="meta"), "on": "symbol"}},
        {"func_kwargs": {"other": {"data": {"symbol": ["AAPL"], "name": ["Apple"]}}, "on": "symbol"}},
        {
            "func_args": [DataFrameDataSource(data={"symbol": ["AAPL"], "name": ["Apple"]})],
            "func_kwargs": {"on": "symbol"},
        },
    ],
)
def test_frames_as_arguments(run, arguments):
    found = run(
        {"func_name": "join", **arguments},
        {"func_name": "select", "func_args": ["symbol", "day", "name"]},
        frames={"nodes.meta": {"symbol": ["AAPL"], "name": ["Apple"]}},
    )
    assert found == [("AAPL", 1, "Apple"), ("AAPL", 2, "Apple")]


def test_frames_inside_lists(run):
    found = run(
        {"func_name": "select", "func_args": "symbol"},
        {"func_name": "laktory.union", "func_args": [["{nodes.a}", {"node_name": "b"}, {"data": {"symbol": ["z"]}}]]},
        {"func_name": "filter", "func_args": "nw.col('symbol').str.to_lowercase() == nw.col('symbol')"},
        frames={"nodes.a": {"symbol": ["x"]}, "nodes.b": {"symbol": ["y"]}},
    )
    assert found == [("x",), ("y",), ("z",)]


def test_expressions_inside_lists_and_mappings(run):
    found = run(
        {
            "func_name": "with_columns",
            "func_args": [["nw.col('day') * 2", "nw.lit('col(x)').alias('text')"]],
            "func_kwargs": {"next": "col('day') + 1", "sql": "sql_expr('day > 1')"},
        },
        {"func_name": "filter", "func_args": "nw.col('symbol') == 'GOOG'"},
        {"func_name": "select", "func_args": ["day", "text", "next", "sql"]},
    )
    assert found == [(2, "col(x)", 2, False)]


@pytest.mark.parametrize(
    "text", ["a (b)", "protocol(x)", "colour", "any", "lit", "SELECT 1", "{ not a frame }", "x{df}"]
)
def test_other_texts_stay_as_they_are(text):
    step = DataFrameMethod(func_name="rename", func_kwargs={"mapping": {"a": text}})
    assert resolve(step, "POLARS", {}, reader(None, {}), native=False) == ([], {"mapping": {"a": text}})


def test_a_single_argument_needs_no_list(run):
    assert run({"func_name": "head", "func_args": 0}) == []
    assert run({"func_name": "select", "func_args": "symbol"}, {"func_name": "unique"}) == [
        ("AAPL",),
        ("GOOG",),
        ("MSFT",),
    ]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"func_name": "group_by", "func_args": "symbol"}, "use 'laktory.groupby_and_agg'"),
        ({"func_name": "collect_schema"}, "is not allowed in a step"),
        ({"func_name": "collect"}, "is not allowed in a step"),
        ({"func_name": "to_native"}, "is not allowed in a step"),
        ({"func_name": "sink_parquet", "func_args": "x.parquet"}, "is not allowed in a step"),
        ({"func_name": "pipe", "func_args": "print"}, "is not allowed in a step"),
        ({"func_name": "columns"}, "'columns' is not a method"),
        ({"func_name": "laktory.signature"}, "gives a str, not a frame"),
        ({"func_name": "laktory.groupby_and_ag"}, "did you mean 'groupby_and_agg'?"),
        ({"func_name": "finance.vwap"}, "has no method 'finance'; a namespace must be registered"),
        ({"func_name": "unique", "func_kwargs": {"subste": ["symbol"]}}, "did you mean 'subset'?"),
        ({"func_name": "join", "func_args": ["{nodes.mta}"]}, "did you mean '{nodes.meta}'?"),
        ({"func_name": "filter", "func_args": "nw.col('day').map_batches(print)"}, "map_batches"),
        (
            {"func_name": "unique", "func_kwargs": {"subset": ["symbol"], "keep": "first"}},
            "rows have no order of their own, so none is first or last; give 'order_by'",
        ),
        ({"func_name": "rename", "func_args": [{"clsoe": "c"}]}, "there is no column 'clsoe'; did you mean 'close'?"),
    ],
)
def test_wrong_methods_are_explained(run, step, message):
    with pytest.raises(StepError) as caught:
        run(step, frames={"nodes.meta": {"symbol": ["AAPL"]}})
    assert message in str(caught.value)
    assert "narwhals" not in str(caught.value).lower()


def test_a_method_without_a_frame_is_explained(run):
    with pytest.raises(StepError, match="the node has no source, so begin with a SQL step"):
        run({"func_name": "unique"}, source=None)


def test_a_namespace_of_the_user(run):
    @register_anyframe_namespace("finance_test")
    class Finance:
        def __init__(self, df: Any) -> None:
            self._df = df

        def doubled(self, column: str, laktory_context: Any = None) -> Any:
            assert laktory_context.node is None
            return self._df.select(nw.col(column) * 2)

        def eager(self) -> Any:
            return pl.DataFrame({"x": [1]})

        def fails(self) -> Any:
            raise KeyError("the reason\nand more")

    assert run({"func_name": "finance_test.doubled", "func_args": "day"}) == [(2,), (2,), (2,), (4,), (4,)]
    assert run({"func_name": "finance_test.eager"}, {"expr": "SELECT x + 1 AS y FROM {df}"}) == [(2,)]
    with pytest.raises(StepError, match="method 'finance_test.fails' failed: .*the reason"):
        run({"func_name": "finance_test.fails"})


@pytest.mark.parametrize("name", ["join", "_secret", "a b"])
def test_a_namespace_takes_no_name_that_is_taken(name):
    with pytest.raises(DefinitionError):
        register_anyframe_namespace(name)(type("Anything", (), {}))


# ---- native methods ------------------------------------------------------------------------------

NATIVE = {
    "POLARS": [
        {"func_name": "filter", "func_args": "pl.col('day') > 1"},
        {"func_name": "join", "func_args": ["{nodes.meta}"], "func_kwargs": {"on": "symbol"}},
        {"func_name": "select", "func_args": [["symbol", "name"]]},
    ],
    "DUCKDB": [
        {"func_name": "filter", "func_args": "day > 1"},
        {"func_name": "join", "func_args": ["{nodes.meta}", "symbol"]},
        {"func_name": "project", "func_args": "symbol, name"},
    ],
    "PYSPARK": [
        {"func_name": "filter", "func_args": "F.col('day') > 1"},
        {"func_name": "withColumn", "func_args": ["twice", "expr('day * 2').cast(T.LongType())"]},
        {"func_name": "where", "func_args": "twice = 4"},
        {"func_name": "join", "func_args": ["{nodes.meta}", "symbol"]},
        {"func_name": "select", "func_args": ["symbol", "name"]},
    ],
}


def test_native_methods(run, session):
    found = run(
        *NATIVE[session.capabilities.name],
        frames={"nodes.meta": {"symbol": ["AAPL"], "name": ["Apple"]}},
        dataframe_api="NATIVE",
    )
    assert found == [("AAPL", "Apple")]


NATIVE_REFUSED = {
    "POLARS": [
        ("sink_csv", ["x.csv"]), ("collect", []), ("sql", ["SELECT * FROM read_csv('x')"]), ("map_batches", ["print"]),
        ("deserialize", ["x"]), ("serialize", ["x"]), ("show_graph", []), ("remote", []), ("pipe", ["x"]),
        ("group_by", ["symbol"]),
    ],
    "DUCKDB": [
        ("to_csv", ["x.csv"]), ("write_parquet", ["x"]), ("create", ["x"]), ("create_view", ["x"]),
        ("insert_into", ["x"]), ("query", ["x", "SELECT * FROM 'x.csv'"]), ("fetchall", []), ("arrow", []), ("df", []),
        ("execute", []), ("map", ["x"]), ("filter", ["symbol IN (SELECT content FROM read_text('/etc/hosts'))"]),
        ("project", ["* FROM 'x.csv' --"]),
        ("aggregate", ["getenv('HOME')"]), ("order", ["(FROM 'x.csv')"]),
    ],
    "PYSPARK": [
        ("write", []), ("toPandas", []), ("collect", []), ("count", []), ("cache", []), ("checkpoint", []),
        ("mapInPandas", ["x"]), ("transform", ["x"]), ("createOrReplaceTempView", ["x"]), ("groupBy", ["symbol"]),
        ("filter", ["symbol IN (SELECT value FROM text.`/etc/hosts`)"]), ("mergeInto", ["x"]), ("first", []),
        ("withColumn", ["x", "expr('(SELECT 1)')"]), ("withColumn", ["x", "F.udf('symbol')"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("number", range(15))
def test_native_methods_neither_read_nor_write(run, session, number):
    refused = NATIVE_REFUSED[session.capabilities.name]
    name, arguments = refused[number % len(refused)]
    with pytest.raises(StepError, match=r"not allowed|not available|gives a grouping"):
        run({"func_name": name, "func_args": arguments, "dataframe_api": "NATIVE"})


# ---- declarations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({}, "a step needs 'expr' (SQL) or 'func_name' (a method)"),
        ({"expr": "SELECT 1", "func_name": "unique"}, "not both"),
        ({"func_nam": "unique"}, "did you mean 'func_name'?"),
        ("SELECT 1", "a step is a mapping, found a text"),
        (["SELECT 1"], "a step is a mapping"),
        ({"func_name": "_private"}, "is private"),
        ({"func_name": "a..b"}, "is not the name of a method"),
        ({"func_name": "a b"}, "is not the name of a method"),
        ({"func_name": "__class__.__mro__"}, "is private"),
        (
            {"func_name": "join", "func_kwargs": {"other": {"path": "x", "format": "PARQUET", "pth": 1}}},
            "unknown field 'pth'",
        ),
        ({"func_name": "unique", "func_kwarg": {}}, "unknown field 'func_kwarg'"),
    ],
)
def test_wrong_steps_are_explained(step, message):
    with pytest.raises(DefinitionError) as caught:
        DataFrameTransformer(nodes=[{"expr": "SELECT 1"}, step])
    assert message in str(caught.value)
    assert "nodes[1]" in str(caught.value)


def test_nodes_in_arguments_are_upstream():
    step = DataFrameMethod(
        func_name="laktory.union",
        func_args=[
            ["{nodes.a}", {"node_name": "b", "selects": ["x"]}],
            {"path": "x.csv", "format": "csv"},
            "{nodes.a}",
        ],
    )
    assert step.upstream_node_names == ["b", "a"]
    assert [type(source).__name__ for source in step.data_sources] == [
        "PipelineNodeDataSource", "FileDataSource", "PipelineNodeDataSource",
    ]  # fmt: skip
    assert all(source.parent is step for source in step.data_sources)
    assert DataFrameMethod(func_name="rename", func_args=[{"path": "format", "format": "f"}]).data_sources == []


def test_a_transformer_runs_outside_a_pipeline(session):
    native = pl.DataFrame(PRICES) if session.capabilities.name == "POLARS" else session.adopt(PRICES).to_native()
    transformer = DataFrameTransformer(
        nodes=[
            {"func_name": "filter", "func_args": "nw.col('day') == 1"},
            {"expr": "SELECT d.symbol FROM {df} d JOIN {n} n ON d.symbol = n.symbol"},
        ]
    )
    result = transformer.execute(native, named_dfs={"n": {"symbol": ["AAPL"]}})
    assert result.implementation.name.startswith(session.capabilities.name)
    assert rows(result) == [("AAPL",)]
    assert rows(DataFrameMethod(func_name="head", func_args=0).execute(native)) == []
    assert rows(transformer.nodes[1].to_df({"df": native, "n": {"symbol": ["MSFT"]}})) == [("MSFT",), ("MSFT",)]


def test_methods_that_an_engine_lacks_are_in_its_record():
    """Narwhals gives each engine's frames a class; what that does not have fails when it is called."""
    import narwhals as nw
    from narwhals._duckdb.dataframe import DuckDBLazyFrame
    from narwhals._spark_like.dataframe import SparkLikeLazyFrame

    public = {name for name, found in inspect.getmembers(nw.LazyFrame, inspect.isfunction) if not name.startswith("_")}
    lacking = {name for name in public if not hasattr(DuckDBLazyFrame, name)}
    assert lacking - {"pipe", "to_native"} == ENGINES["DUCKDB"].lacks
    lacking = {name for name in public if not hasattr(SparkLikeLazyFrame, name)}
    assert lacking - {"lazy", "pipe", "to_native"} == ENGINES["PYSPARK"].lacks


@pytest.mark.parametrize(
    ("backend", "method"), [(name, one) for name in ENGINES for one in sorted(ENGINES[name].lacks)]
)
def test_what_an_engine_lacks_is_refused_before_anything_is_read(backend, method):
    steps = {"nodes": [{"func_name": method, "func_args": [1]}]}
    nodes = [{"name": "a", "source": {"data": {"x": [1]}}, "transformer": steps}]
    with pytest.raises(DefinitionError, match=f"the {backend} backend has no method '{method}'"):
        models.Pipeline(name="p", dataframe_backend=backend, nodes=nodes).plan()
