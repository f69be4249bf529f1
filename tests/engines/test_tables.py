"""Tables and views by name, through the catalogs of the engine that has some; the others say who has."""

import json
import uuid
from pathlib import Path

import polars as pl
import pytest
from building import node, numbers, pipeline

from laktory import models, register_spark_session
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError, RunError, SinkError, SourceError, StepError, TargetLockedError
from laktory.runtime import tables as table_room
from laktory.runtime.sessions import standing

BARE = [name for name, engine in ENGINES.items() if not engine.tables]
FORMATS = sorted(ENGINES["PYSPARK"].table_formats)


@pytest.fixture
def schema(tmp_path, monkeypatch):
    """A schema of its own that does not exist yet; gone afterwards with all it holds."""
    monkeypatch.chdir(tmp_path)
    numbers(n=3)
    name = f"s{uuid.uuid4().hex[:8]}"
    yield name
    spark = standing().get("PYSPARK")._spark
    if spark.catalog.databaseExists(name):
        spark.sql(f"DROP SCHEMA {name} CASCADE").collect()


def table(schema, name="t", **kwargs):
    return {"schema_name": schema, "table_name": name, **kwargs}


def made(schema, name="t", **kwargs):
    return models.UnityCatalogDataSink(**table(schema, name, **kwargs), dataframe_backend="PYSPARK")


def held(schema, name="t", column="id"):
    return sorted(made(schema, name).read().collect("polars")[column].to_list())


def change(*ids):
    pl.DataFrame(
        {"id": list(ids), "x": [float(i) for i in ids], "s": [f"s{i}" for i in ids]},
        schema={"id": pl.Int64, "x": pl.Float64, "s": pl.String},
    ).write_parquet("in.parquet")


def spark(*nodes, **kwargs):
    return pipeline("PYSPARK", *nodes, **kwargs)


# ---- engines ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BARE)
def test_engines_without_tables_name_the_one_that_has_some(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers()
    with pytest.raises(DefinitionError, match=rf"(?s)sources\[0\].table_name.*{name} backend.*only by PYSPARK"):
        pipeline(name, node("a", {"table_name": "b.c"}, "out.parquet")).execute()
    with pytest.raises(DefinitionError, match=rf"(?s)sinks\[0\].table_name.*{name} backend.*only by PYSPARK"):
        pipeline(name, node("a", "in.parquet", {"table_name": "b.c"})).execute()
    sink = models.HiveMetastoreDataSink(table_name="b.c", dataframe_backend=name)
    for verb in (sink.exists, sink.purge, sink.read):
        with pytest.raises(DefinitionError, match="only by PYSPARK"):
            verb()


def test_formats_of_tables_that_an_engine_has_not(schema):
    for format_ in {"AVRO", "DELTA", "ORC", "PARQUET"} - ENGINES["PYSPARK"].table_formats:
        with pytest.raises(DefinitionError, match=f"tables of the format '{format_}' cannot be written"):
            spark(node("a", "in.parquet", table(schema, format=format_))).execute()


def test_iceberg_is_refused_with_the_reason(backend):
    words = {"PYSPARK": "Iceberg tables of Sail"} if ENGINES["PYSPARK"].variant else {"PYSPARK": "no Iceberg runtime"}
    numbers()
    place = {"path": "t", "format": "ICEBERG"}
    for refused in (node("a", place, "out.parquet"), node("a", "in.parquet", place)):
        with pytest.raises(DefinitionError, match=rf"ICEBERG.*{words.get(backend, 'no Iceberg tables')}"):
            pipeline(backend, refused).plan()
    if ENGINES[backend].tables:
        with pytest.raises(DefinitionError, match=f"ICEBERG.*{words[backend]}"):
            pipeline(backend, node("a", "in.parquet", {"table_name": "b.c", "format": "ICEBERG"})).plan()


def test_a_session_with_an_iceberg_catalog_brings_its_tables():
    own = standing().get("PYSPARK")._spark
    key = "spark.sql.catalog.ice"
    own.conf.set(key, "org.apache.iceberg.spark.SparkCatalog")
    try:
        register_spark_session(own)
        spark(node("a", "in.parquet", {"table_name": "ice.b.c", "format": "ICEBERG"})).plan()
        with pytest.raises(DefinitionError, match="ICEBERG is a format of tables.*\n.*table_name"):
            spark(node("a", {"path": "t", "format": "ICEBERG"}, "out/")).plan()
    finally:
        own.conf.unset(key)
        register_spark_session(None)
    with pytest.raises(DefinitionError, match="ICEBERG"):
        spark(node("a", "in.parquet", {"table_name": "ice.b.c", "format": "ICEBERG"})).plan()


# ---- formats and modes -----------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("mode", [None, "OVERWRITE", "APPEND", "IGNORE", "ERROR", "ERRORIFEXISTS"])
def test_every_format_and_mode(schema, format_, mode):
    p = spark(node("a", "in.parquet", table(schema, format=format_, mode=mode)))
    p.execute()
    assert held(schema) == [0, 1, 2]
    assert held(schema, column="s") == ["s0", "s1", "s2"]
    change(7)
    if mode in {"ERROR", "ERRORIFEXISTS"}:
        with pytest.raises(SinkError, match="exists and the mode is ERROR"):
            p.execute()
    else:
        p.execute()
        assert p.nodes[0].output_df.collect("polars")["id"].to_list() == [7]
    assert held(schema) == {None: [7], "OVERWRITE": [7], "APPEND": [0, 1, 2, 7]}.get(mode, [0, 1, 2])


def test_a_full_refresh_replaces_what_is_appended(schema):
    p = spark(node("a", "in.parquet", table(schema, mode="APPEND")))
    p.execute()
    p.execute(full_refresh=True)
    assert held(schema) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["UNITY_CATALOG", "HIVE_METASTORE"])
