"""Whole pipelines: one behaviour, every engine."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import polars as pl
import pytest

import laktory as lk
from laktory import models
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError, RunError, SinkError, SourceError, StepError, TargetLockedError

SEED = Path(__file__).parents[1] / "seed"


@pytest.fixture(params=list(ENGINES))
def backend(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return request.param


def events(folder="data/stock_prices", n=40):
    """Events in the seed's shape: n of them in two files, every fourth one repeated."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "name": "event",
            "data": {
                "created_at": f"2024-01-{1 + i // 2:02d}T09:30:00",
                "symbol": "AAPL" if i % 2 else "MSFT",
                "open": 100.0 + i,
                "close": 101.5 + i,
                "high": 102.0 + i,
                "low": 99.5 + i,
                "volume": 1000.0 * i,
            },
        }
        for i in range(n)
    ]
    rows += rows[::4]
    half = len(rows) // 2
    for name, part in (("a.json", rows[:half]), ("b.json", rows[half:])):
        Path(folder, name).write_text("".join(json.dumps(row) + "\n" for row in part))
    return n


def rows_of(frame, *by):
    return frame.collect("polars").to_native().sort(*by).rows(named=True)


def numbers(path="in.parquet", n=6):
    pl.DataFrame(
        {"id": list(range(n)), "x": [float(i) for i in range(n)], "s": [f"s{i}" for i in range(n)]}
    ).write_parquet(path)


def pipeline(backend, *nodes, **kwargs):
    return models.Pipeline(name="p", dataframe_backend=backend, nodes=list(nodes), **kwargs)


def node(name, source, *sinks, steps=None, **kwargs):
    source = {"node_name": source} if isinstance(source, str) and "." not in source else source
    source = {"path": source, "format": source.rpartition(".")[2].upper()} if isinstance(source, str) else source
    made = [s if isinstance(s, dict) else {"path": s, "format": s.rpartition(".")[2].upper()} for s in sinks]
    transformer = {"nodes": [{"expr": s} if isinstance(s, str) else s for s in steps]} if steps else None
    return {"name": name, "source": source, "sinks": made, "transformer": transformer, **kwargs}


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


# ---- sinks -----------------------------------------------------------------------------------

CELLS = [
    (engine, format_, mode)
    for engine, found in ENGINES.items()
    for format_, support in found.formats.items()
    for mode in support.modes
]


