"""Sinks of whole pipelines: formats, modes, several of one node. Every engine."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from building import bytes_at, files_at, lines_at, node, numbers, pipeline, rows_of

from laktory import models
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError, SinkError, StepError

SEED = Path(__file__).parents[1] / "seed"


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
        before = bytes_at(sink["path"])
        with pytest.raises(SinkError, match="appending wants the same columns"):
            pipeline(backend, node("a", "in.parquet", sink, steps=["SELECT id, x AS other FROM {df}"])).execute()
        assert bytes_at(sink["path"]) == before


@pytest.mark.parametrize("format_", ["PARQUET", "IPC", "CSV", "JSONL"])
def test_appending_other_columns_to_a_directory_is_refused(backend, format_):
    numbers()
    sink = {"path": "out/", "format": format_, "mode": "APPEND"}
    pipeline(backend, node("a", "in.parquet", sink)).execute()
    before = sorted(Path("out").iterdir())
    for step in ("SELECT id, x, s, id AS more FROM {df}", "SELECT id, s FROM {df}"):
        with pytest.raises(SinkError, match="appending wants the same columns"):
            pipeline(backend, node("a", "in.parquet", sink, steps=[step])).execute()
    retyped = pipeline(backend, node("a", "in.parquet", sink, steps=["SELECT id, CAST(x AS STRING) AS x, s FROM {df}"]))
    if ENGINES[backend].formats[format_].typed:
        with pytest.raises(SinkError, match="column 'x' is Float64 there and String here; cast it"):
            retyped.execute()
        assert sorted(Path("out").iterdir()) == before
    pipeline(backend, node("a", "in.parquet", sink, steps=["SELECT s, x, id FROM {df}"])).execute()
    back = models.FileDataSource(path="out/", format=format_, dataframe_backend=backend).read().collect("polars")
    assert (back.columns, len(back)) == (["id", "x", "s"], 12)


def test_appending_to_partitions_wants_the_same_ones(backend):
    numbers(n=4)
    sink = {"path": "out/", "format": "PARQUET", "mode": "APPEND", "writer_kwargs": {"partition_by": "s"}}
    pipeline(backend, node("a", "in.parquet", sink)).execute()
    pipeline(backend, node("a", "in.parquet", sink, steps=["SELECT x, s, id FROM {df}"])).execute()
    with pytest.raises(SinkError, match=r"lacks \['more'\]"):
        pipeline(backend, node("a", "in.parquet", sink, steps=["SELECT id, x, s, id AS more FROM {df}"])).execute()
    with pytest.raises(SinkError, match=r"is partitioned by \['s'\], not by \[\]"):
        pipeline(backend, node("a", "in.parquet", {**sink, "writer_kwargs": {}})).execute()
    assert pl.read_parquet("out/**/*.parquet", hive_partitioning=True).height == 8


@pytest.mark.parametrize("path", ["out", "out/"])
@pytest.mark.parametrize("format_", ["PARQUET", "IPC"])
def test_nulls_without_a_type_are_appended_to_any_column(path, format_, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sink = {"path": path, "format": format_, "mode": "APPEND"}
    for values in ([1], [None], [2]):
        pipeline("POLARS", node("a", {"df": pl.DataFrame({"x": values})}, sink)).execute()
    back = models.FileDataSource(path=path, format=format_).read().collect("polars").to_native()
    assert back["x"].to_list() == [1, None, 2]
    assert back.schema == {"x": pl.Int64}


@pytest.mark.parametrize(
    ("source", "sink", "root", "message"),
    [
        ("data/raw.csv", "data/", ".laktory/p", "'data/' holds 'data/raw.csv', a source of node 'a'"),
        ("data/x/*.csv", "data/", ".laktory/p", r"'data/' holds 'data/x/\*.csv', a source of node 'a'"),
        ("in.csv", "out/", "out/.lak", "'out/' holds the root path of the pipeline"),
        ("in.csv", ".laktory/", "elsewhere", "'.laktory/' holds the runtime root"),
        ("in.csv", "root/", "root", "'root/' holds the root path of the pipeline"),
        ("in.csv", "root/runs/", "root", "'root/runs/' is where Laktory keeps its records"),
    ],
)
def test_a_directory_that_holds_what_the_pipeline_needs_is_refused(backend, source, sink, root, message):
    made = node("a", {"path": source, "format": "CSV"}, {"path": sink, "format": "CSV"})
    with pytest.raises(DefinitionError, match=message):
        pipeline(backend, made, root_path=root).execute()


@pytest.mark.parametrize("scheme", ["", "file://", "FILE://"])
def test_a_place_that_is_read_and_written_is_seen_however_it_is_spelled(backend, scheme):
    numbers(n=3)
    source = {"path": f"{scheme}{Path('in.parquet').absolute()}", "format": "PARQUET"}
    a, b = node("a", source), node("b", source, "in.parquet", steps=["SELECT id + 10 AS id FROM {df}"])
    p = pipeline(backend, a, {**b, "depends_on": ["a"]})
    assert p.plan().by_name["a"].how == "materialised"
    p.execute()
    assert p.nodes[0].output_df.collect("polars").to_native()["id"].to_list() == [0, 1, 2]
    inside = node(
        "a", {"path": f"{scheme}{Path('data/in.csv').absolute()}", "format": "CSV"}, {"path": "data/", "format": "CSV"}
    )
    with pytest.raises(DefinitionError, match="'data/' holds '.*data/in.csv', a source of node 'a'"):
        pipeline(backend, inside).execute()


def test_a_directory_with_files_of_another_kind_is_not_replaced(backend):
    numbers()
    sink = {"path": "out/", "format": "PARQUET"}
    p = pipeline(backend, node("a", "in.parquet", sink))
    p.execute()
    Path("out/_SUCCESS").touch()
    p.execute()
    for name in ("out/notes.txt", "out/.git/config"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("precious")
        with pytest.raises(SinkError, match=r"cannot replace the directory 'out/': it holds '.*out/(notes.txt|.git/)'"):
            p.execute()
        assert Path(name).read_text() == "precious"
        Path(name).unlink()
    pipeline(backend, node("a", "in.parquet", {**sink, "mode": "APPEND"})).execute()


@pytest.mark.parametrize("name", ["lock", "runs", "Intents"])
def test_names_of_what_lies_in_the_root_path_are_reserved(backend, name):
    numbers()
    with pytest.raises(DefinitionError, match=f"'{name}' is what Laktory itself keeps in the root path"):
        pipeline(backend, node(name, "in.parquet", "out.parquet")).plan()


def test_a_source_that_drops_all_its_columns_is_refused(backend):
    numbers()
    source = {"path": "in.parquet", "format": "PARQUET", "renames": {"x": "y"}, "drops": ["id", "y", "s"]}
    with pytest.raises(StepError, match=r"'drops' of source 'in\.parquet' leaves no column; columns: id, y, s"):
        pipeline(backend, node("a", source, "out.parquet")).execute()


def test_a_limit_of_open_files_is_told_with_what_helps(backend):
    numbers()
    script = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))
from laktory import models
source = {{"path": "in.parquet", "format": "PARQUET"}}
nodes = [
    {{"name": f"n{{i}}", "source": source, "sinks": [{{"path": f"o/{{i}}.parquet", "format": "PARQUET"}}]}}
    for i in range(200)
]
models.Pipeline(name="p", dataframe_backend="{backend}", nodes=nodes).execute()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "Too many open files; raise the limit with `ulimit -n`" in done.stderr
    assert not Path("o").exists()


def test_long_names(backend):
    numbers()
    long = "数" * 100
    p = pipeline(backend, node(long, "in.parquet", "a.csv"), node("b", long, "b.parquet"))
    p.execute()
    assert pl.read_parquet("b.parquet").height == 6
    with pytest.raises(DefinitionError, match="the root path holds a name of 300 bytes"):
        models.Pipeline(name=long, nodes=[node("a", "in.parquet", "a.csv")]).execute()
    with pytest.raises(SinkError, match="File name too long"):
        pipeline(backend, node("a", "in.parquet", f"{'x' * 300}.csv")).execute()


def test_a_directory_of_csv_in_a_dialect_keeps_its_header(backend):
    numbers()
    name = "separator" if backend == "POLARS" else "sep"
    sink = {"path": "out/", "format": "CSV", "mode": "APPEND", "writer_kwargs": {name: "|"}}
    pipeline(backend, node("a", "in.parquet", sink)).execute()
    with pytest.raises(SinkError, match="appending wants the same columns"):
        pipeline(backend, node("a", "in.parquet", sink, steps=["SELECT id, s FROM {df}"])).execute()
    pipeline(backend, node("a", "in.parquet", sink)).execute()
    assert len(list(Path("out").iterdir())) == 2


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
            backend, node("a", "in.parquet", sink, steps=["SELECT id, CAST(x AS STRING) AS x, s FROM {df}"])
        ).execute()
    assert (
        len(models.FileDataSource(path="out", format="DELTA", dataframe_backend=backend).read().collect("polars")) == 4
    )


@pytest.mark.parametrize("name", ["a b", "ü", "a#b", "a?b", "100%", "a{}", "x y/ü"])
def test_delta_tables_are_read_back_from_any_folder(backend, name):
    numbers(n=3)
    sink = {"path": f"{name}/t", "format": "DELTA", "mode": "APPEND", "writer_kwargs": {"partition_by": "s"}}
    p = pipeline(backend, node("a", "in.parquet", sink), node("b", "a", "b.parquet"))
    p.execute()
    p.execute()
    assert sorted(rows_of(p.nodes[0].sinks[0].read(), "id"), key=str) == [
        {"id": i, "x": float(i), "s": f"s{i}"} for i in (0, 0, 1, 1, 2, 2)
    ]
    assert pl.read_parquet("b.parquet")["id"].sort().to_list() == [0, 1, 2]


def test_a_delta_table_nobody_could_read_is_not_written(backend):
    numbers(n=3)
    with pytest.raises(SinkError, match=r"holds '%' and two digits"):
        pipeline(backend, node("a", "in.parquet", {"path": "a%20b/t", "format": "DELTA"})).execute()
    assert not Path("a%20b").exists()


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


@pytest.mark.parametrize("mode", ["OVERWRITE", "APPEND"])
@pytest.mark.parametrize("format_", ["PARQUET", "DELTA"])
def test_partition_columns_come_back_as_they_were(backend, format_, mode):
    pl.DataFrame({"k": ["01", "02"], "v": [1, 2]}).write_parquet("in.parquet")
    path = "o/" if format_ == "PARQUET" else "o"
    sink = {"path": path, "format": format_, "mode": mode, "writer_kwargs": {"partition_by": ["k"]}}
    p = pipeline(backend, node("a", "in.parquet", sink), node("c", "a", "c.parquet"))
    for _ in range(2):
        for name in ("a", "c"):
            p.nodes_dict[name].execute()
        assert pl.read_parquet("c.parquet").sort("k").rows() == [("01", 1), ("02", 2)]
        assert p.nodes_dict["a"].output_df.collect("polars").to_native().sort("k").rows() == [("01", 1), ("02", 2)]


@pytest.mark.parametrize("path", ["o.parquet", "o/"])
def test_a_misspelled_partition_by_is_guessed_for_files_too(backend, path):
    numbers()
    sink = {"path": path, "format": "PARQUET", "writer_kwargs": {"partition": ["s"]}}
    with pytest.raises(DefinitionError, match="(?s)no argument 'partition'.*did you mean 'partition_by'"):
        pipeline(backend, node("a", "in.parquet", sink)).execute()


@pytest.mark.parametrize("mode", ["OVERWRITE", "APPEND"])
def test_a_day_without_rows(backend, mode):
    numbers(n=3)
    sinks = [
        {"path": "p/", "format": "PARQUET", "mode": mode, "writer_kwargs": {"partition_by": "s"}},
        *({"path": f"o.{f.lower()}", "format": f, "mode": mode} for f in ("PARQUET", "CSV", "JSONL", "JSON", "IPC")),
        {"path": "d", "format": "DELTA", "mode": mode},
    ]
    none, some = ["SELECT * FROM {df} WHERE id < 0"], ["SELECT * FROM {df}"]
    for sink in sinks:
        for steps in (none, some, none):
            p = pipeline(backend, node("a", "in.parquet", sink, steps=steps))
            p.execute()
            assert len(p.nodes[0].output_df.collect("polars")) == (3 if steps is some else 0)


def test_text_in_a_dialect_of_its_own(backend):
    words = {
        "POLARS": {"separator": ";", "null_value": "NULL"},
        "DUCKDB": {"sep": ";", "nullstr": "NULL"},
        "PYSPARK": {"sep": ";", "nullValue": "NULL"},
    }[backend]
    pl.DataFrame({"a": [1, None], "b": ["x", None]}).write_parquet("in.parquet")
    sink = {"path": "o.csv", "format": "CSV", "mode": "APPEND", "writer_kwargs": words}
    for _ in range(2):
        p = pipeline(backend, node("a", "in.parquet", sink))
        p.execute()
        assert p.nodes[0].output_df.collect("polars").to_native().rows() == [(1, "x"), (None, None)]
    assert {file.read_text().partition("\n")[0] for file in files_at("o.csv")} == {"a;b"}
    assert lines_at("o.csv") == ["1;x", "NULL;NULL"] * 2
    with pytest.raises(SinkError, match="appending wants the same columns"):
        pipeline(backend, node("a", "in.parquet", sink, steps=["SELECT b FROM {df}"])).execute()


def test_outputs_of_one_node_agree_whatever_their_modes(backend):
    numbers(n=50)
    any_of_five = {"func_name": "unique", "func_kwargs": {"subset": ["p"], "keep": "any"}}
    steps = ["SELECT id, random() AS r FROM {df}"] if backend == "DUCKDB" else [any_of_five]
    source = {"path": "in.parquet", "format": "PARQUET", "selects": {"id": "id", "id % 5": "p"}}
    sinks = [{"path": "o1.parquet", "format": "PARQUET", "mode": "APPEND"}, "o2.parquet"]
    p = pipeline(backend, node("a", source, *sinks, steps=steps), node("b", "a", "b.parquet"))
    p.execute()
    p.execute()
    second = pl.read_parquet("o2.parquet").sort("id").rows()
    assert pl.read_parquet("o1.parquet").tail(len(second)).sort("id").rows() == second
    assert pl.read_parquet("b.parquet").sort("id").rows() == second