def test_sources_and_verbs(schema, kind):
    sink_class = {"UNITY_CATALOG": models.UnityCatalogDataSink, "HIVE_METASTORE": models.HiveMetastoreDataSink}[kind]
    sink = sink_class(table_name=f"{schema}.t", dataframe_backend="PYSPARK")
    assert sink.exists() is False
    sink.purge()
    sink.write(pl.DataFrame({"id": [1, 2]}))
    assert sink.exists() is True
    sink.write(pl.DataFrame({"id": [3]}), mode="APPEND")
    source = {"type": kind, "table_name": f"{schema}.t", "filter": "id > 1", "renames": {"id": "n"}}
    p = spark(node("b", source, "out/"), node("c", "b", "c/"))
    for n in p.nodes:
        n.sinks[0].format = "PARQUET"
    p.execute()
    assert sorted(p.nodes[1].output_df.collect("polars")["n"].to_list()) == [2, 3]
    assert type(sink.as_source()).__name__ == type(p.nodes[0].source).__name__
    sink.purge()
    assert sink.exists() is False
    with pytest.raises(SourceError, match=rf"{schema}.t"):
        sink.read()


def test_methods_and_options_reach_reader_and_writer(schema):
    methods = [{"name": "partitionBy", "args": ["s"]}]
    sink = table(schema, format="PARQUET", writer_methods=methods, writer_kwargs={"compression": "gzip"})
    spark(node("a", "in.parquet", sink)).execute()
    files = [str(p) for p in held_files(schema)]
    assert files and all("/s=s" in path for path in files)
    sink["writer_methods"] = [{"name": "save"}]
    with pytest.raises(RunError, match="writer method 'save'"):
        spark(node("a", "in.parquet", sink)).execute()
    source = table(schema, reader_methods=[{"name": "load"}])
    with pytest.raises(RunError, match="reader method 'load'"):
        spark(node("a", source, table(schema, "u"))).execute()
    made(schema, "d").write(pl.DataFrame({"id": [1]}))
    made(schema, "d").write(pl.DataFrame({"id": [2]}))
    source = models.UnityCatalogDataSource(
        table_name=f"{schema}.d", reader_kwargs={"versionAsOf": 0}, dataframe_backend="PYSPARK"
    )
    assert source.read().collect("polars")["id"].to_list() == [1]


