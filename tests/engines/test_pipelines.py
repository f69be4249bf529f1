"""Whole pipelines: one behaviour, every engine."""

import datetime as dt
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import polars as pl
import pytest
from building import events, files_at, node, numbers, pipeline

import laktory as lk
from laktory import models
from laktory.errors import DefinitionError

SEED = Path(__file__).parents[1] / "seed"


# ---- the seed --------------------------------------------------------------------------------


def test_the_seed_yaml_runs_unchanged(backend, capsys):
    n = events()
    with (SEED / "pipeline.yaml").open() as fp:
        p = models.Pipeline.model_validate(fp)
    p.dataframe_backend = backend
    p.execute()
    out = p.nodes_dict["slv_stock_prices"].output_df
    assert out.collect("polars").shape == (n, 8)
    silver = pl.read_parquet("data/slv_stock_prices.parquet")
    assert silver.columns == ["created_at", "name", "symbol", "open", "close", "high", "low", "volume"]
    assert silver.schema["created_at"] == pl.Datetime("us")
    assert silver.schema["volume"] == pl.Float64
    assert pl.read_parquet("data/brz_stock_prices.parquet").height == n + n // 4
    lines = capsys.readouterr().out
    for line in (
        "[laktory] Executing pipeline node slv_stock_prices",
        f"[laktory] Reading `PipelineNodeDataSource` brz_stock_prices with DataFrameBackends.{backend}",
        "[laktory] Reading pipeline node brz_stock_prices from output DataFrame",
        "[laktory] Read completed.",
        "[laktory] Executing DataFrame Transformer",
        "[laktory] Executing DataFrame transformer node 0 (DataFrameExpr).",
        "[laktory] DataFrame as \nSELECT\n  CAST(data.created_at AS TIMESTAMP) AS created_at,",
        "[laktory] Applying df.unique(subset=['symbol', 'created_at'],keep=any)",
        "[laktory] Writing static df to ./data/slv_stock_prices.parquet with format 'PARQUET' and {}",
        "[laktory] Write completed.",
    ):
        assert line.replace("[laktory] ", "") in lines, line