@pytest.mark.parametrize(("engine", "format_", "mode"), CELLS)
def test_every_format_and_mode(engine, format_, mode, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = {"DELTA": "out", "EXCEL": "out.xlsx"}.get(format_, f"out.{format_.lower()}")
    sink = {"path": target, "format": format_, "mode": mode}
    p = models.Pipeline(name="p", dataframe_backend=engine, nodes=[node("a", "in.parquet", sink)])

    def held():
        source = {"path": target, "format": format_}
        if format_ == "CSV":
            source["infer_schema"] = True
        return models.FileDataSource(**source, dataframe_backend=engine).read().collect("polars").to_native().sort("id")

    numbers(n=3)
    p.execute()
    first = held()
    assert first["id"].to_list() == [0, 1, 2]
    assert first["s"].to_list() == ["s0", "s1", "s2"]
    pl.DataFrame(
        {"id": [7], "x": [7.5], "s": [None]}, schema={"id": pl.Int64, "x": pl.Float64, "s": pl.String}
    ).write_parquet("in.parquet")
    if mode == "ERROR":
        with pytest.raises(SinkError, match="exists and the mode is ERROR"):
            p.execute()
    else:
        p.execute()
        assert p.nodes[0].output_df.collect("polars")["id"].to_list() == [7]
    expected = {"OVERWRITE": [7], "APPEND": [0, 1, 2, 7], "IGNORE": [0, 1, 2], "ERROR": [0, 1, 2]}[mode]
    assert held()["id"].to_list() == expected
    assert sorted(f.name for f in Path().iterdir()) == sorted([".laktory", "in.parquet", target])


@pytest.mark.parametrize("format_", ["PARQUET", "CSV", "JSONL"])
@pytest.mark.parametrize("mode", ["OVERWRITE", "APPEND"])
def test_directories_of_files(backend, format_, mode):
    numbers(n=3)
    sink = {"path": "out/", "format": format_, "mode": mode}
    p = pipeline(backend, node("a", "in.parquet", sink))
    p.execute()
    p.execute()
    back = models.FileDataSource(path="out/", format=format_, dataframe_backend=backend).read().collect("polars")
    assert len(back) == (6 if mode == "APPEND" else 3)
    assert len(p.nodes[0].output_df.collect("polars")) == 3
    assert sorted(f.name for f in Path().iterdir()) == [".laktory", "in.parquet", "out"]


def test_hive_partitions(backend):
    numbers(n=4)
    sink = {"path": "out/", "format": "PARQUET", "writer_kwargs": {"partition_by": "s"}}
    p = pipeline(backend, node("a", "in.parquet", sink), node("b", "a", "b.parquet"))
    p.execute()
    assert sorted(f.name for f in Path("out").iterdir()) == ["s=s0", "s=s1", "s=s2", "s=s3"]
    assert pl.read_parquet("b.parquet").select("id", "x", "s").sort("id").rows() == [
        (i, float(i), f"s{i}") for i in range(4)
    ]


def test_appending_other_columns_is_refused_and_leaves_the_file(backend):
    numbers()
    for format_ in ("PARQUET", "CSV", "JSONL", "JSON", "IPC"):
        sink = {"path": f"out.{format_.lower()}", "format": format_, "mode": "APPEND"}
        pipeline(backend, node("a", "in.parquet", sink)).execute()
        before = Path(sink["path"]).read_bytes()
        with pytest.raises(SinkError, match="appending wants the same columns"):
            pipeline(backend, node("a", "in.parquet", sink, steps=["SELECT id, x AS other FROM {df}"])).execute()
        assert Path(sink["path"]).read_bytes() == before


def test_delta_append_adds_columns_and_refuses_changed_types(backend):
    numbers(n=2)
    sink = {"path": "out", "format": "DELTA", "mode": "APPEND"}
    pipeline(backend, node("a", "in.parquet", sink)).execute()
    pipeline(backend, node("a", "in.parquet", sink, steps=["SELECT id, x, s, id + 1 AS more FROM {df}"])).execute()
    back = (
        models.FileDataSource(path="out", format="DELTA", dataframe_backend=backend)
        .read()
        .collect("polars")
        .to_native()
    )
    assert back.sort("id", "more", nulls_last=False).select("id", "more").rows() == [
        (0, None),
        (0, 1),
        (1, None),
        (1, 2),
    ]
    with pytest.raises(SinkError, match="'x'"):
        pipeline(
            backend, node("a", "in.parquet", sink, steps=["SELECT id, CAST(x AS VARCHAR) AS x, s FROM {df}"])
        ).execute()
    assert (
        len(models.FileDataSource(path="out", format="DELTA", dataframe_backend=backend).read().collect("polars")) == 4
    )


def test_several_sinks_of_one_node(backend):
    numbers()
    sinks = ["o.parquet", "o.csv", "o.jsonl", "o.json", "o.ipc", {"path": "o", "format": "DELTA"}]
    p = pipeline(backend, node("a", "in.parquet", *sinks), node("b", "a", "b.parquet"))
    p.execute()
    for path in sinks:
        source = path if isinstance(path, dict) else {"path": path, "format": path.rpartition(".")[2].upper()}
        frame = models.FileDataSource(**source, dataframe_backend=backend).read()
        assert [str(row["id"]) for row in rows_of(frame, "id")] == [str(i) for i in range(6)], source
    assert pl.read_parquet("b.parquet").height == 6


def test_consumers_get_exact_types_when_the_sink_has_none(backend):
    numbers()
    p = pipeline(
        backend,
        node("a", "in.parquet", "a.csv", steps=["SELECT id, CAST(x AS DECIMAL(10, 2)) AS d, '' AS e FROM {df}"]),
        node("b", "a", "b.parquet"),
    )
    p.execute()
    out = pl.read_parquet("b.parquet")
    assert out.schema["d"] == pl.Decimal(10, 2)
    assert out["e"].to_list() == [""] * 6


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


# ---- failures --------------------------------------------------------------------------------


def test_a_failed_branch_leaves_the_others_running(backend):
    numbers()
    Path("bad.parquet").write_bytes(b"before")
    p = pipeline(
        backend,
        node("a", "in.parquet", "a.parquet"),
        node("bad", "a", "bad.parquet", steps=["SELECT nothing FROM {df}"]),
        node("after", "bad", "after.parquet"),
        node("good", "a", "good.parquet"),
    )
    with pytest.raises(StepError, match="node 'bad'.*nothing") as caught:
        p.execute()
    assert caught.value.node == "bad"
    assert Path("bad.parquet").read_bytes() == b"before"
    assert not Path("after.parquet").exists()
    assert pl.read_parquet("good.parquet").height == 6
    assert {n["name"]: n["status"] for n in p.last_run["nodes"]} == {
        "a": "succeeded",
        "bad": "failed",
        "after": "skipped",
        "good": "succeeded",
    }
    assert sorted(f.name for f in Path().iterdir()) == [
        ".laktory",
        "a.parquet",
        "bad.parquet",
        "good.parquet",
        "in.parquet",
    ]


def test_several_failures_are_a_group(backend):
    numbers()
    p = pipeline(
        backend,
        node("a", "nothing_a.parquet", "a.parquet"),
        node("b", "nothing_b.parquet", "b.parquet"),
    )
    with pytest.raises(ExceptionGroup) as caught:
        p.execute()
    assert [type(error) for error in caught.value.exceptions] == [SourceError, SourceError]


def test_a_failure_while_writing_leaves_every_sink_of_the_node(backend):
    numbers()
    p = pipeline(backend, node("a", "in.parquet", "a.parquet", "a.csv"))
    p.execute()
    before = [Path(name).read_bytes() for name in ("a.parquet", "a.csv")]
    p = pipeline(
        backend, node("a", "in.parquet", "a.parquet", "a.csv", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    )
    with pytest.raises(RunError, match="node 'a'"):
        p.execute()
    assert [Path(name).read_bytes() for name in ("a.parquet", "a.csv")] == before
    assert not [f for f in Path().iterdir() if f.name.startswith(".laktory-")]


def test_resume_does_not_append_twice(backend):
    numbers(n=2)
    sink = {"path": "a.csv", "format": "CSV", "mode": "APPEND"}
    broken = [
        node("a", "in.parquet", sink),
        node("b", "a", "b.parquet", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"]),
    ]
    mended = [broken[0], node("b", "a", "b.parquet", steps=["SELECT id, s FROM {df}"])]
    with pytest.raises(RunError):
        pipeline(backend, *broken).execute()
    assert Path("a.csv").read_text().count("\n") == 3
    p = pipeline(backend, *mended)
    p.execute(resume=True)
    assert Path("a.csv").read_text().count("\n") == 3
    assert pl.read_parquet("b.parquet")["s"].sort().to_list() == ["s0", "s1"]
    assert [n["status"] for n in p.last_run["nodes"]] == ["resumed", "succeeded"]
    p.execute(resume=True)
    assert Path("a.csv").read_text().count("\n") == 5, "nothing was left to resume: a new run"


def test_resuming_again_and_again_does_not_append_twice(backend):
    numbers(n=2)
    sink = {"path": "a.csv", "format": "CSV", "mode": "APPEND"}
    first = [node("a", "in.parquet", sink), node("b", "a", "b.parquet")]
    failing = node("c", "in.parquet", "c.parquet", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    for resume in (False, True, True, True):
        with pytest.raises(RunError):
            pipeline(backend, *first, failing).execute(resume=resume)
    last = pipeline(backend, *first, node("c", "a", "c.parquet"))
    last.execute(resume=True)
    assert Path("a.csv").read_text().count("\n") == 3
    assert pl.read_parquet("c.parquet").height == 2
    assert [n["status"] for n in last.last_run["nodes"]] == ["resumed", "resumed", "succeeded"]


def test_resume_knows_a_frame_held_by_python(backend):
    numbers(n=2)
    sink = {"path": "a.csv", "format": "CSV", "mode": "APPEND"}
    held = node("a", {"df": pl.DataFrame({"x": [1]})}, sink)
    broken = node("b", "in.parquet", "b.parquet", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    for resume in (False, True):
        with pytest.raises(RunError):
            pipeline(backend, held, broken).execute(resume=resume)
    assert Path("a.csv").read_text() == "x\n1\n"


def test_what_was_appended_and_lost_is_not_appended_again(backend):
    numbers(n=2)
    sink = {"path": "a.csv", "format": "CSV", "mode": "APPEND"}
    broken = node("b", "a", "b.parquet", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    with pytest.raises(RunError):
        pipeline(backend, node("a", "in.parquet", sink), broken).execute()
    for file in Path(".laktory").rglob("scratch/*"):
        file.unlink()
    with pytest.raises(RunError, match="cannot resume"):
        pipeline(backend, node("a", "in.parquet", sink), broken).execute(resume=True)
    assert Path("a.csv").read_text().count("\n") == 3


def test_resume_runs_what_changed(backend):
    numbers(n=2)
    bad = node("b", "a", "b.parquet", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    with pytest.raises(RunError):
        pipeline(backend, node("a", "in.parquet", "a.parquet"), bad).execute()
    p = pipeline(backend, node("a", "in.parquet", "a.parquet", comment="new"), node("b", "a", "b.parquet"))
    p.execute(resume=True)
    assert [n["status"] for n in p.last_run["nodes"]] == ["succeeded", "succeeded"]


def test_full_refresh_replaces_and_a_failed_one_keeps(backend):
    numbers(n=2)
    sink = {"path": "a.parquet", "format": "PARQUET", "mode": "APPEND"}
    p = pipeline(backend, node("a", "in.parquet", sink))
    p.execute()
    p.execute()
    assert pl.read_parquet("a.parquet").height == 4
    failing = pipeline(backend, node("a", "in.parquet", sink, steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"]))
    with pytest.raises(RunError):
        failing.execute(full_refresh=True)
    assert pl.read_parquet("a.parquet").height == 4
    p.execute(refresh="full")
    assert pl.read_parquet("a.parquet").height == 2
    with pytest.raises(DefinitionError, match="INCREMENTAL"):
        p.execute(refresh="SOME")


def test_two_runs_on_one_target(backend):
    numbers()
    p = pipeline(backend, node("a", "in.parquet", "a.parquet"))
    from laktory.runtime.writing import sink_target
    from laktory.storage import Locks

    target = sink_target(p.nodes[0].sinks[0])
    with Locks.acquire([target], owner="another run"), pytest.raises(TargetLockedError, match="another run"):
        p.execute()
    p.execute()


def test_two_sinks_on_one_target_are_refused(backend):
    numbers()
    p = pipeline(backend, node("a", "in.parquet", "o.parquet"), node("b", "in.parquet", "./x/../o.parquet"))
    with pytest.raises(DefinitionError, match="one would undo the other"):
        p.execute()
    folder = {"path": "o/", "format": "CSV"}
    p = pipeline(backend, node("a", "in.parquet", folder), node("b", "in.parquet", "o/b.parquet"))
    with pytest.raises(DefinitionError, match="lies inside the place"):
        p.execute()
    assert not Path(".laktory").exists()


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
    assert Path("native.csv").read_text() == "a\n1\n"
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