def held_files(schema):
    frame = made(schema).read().to_native()
    return list(location(frame, schema).rglob("*.parquet"))


def location(frame, schema):
    rows = frame.sparkSession.sql(f"DESCRIBE TABLE EXTENDED {schema}.t").collect()
    return Path(next(row[1] for row in rows if row[0] == "Location").removeprefix("file:"))


def test_a_table_at_a_place_of_its_own_goes_with_its_files(schema, tmp_path):
    sink = made(schema, writer_kwargs={"path": str(tmp_path / "place")})
    sink.write(pl.DataFrame({"id": [1]}))
    assert (tmp_path / "place" / "_delta_log").is_dir()
    sink.purge()
    assert not sink.exists() and not (tmp_path / "place").exists()


# ---- what is there ---------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["DELTA", "PARQUET"])
def test_appending_finds_columns_by_name_and_refuses_other_types(schema, format_):
    sink = made(schema, format=format_, mode="APPEND")
    sink.write(pl.DataFrame({"id": [1], "s": ["a"]}))
    sink.write(pl.DataFrame({"s": ["b"], "id": [2]}))
    assert held(schema, column="s") == ["a", "b"]
    for frame, words in (
        ({"id": ["x"], "s": ["a"]}, "column 'id' is Int64 there and String here"),
        ({"ID": [1], "s": ["a"]}, "only in case"),
    ):
        with pytest.raises(SinkError, match=words):
            sink.write(pl.DataFrame(frame))
    other = made(schema, format="PARQUET" if format_ == "DELTA" else "DELTA", mode="APPEND")
    with pytest.raises(SinkError, match=f"its format is {format_}"):
        other.write(pl.DataFrame({"id": [3], "s": ["c"]}))
    assert held(schema) == [1, 2]


def test_appending_more_columns(schema):
    sink = made(schema, mode="APPEND")
    sink.write(pl.DataFrame({"id": [1]}))
    more = pl.DataFrame({"id": [2], "y": [1.5]})
    if ENGINES["PYSPARK"].appends_once:  # Sail would leave the column out
        sink.write(more)
        assert sorted(sink.read().collect("polars").rows(), key=str) == [(1, None), (2, 1.5)]
    else:
        with pytest.raises(SinkError, match="the table lacks \\['y'\\]"):
            sink.write(more)
    plain = made(schema, "p", format="PARQUET", mode="APPEND")
    plain.write(pl.DataFrame({"id": [1]}))
    with pytest.raises(SinkError, match="the table lacks \\['y'\\]"):
        plain.write(more)


def test_overwriting_changes_columns(schema):
    for format_ in ("DELTA", "PARQUET"):
        sink = made(schema, f"t_{format_}", format=format_)
        sink.write(pl.DataFrame({"id": [1]}))
        sink.write(pl.DataFrame({"z": ["a"]}))
        assert sink.read().collect("polars").rows() == [("a",)]


@pytest.mark.parametrize("format_", ["DELTA", "PARQUET"])
def test_a_table_made_from_itself(schema, format_):
    made(schema, format=format_).write(pl.DataFrame({"id": [1, 2, 3]}))
    p = spark(node("a", table(schema, filter="id > 1"), table(schema, format=format_)))
    p.execute()
    p.execute()
    assert held(schema) == [2, 3]


def test_what_fails_leaves_the_table(schema):
    for format_ in ("DELTA", "PARQUET"):
        made(schema, format=format_).write(pl.DataFrame({"id": [5]}))
        step = "SELECT CAST(s AS INT) AS id FROM {df}"
        with pytest.raises(RunError):
            spark(node("a", "in.parquet", table(schema, format=format_), steps=[step])).execute()
        assert held(schema) == [5]
        made(schema).purge()


# ---- several sinks, rules, consumers ---------------------------------------------------------