def test_the_seed_python_runs_unchanged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    n = events()
    script = (SEED / "pipeline.py").read_text() + textwrap.dedent(
        """
        pl.execute()
        print("ROWS", pl.nodes_dict["slv_stock_prices"].output_df.to_native().collect().height)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"ROWS {n}" in done.stdout


# ---- one node after another ------------------------------------------------------------------


def test_bronze_silver_gold(backend):
    numbers()
    p = pipeline(
        backend,
        node("gld", "slv", "gld.parquet", steps=["SELECT COUNT(*) AS n, SUM(y) AS total FROM {df}"]),
        node("slv", "brz", steps=["SELECT id, x * 2 AS y FROM {df} WHERE id > 1"]),
        node("brz", "in.parquet", "brz.parquet"),
    )
    p.execute()
    assert pl.read_parquet("gld.parquet").select(pl.col("n").cast(int), "total").rows() == [(4, 28.0)]
    record = p.last_run
    assert [(n["name"], n["status"], n["rows_out"]) for n in record["nodes"]] == [
        ("brz", "succeeded", 6),
        ("slv", "succeeded", None),
        ("gld", "succeeded", 1),
    ]
    assert record["status"] == "succeeded"
    assert [f.name for f in Path().iterdir() if f.name.startswith(".laktory-")] == []


def test_references_to_other_nodes_and_sources(backend):
    numbers("a.parquet")
    numbers("b.parquet", 3)
    p = pipeline(
        backend,
        node("a", "a.parquet"),
        node("b", "b.parquet", "b_out.parquet"),
        {
            "name": "c",
            "sources": [{"node_name": "a"}, {"path": "b.parquet", "format": "PARQUET", "name": "other"}],
            "sinks": [{"path": "c.parquet", "format": "PARQUET"}],
            "transformer": {
                "nodes": [
                    {"expr": "SELECT l.id, '{df} {nodes.zz}' AS t FROM {df} l JOIN {sources.other} o ON l.id = o.id"},
                    {"expr": "SELECT d.* FROM {df} d JOIN {nodes.b} b ON d.id = b.id -- {nodes.nothing}"},
                    {"func_name": "join", "func_kwargs": {"other": "{nodes.b}", "on": "id", "how": "left"}},
                    {"func_name": "filter", "func_args": ["nw.col('id') < 2"]},
                ]
            },
        },
    )
    p.execute()
    out = pl.read_parquet("c.parquet").sort("id")
    assert out["id"].to_list() == [0, 1]
    assert out["t"].to_list() == ["{df} {nodes.zz}"] * 2
    assert out["s"].to_list() == ["s0", "s1"]


def test_named_dfs_and_post_read_options(backend):
    numbers()
    p = pipeline(
        backend,
        node(
            "a",
            {
                "path": "in.parquet",
                "format": "PARQUET",
                "filter": "id > 0 AND (s LIKE 's%' OR x IS NULL)",
                "selects": {"id": "id", "x * 2": "y", "UPPER(s)": "s"},
                "renames": {"y": "z"},
                "drops": ["nothing"],
                "drop_duplicates": ["id"],
            },
            "o.parquet",
            steps=["SELECT d.* FROM {df} d JOIN {keep} k ON d.id = k.id"],
        ),
    )
    p.execute(named_dfs={"keep": pl.DataFrame({"id": [2, 3]})})
    assert pl.read_parquet("o.parquet").sort("id").rows() == [(2, 4.0, "S2"), (3, 6.0, "S3")]


def test_methods_that_need_help_on_some_engine(backend):
    pl.DataFrame({"id": [1, 2], "x": [1.0, 2.0], "y": [3.0, 4.0]}).write_parquet("in.parquet")
    steps = [
        {"func_name": "unpivot", "func_kwargs": {"on": ["x", "y"], "index": ["id"]}},
        {"func_name": "top_k", "func_args": [3], "func_kwargs": {"by": "value"}},
    ]
    pipeline(backend, node("a", "in.parquet", "a.parquet", steps=steps)).execute()
    assert pl.read_parquet("a.parquet").sort("value").rows() == [(2, "x", 2.0), (1, "y", 3.0), (2, "y", 4.0)]


# ---- one evaluation --------------------------------------------------------------------------

COUNTING = """
import polars as pl
CALLS = []
def rows():
    def source(*_):
        CALLS.append(1)
        yield pl.DataFrame({"id": [1, 2, 3]})
    return pl.LazyFrame({"id": [1, 2, 3]}).map_batches(lambda df: (CALLS.append(1), df)[1], schema={"id": pl.Int64})
"""


@pytest.fixture
def counting(tmp_path, monkeypatch):
    name = f"counting_{os.urandom(4).hex()}"
    (tmp_path / f"{name}.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("with_sinks", [True, False])
def test_a_node_with_several_consumers_is_evaluated_once(backend, counting, with_sinks):
    sinks = ["a.parquet", "a.csv"] if with_sinks else []
    p = pipeline(
        backend,
        node("a", {"custom_reader": f"{counting}.rows"}, *sinks),
        node("b", "a", "b.parquet"),
        node("c", "a", "c.parquet"),
        node("d", "a", "d.csv"),
        imports=[counting],
    )
    p.execute()
    assert len(sys.modules[counting].CALLS) == 1
    assert pl.read_parquet("b.parquet")["id"].to_list() == [1, 2, 3]
    if with_sinks:
        assert p.nodes[0].output_df.collect("polars")["id"].to_list() == [1, 2, 3]
        assert len(sys.modules[counting].CALLS) == 1


def test_a_file_that_the_run_replaces_is_read_before(backend):
    numbers("x.parquet", 3)
    p = pipeline(
        backend,
        node("a", "x.parquet"),
        node("b", "a", "x.parquet", steps=["SELECT * FROM {df} WHERE id = 0"]),
        node("c", "a", "c.parquet", depends_on=["b"]),
    )
    p.execute()
    assert (pl.read_parquet("x.parquet").height, pl.read_parquet("c.parquet").height) == (1, 3)
    assert len(p.nodes_dict["a"].output_df.collect("polars")) == 3


def test_a_long_chain_of_sinkless_nodes(backend):
    numbers(n=2)
    chain = [node("n0", "in.parquet")]
    chain += [node(f"n{i}", f"n{i - 1}", steps=["SELECT id + 1 AS id FROM {df}"]) for i in range(1, 200)]
    p = pipeline(backend, *chain, node("out", "n199", "out.parquet"))
    assert {n.how for n in p.plan().nodes} == {"fused", "materialised", "written"}
    p.execute()
    assert sorted(pl.read_parquet("out.parquet")["id"].to_list()) == [199, 200]


def test_nodes_on_different_engines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers()
    p = pipeline(
        "POLARS",
        node("a", "in.parquet", steps=["SELECT id, x FROM {df} WHERE id > 1"]),
        node("b", "a", steps=["SELECT id, x * 2 AS x FROM {df}"], dataframe_backend="DUCKDB"),
        node("c", "b", "c.csv", steps=[{"func_name": "filter", "func_args": ["nw.col('id') < 5"]}]),
        node("d", "c", "d.parquet", dataframe_backend="DUCKDB"),
    )
    p.execute()
    assert pl.read_parquet("d.parquet").sort("id").rows() == [(2, 4.0), (3, 6.0), (4, 8.0)]


# ---- selection and single parts --------------------------------------------------------------


def test_selects(backend):
    numbers()
    nodes = [
        node("a", "in.parquet", "a.parquet", tags=["bronze"]),
        node("b", "a", steps=["SELECT id FROM {df}"]),
        node("c", "b", "c.parquet"),
        node("d", "a", "d.parquet"),
    ]
    p = pipeline(backend, *nodes)
    p.execute(selects=["bronze"])
    assert sorted(f.name for f in Path().glob("*.parquet")) == ["a.parquet", "in.parquet"]
    numbers(n=1)
    p = pipeline(backend, *nodes)
    p.execute(selects=["c"])
    assert pl.read_parquet("c.parquet").height == 6, "a was not selected: its sink is read"
    p.execute(selects=["a*"])
    assert pl.read_parquet("d.parquet").height == 1
    with pytest.raises(DefinitionError, match="did you mean|valid"):
        p.execute(selects=["zz"])


def test_single_parts(backend):
    numbers()
    p = pipeline(
        backend,
        node("a", "in.parquet", "a.parquet"),
        node("b", "a", "b.parquet", steps=["SELECT id, s FROM {df} WHERE id > 2"]),
    )
    for n in p.sorted_nodes:
        n.execute(write_sinks=False)
    assert not Path("b.parquet").exists()
    assert len(p.nodes_dict["b"].output_df.collect("polars")) == 3
    assert p.nodes_dict["b"].source.node_name == "a"
    frame = p.nodes_dict["a"].source.read()
    assert frame.collect_schema().names() == ["id", "x", "s"]
    done = p.nodes_dict["b"].transformer.execute(frame)
    assert sorted(done.collect("polars")["id"].to_list()) == [3, 4, 5]
    p.nodes_dict["b"].sinks[0].write(done)
    assert pl.read_parquet("b.parquet").height == 3
    sink = models.FileDataSink(path="native.csv", format="CSV", dataframe_backend=backend)
    sink.write(pl.DataFrame({"a": [1]}))
    assert [file.read_text() for file in files_at("native.csv")] == ["a\n1\n"]
    assert sink.exists()
    sink.purge()
    assert not sink.exists()
    mock = p.nodes_dict["a"]
    mock.source._df = pl.DataFrame({"id": [42], "x": [0.0], "s": ["mock"]})
    assert mock.execute(write_sinks=False).collect("polars")["s"].to_list() == ["mock"]


def test_data_in_memory(backend):
    p = pipeline(
        backend,
        node("a", {"data": {"x": [1, 2], "s": ["a", None]}}, "a.parquet"),
        node("b", {"data": [{"x": 1}, {"x": 2, "late": "v"}]}, "b.parquet"),
        node("c", {"df": pl.DataFrame({"x": [5]})}, "c.parquet"),
    )
    p.execute()
    assert pl.read_parquet("a.parquet").rows() == [(1, "a"), (2, None)]
    assert pl.read_parquet("b.parquet").rows() == [(1, None), (2, "v")]
    assert pl.read_parquet("c.parquet").rows() == [(5,)]


def test_custom_writer_and_context(backend, tmp_path, monkeypatch):
    name = f"custom_{os.urandom(4).hex()}"
    (tmp_path / f"{name}.py").write_text(
        "SEEN = []\n"
        "def write(df, tag, laktory_context):\n"
        "    SEEN.append((tag, laktory_context.node.name, df.collect('polars')['id'].to_list()))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    numbers(n=2)
    writer = {"custom_writer": {"func_name": f"{name}.write", "func_args": ["t"]}}
    pipeline(backend, node("a", "in.parquet", writer), imports=[name]).execute()
    assert sys.modules[name].SEEN == [("t", "a", [0, 1])]
    with pytest.raises(DefinitionError, match="'imports'"):
        pipeline(backend, node("a", "in.parquet", writer)).execute()


def test_nothing_is_read_or_written_when_the_definition_is_wrong(backend):
    p = pipeline(
        backend,
        node("a", "in.parquet", {"path": "a.xyz", "format": "XYZ"}),
        node("b", "a", "b.parquet", steps=["SELECT 1; SELECT 2"]),
    )
    with pytest.raises(DefinitionError) as caught:
        p.execute()
    assert len(caught.value.problems) == 2
    assert list(Path().iterdir()) == []


def test_unresolved_variables_stop_the_run(backend):
    p = pipeline(backend, node("a", "${vars.nowhere}.parquet", "a.parquet"))
    with pytest.raises(DefinitionError, match="nowhere"):
        p.execute()


def test_secrets_stay_out_of_logs_and_records(backend, capsys):
    numbers()
    p = pipeline(
        backend,
        node("a", "in.parquet", "a.parquet", steps=["SELECT *, '${vars.api_token}' AS t FROM {df}"]),
        variables={"api_token": "hunter2hunter2"},
    )
    p.execute()
    assert pl.read_parquet("a.parquet")["t"][0] == "hunter2hunter2"
    assert "hunter2" not in capsys.readouterr().out
    assert not [f for f in Path(".laktory").rglob("*.json*") if "hunter2" in f.read_text()]
    assert "hunter2" not in repr(p.inject_vars())


def test_version():
    assert lk.__version__ == lk.VERSION


def test_a_selected_node_reads_the_sink_that_kept_the_types(backend):
    numbers()
    p = pipeline(backend, node("a", "in.parquet", "a.csv", "a.parquet"), node("b", "a", "b.parquet"))
    p.execute(selects=["a"])
    p.execute(selects=["b"])
    assert pl.read_parquet("b.parquet").schema == pl.read_parquet("in.parquet").schema
    # another mode, other rows: the first sink counts
    parts = {"path": "c.csv", "format": "CSV", "mode": "APPEND"}
    p = pipeline(backend, node("a", "in.parquet", parts, "c.parquet"), node("b", "a", "b.parquet"))
    p.execute(selects=["a"])
    p.execute(selects=["a"])
    p.execute(selects=["b"])
    assert pl.read_parquet("b.parquet").height == 12


# ---- nodes that run alone ----------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["CSV", "JSONL", "JSON", "PARQUET"])
@pytest.mark.parametrize("path", ["mid/", "mid.file"])
def test_a_node_alone_gives_what_a_whole_run_gives(backend, format_, path):
    """Texts are `007`, numbers are numbers, whatever the file between them says of types."""
    pl.DataFrame({"id": [1, 2], "code": ["007", "12"], "day": [dt.date(2024, 1, 2), None]}).write_parquet("in.parquet")
    steps = [{"expr": "SELECT id + id AS twice, code || '!' AS code, day FROM {df}"}]
    p = pipeline(
        backend,
        node("a", "in.parquet", {"path": path, "format": format_}),
        node("b", "a", "out.parquet", steps=steps),
    )
    p.execute()
    whole = pl.read_parquet("out.parquet")
    assert whole.sort("twice").rows() == [(2, "007!", dt.date(2024, 1, 2)), (4, "12!", None)]
    fresh = models.Pipeline.model_validate(p.model_dump(exclude_unset=True))
    fresh.execute(selects=["b"])
    assert pl.read_parquet("out.parquet").sort("twice").equals(whole.sort("twice"))
    assert pl.read_parquet_schema("out.parquet") == dict(whole.schema)


def test_a_file_that_somebody_else_wrote_has_no_known_types(backend, capsys):
    pl.DataFrame({"id": [1, 2]}).write_parquet("in.parquet")
    p = pipeline(backend, node("a", "in.parquet", "mid.csv"), node("b", "a", "out.parquet"))
    p.execute()
    files_at("mid.csv")[0].write_text("id\nx\n")
    p.execute(selects=["b"])
    assert pl.read_parquet("out.parquet").rows() == [("x",)]
    assert "The types of mid.csv are not known" in capsys.readouterr().out


def test_a_node_alone_reads_the_first_sink_of_its_upstream(backend):
    pl.DataFrame({"id": [1, 2]}).write_parquet("in.parquet")
    a = node("a", "in.parquet", {"path": "log.csv", "format": "CSV", "mode": "APPEND"})
    count = [{"expr": "SELECT count(*) AS n FROM {df}"}]
    pipeline(backend, a).execute()
    a["sinks"].append({"path": "log.parquet", "format": "PARQUET", "mode": "APPEND"})
    p = pipeline(backend, a, node("b", "a", "out.parquet", steps=count))
    p.execute(selects=["a"])
    p.execute(selects=["b"])
    assert pl.read_parquet("out.parquet").rows() == [(4,)]


def test_a_node_alone_reads_what_another_pipeline_object_has_replaced(backend):
    pl.DataFrame({"id": [1, 2]}).write_parquet("in.parquet")
    nodes = node("a", "in.parquet", "a.parquet"), node("b", "a", "b.parquet")
    older = pipeline(backend, *nodes)
    older.execute()
    older.nodes_dict["a"].output_df.collect_schema()
    pl.DataFrame({"id": list(range(1000))}).write_parquet("in.parquet")
    pipeline(backend, *nodes).execute()
    assert older.nodes_dict["b"].execute().collect("polars").shape == (1000, 1)