@pytest.mark.filterwarnings("ignore::laktory.errors.DataQualityWarning")
def test_several_sinks_rules_and_quarantine(schema):
    rules = [{"name": "small", "expr": "id < 2", "action": "QUARANTINE"}]
    sinks = [table(schema), table(schema, "bad", is_quarantine=True), {"path": "out/", "format": "PARQUET"}]
    p = spark(node("a", "in.parquet", *sinks, expectations=rules), node("b", "a", table(schema, "down")))
    p.execute()
    assert held(schema) == held(schema, "down") == [0, 1]
    assert held(schema, "bad") == [2]
    shown = p._last_run["nodes"][0]["sinks"]
    assert [(sink.get("table"), sink["rows"]) for sink in shown] == [
        (None, 2), (f"{schema}.t", 2), (f"{schema}.bad", 1),
    ]  # fmt: skip
    with pytest.raises(RunError):
        bad = [{"name": "none", "expr": "id < 0", "action": "FAIL"}]
        spark(node("a", "in.parquet", table(schema, "never"), expectations=bad)).execute()
    assert not made(schema, "never").exists()


def test_a_table_that_refuses_stops_the_node_before_its_files(schema):
    made(schema).write(pl.DataFrame({"id": [1]}))
    sinks = [{"path": "out/", "format": "PARQUET"}, table(schema, mode="ERROR")]
    with pytest.raises(SinkError, match="mode is ERROR"):
        spark(node("a", "in.parquet", *sinks)).execute()
    assert not Path("out").exists()


def test_nodes_that_run_without_the_other_read_its_table(schema):
    p = spark(node("a", "in.parquet", table(schema)), node("b", "a", "out/"))
    p.nodes[1].sinks[0].format = "PARQUET"
    p.execute()
    change(8, 9)
    p.execute(selects=["b"])
    assert sorted(p.nodes[1].output_df.collect("polars")["id"].to_list()) == [0, 1, 2]


def test_a_node_on_another_engine_reads_the_table(schema):
    consumer = node("b", "a", "out.parquet") | {"dataframe_backend": "POLARS"}
    p = spark(node("a", "in.parquet", table(schema)), consumer)
    p.execute()
    p.execute(selects=["b"])
    assert sorted(pl.read_parquet("out.parquet")["id"].to_list()) == [0, 1, 2]


def test_the_plan_shows_full_names(schema):
    p = spark(node("a", {"table_name": "src.in"}, {"catalog_name": "c", "table_name": "d.e", "mode": "APPEND"}))
    plan = p.plan() if hasattr(p, "plan") else models.PipelineExecutionPlan(p)
    [write] = plan.nodes[0].writes
    [read] = plan.nodes[0].reads
    assert (write.kind, write.what, write.format, write.mode) == ("TABLE", "c.d.e", "DELTA", "APPEND")
    assert (read.kind, read.what) == ("UNITY_CATALOG", "src.in")


def test_nodes_that_meet_in_a_table(schema):
    with pytest.raises(DefinitionError, match="one would undo the other"):
        spark(node("a", "in.parquet", table("x")), node("b", "in.parquet", {"table_name": "X.t"})).execute()
    with pytest.raises(DefinitionError, match="nothing says which of them runs first"):
        spark(node("a", "in.parquet", table("x")), node("b", table("x"), table("x", "u"))).execute()


def test_two_runs_do_not_write_one_table_at_once(schema):
    sink = made(schema)
    with table_room_lock(sink), pytest.raises(TargetLockedError, match=f"{schema}.t"):
        sink.write(pl.DataFrame({"id": [1]}))
    with table_room_lock(sink), pytest.raises(TargetLockedError, match=f"{schema}.t"):
        spark(node("a", "in.parquet", table(schema))).execute()


def table_room_lock(sink):
    from laktory.storage import Locks

    return Locks.acquire([table_room.lock_target(sink)], owner="another run")


# ---- kills -----------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a process that ends: nothing after it is written."""


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("mode", [None, "APPEND", "ERROR", "IGNORE"])
@pytest.mark.parametrize("format_", ["DELTA", "PARQUET"])
@pytest.mark.parametrize("there", [True, False])
def test_a_run_killed_around_a_write_is_resumed(schema, monkeypatch, format_, mode, before, there):
    if there and mode in {"ERROR", "IGNORE"}:
        return
    if there:
        made(schema, format=format_).write(pl.DataFrame({"id": [9], "x": [9.0], "s": ["s9"]}))
    p = spark(node("a", "in.parquet", table(schema, format=format_, mode=mode)))
    real = table_room._write

    def cut(*args):
        if not before:
            real(*args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(table_room, "_write", cut)
        with pytest.raises(Killed):
            p.execute()
    once = format_ in ENGINES["PYSPARK"].appends_once
    if mode == "APPEND" and there and not once:
        with pytest.raises(RunError, match="its rows may be there, or not"):
            p.execute(resume=True)
        assert held(schema) == ([9] if before else [0, 1, 2, 9])
        return
    p.execute(resume=True)
    assert held(schema) == ([0, 1, 2, 9] if mode == "APPEND" and there else [0, 1, 2])


def test_a_node_that_runs_anew_writes_all_of_its_tables(schema, monkeypatch):
    def of(factor):
        sinks = [table(schema), table(schema, "u")]
        return spark(node("a", "in.parquet", *sinks, steps=[f"SELECT id * {factor} AS id FROM {{df}}"]))

    real = table_room._write

    def second_fails(one, *args):
        if one.number == 1:
            raise SinkError("the disk is full")
        real(one, *args)

    with monkeypatch.context() as patch:
        patch.setattr(table_room, "_write", second_fails)
        with pytest.raises(SinkError, match="disk is full"):
            of(1).execute()
    of(10).execute(resume=True)
    assert held(schema) == held(schema, "u") == [0, 10, 20]


def test_a_finished_table_is_not_written_again(schema, monkeypatch):
    sinks = [table(schema, mode="APPEND"), table(schema, "u", mode="APPEND")]
    p = spark(node("a", "in.parquet", *sinks))
    real, calls = table_room._write, []

    def second_fails(one, *args):
        calls.append(one.number)
        if one.number == 1 and len(calls) == 2:
            raise SinkError("the disk is full")
        real(one, *args)

    monkeypatch.setattr(table_room, "_write", second_fails)
    with pytest.raises(SinkError, match="disk is full"):
        p.execute()
    p.execute(resume=True)
    assert calls == [0, 1, 1]
    assert held(schema) == held(schema, "u") == [0, 1, 2]
    ledger = [json.loads(line) for line in max(Path().rglob("ledger.jsonl")).read_text().splitlines()]
    assert schema not in json.dumps(ledger)


# ---- views -----------------------------------------------------------------------------------


def view(schema, name="v", **kwargs):
    return table(schema, name, table_type="VIEW", **kwargs)


def test_views_of_the_transformer(schema):
    p = spark(
        node("a", "in.parquet", table(schema)),
        node("v", "a", view(schema), steps=["SELECT d.id * 2 AS d, '{x}' AS b FROM {df} d WHERE d.id > 0;"]),
        node("w", {"table_name": f"{schema}.v"}, view(schema, "w"), steps=["SELECT d FROM {df} LIMIT 1"])
        | {"depends_on": ["v"]},
        node("n", "v", "n/"),
    )
    p.nodes[3].sinks[0].format = "PARQUET"
    p.execute()
    assert held(schema, "v", "d") == [2, 4]
    assert len(held(schema, "w", "d")) == 1
    assert sorted(p.nodes[3].output_df.collect("polars").rows()) == [(2, "{x}"), (4, "{x}")]
    change(7)
    p.execute(selects=["a"])
    assert held(schema, "v", "d") == [14]
    made(schema, "v").purge()
    assert not made(schema, "v").exists() and made(schema).exists()
    assert p.nodes[1].execute(write_sinks=False).collect("polars")["d"].to_list() == [14]
    assert not made(schema, "v").exists()


def test_views_with_a_definition_of_their_own(schema):
    made(schema).write(pl.DataFrame({"id": [1, 2]}))
    p = spark(node("v", table(schema), table(schema, "v", view_definition="SELECT id FROM {df} WHERE id = 2")))
    assert p.nodes[0].sinks[0].table_type == "VIEW"
    p.execute()
    assert held(schema, "v") == [2]
    alone = models.UnityCatalogDataSink(table_name=f"{schema}.one", table_type="VIEW", dataframe_backend="PYSPARK")
    alone.write(view_definition="SELECT 1 AS id")
    assert held(schema, "one") == [1]
    with pytest.raises(DefinitionError, match="no frame|DROP|query"):
        alone.write(view_definition="DROP TABLE x")


def test_a_view_and_a_table_do_not_replace_one_another(schema):
    made(schema).write(pl.DataFrame({"id": [1]}))
    with pytest.raises(SinkError, match="is a table, and no view"):
        spark(node("v", table(schema), view(schema, "t"), steps=["SELECT * FROM {df}"])).execute()
    spark(node("v", table(schema), view(schema, "v"), steps=["SELECT * FROM {df}"])).execute()
    with pytest.raises(SinkError, match="is a view, and no table"):
        spark(node("a", "in.parquet", table(schema, "v"))).execute()
    assert held(schema) == held(schema, "v") == [1]


def test_a_view_of_a_column_that_is_not_there(schema):
    made(schema).write(pl.DataFrame({"id": [1]}))
    with pytest.raises(StepError, match="nope"):
        spark(node("v", table(schema), view(schema), steps=["SELECT nope FROM {df}"])).execute()


@pytest.mark.parametrize(
    ("source", "sinks", "steps", "more", "words"),
    [
        (table("s"), [view("s")], None, {}, "View definition must be provided"),
        (table("s"), [view("s")], ["SELECT 1 AS a", "SELECT * FROM {df}"], {}, "exactly one SQL step"),
        (table("s"), [view("s")], [{"func_name": "head"}], {}, "exactly one SQL step"),
        (table("s"), [view("s"), "out.parquet"], ["SELECT * FROM {df}"], {}, "makes a view, and this sink is none"),
        ("in.parquet", [view("s")], ["SELECT * FROM {df}"], {}, "a view reads tables, or nodes"),
        (table("s", filter="a > 1"), [view("s")], ["SELECT * FROM {df}"], {}, "'filter' is not applied"),
        (
            table("s"),
            [view("s")],
            ["SELECT * FROM {df}"],
            {"expectations": [{"name": "r", "expr": "a > 1"}]},
            "expectations cannot judge",
        ),
        ("up", [view("s")], ["SELECT * FROM {df}"], {}, "Source node 'up' sink is not of type `TableDataSink`"),
        (
            table("s"),
            [view("s")],
            ["SELECT * FROM {nodes.up}"],
            {},
            "Source node 'up' sink is not of type `TableDataSink`",
        ),
        (
            table("s"),
            [table("s", "v", view_definition="DELETE FROM {df}")],
            None,
            {},
            "only queries|a query|DELETE",
        ),
        (table("s"), [view("s", mode="APPEND")], ["SELECT * FROM {df}"], {}, "it has no mode 'APPEND'"),
        (table("s"), [view("s", is_quarantine=True)], ["SELECT 1 AS a"], {}, "no meaning for a view"),
    ],
)
def test_views_that_cannot_be(schema, source, sinks, steps, more, words):
    with pytest.raises(DefinitionError, match=words):
        spark(node("up", "in.parquet", "up/"), node("v", source, *sinks, steps=steps, **more)).execute()


# ---- the user's folder -----------------------------------------------------------------------


def test_nothing_is_left_in_the_folder_where_no_table_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers(n=3)
    p = spark(node("a", "in.parquet", "out/", steps=["SELECT * FROM {df}"]))
    p.nodes[0].sinks[0].format = "PARQUET"
    p.execute()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".laktory", "in.parquet", "out"]
