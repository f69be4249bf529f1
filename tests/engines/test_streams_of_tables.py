"""Tables by name that are followed, and those that a stream adds to: each row once, whatever happens in between."""

import json
import os
import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from building import node, pipeline

from laktory import models
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError, RunError, SinkError, SourceError
from laktory.runtime import streaming
from laktory.runtime import tables as table_room
from laktory.runtime.sessions import standing
from laktory.runtime.streaming import Checkpoint

SOURCE = {"path": "in/", "format": "JSONL", "as_stream": True}
RULES = [{"name": "odd", "expr": "id % 2 = 1", "action": "QUARANTINE"}]
CLASSIC = os.environ.get("LAKTORY_SPARK_REMOTE") is None


@pytest.fixture
def schema(tmp_path, monkeypatch):
    """A schema of its own; None where the engine reads no streams and says so, which is what is tested of it."""
    monkeypatch.chdir(tmp_path)
    name = f"s{uuid.uuid4().hex[:8]}"
    if not CLASSIC:
        put(1, [1])
        with pytest.raises((DefinitionError, RunError), match="stream"):
            pipeline("PYSPARK", node("a", SOURCE, table(name))).execute()
        yield None
        return
    yield name
    spark = standing().get("PYSPARK")._spark
    spark.sql(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def put(number, ids):
    Path("in").mkdir(exist_ok=True)
    Path("in", f"{number}.jsonl").write_text("".join(json.dumps({"id": i, "s": f"s{i}"}) + "\n" for i in ids))


def table(schema, name="t", **kwargs):
    return {"schema_name": schema, "table_name": name, **kwargs}


def made(schema, name="t", **kwargs):
    return models.UnityCatalogDataSink(**table(schema, name, **kwargs), dataframe_backend="PYSPARK")


def held(schema, name="t"):
    return sorted(made(schema, name).read().collect("polars")["id"].to_list())


def files(path="out"):
    return sorted(pl.read_parquet(f"{path}/*.parquet")["id"].to_list())


# ---- tables that are followed ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["UNITY_CATALOG", "HIVE_METASTORE"])
def test_only_what_is_added_to_a_table_is_read(schema, kind):
    if schema is None:
        return
    made(schema).write(pl.DataFrame({"id": [1, 2]}))
    source = table(schema, type=kind, as_stream=True, filter="id > 1", reader_kwargs={"maxFilesPerTrigger": 1})
    p = pipeline("PYSPARK", node("a", source, {"path": "out/", "format": "PARQUET"}))
    p.execute()
    assert files() == [2]
    for new in (3, 4):
        made(schema).write(pl.DataFrame({"id": [new]}), mode="APPEND")
    p.execute()
    assert files() == [2, 3, 4]
    assert p.last_run["nodes"][0]["rows_out"] == 2
    p.execute()
    assert p.last_run["nodes"][0]["rows_out"] == 0
    made(schema).write(pl.DataFrame({"id": [9]}))
    with pytest.raises(SourceError, match=f"{schema}.t.*was replaced.*full_refresh"):
        p.execute()
    p.execute(full_refresh=True)
    assert files() == [9]


def test_tables_that_do_not_tell_what_is_added(schema):
    if schema is None:
        return
    p = pipeline("PYSPARK", node("a", table(schema, as_stream=True), {"path": "out/", "format": "PARQUET"}))
    with pytest.raises(SourceError, match=f"no table '{schema}.t'"):
        p.execute()
    made(schema, format="PARQUET").write(pl.DataFrame({"id": [1]}))
    with pytest.raises(SourceError, match="has the format PARQUET: as a stream, only Delta tables"):
        p.execute()
    made(schema).purge()
    made(schema).write(view_definition="SELECT 1 AS id")
    with pytest.raises(SourceError, match="is a view: as a stream, only Delta tables"):
        p.execute()
    assert not Path("out").exists()


def test_a_node_follows_the_table_of_another_one(schema):
    if schema is None:
        return
    first = node("a", SOURCE, table(schema), expectations=RULES)
    second = node(
        "b", {"node_name": "a", "as_stream": True}, table(schema, "u"), steps=["SELECT id * 10 AS id FROM {df}"]
    )
    whole = node("c", "a", table(schema, "n"), steps=["SELECT COUNT(*) AS id FROM {df}"])
    p = pipeline("PYSPARK", first, second, whole)
    for number, new in enumerate(([1, 2], [3], [4, 5])):
        put(number, new)
        with pytest.warns(Warning) if number != 1 else no_warning():
            p.execute()
    assert held(schema) == [1, 3, 5]
    assert held(schema, "u") == [10, 30, 50]
    assert held(schema, "n") == [3]
    put(9, [7])
    p.execute(selects=["a"])
    p.execute(selects=["b"])
    assert held(schema, "u") == [10, 30, 50, 70]


def no_warning():
    from contextlib import nullcontext

    return nullcontext()


# ---- tables that a stream adds to ------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::laktory.errors.DataQualityWarning")
def test_steps_rules_and_all_sinks_see_each_batch(schema):
    if schema is None:
        return
    sinks = [
        table(schema, writer_methods=[{"name": "partitionBy", "args": ["s"]}]),
        table(schema, "bad", is_quarantine=True, details=True),
        {"path": "out/", "format": "PARQUET"},
    ]
    p = pipeline(
        "PYSPARK", node("a", {**SOURCE, "reader_kwargs": {"maxFilesPerTrigger": 1}}, *sinks, expectations=RULES)
    )
    put(1, [0, 1, 2])
    p.execute()
    put(2, [3, 4])
    put(3, [5])
    p.execute()
    assert held(schema) == files() == [1, 3, 5]
    assert held(schema, "bad") == [0, 2, 4]
    facts = p.last_run["nodes"][0]
    assert (facts["rows_out"], facts["rows_quarantined"]) == (2, 1)
    assert [(sink.get("table"), sink["rows"]) for sink in facts["sinks"]] == [
        (None, 2), (f"{schema}.t", 2), (f"{schema}.bad", 1),
    ]  # fmt: skip
    assert sorted(p.nodes[0].output_df.collect("polars")["id"].to_list()) == [1, 3, 5]
    place = p.nodes[0].sinks[0].checkpoint_path
    assert (place / "batches.jsonl").exists() and not list((place / "runs").iterdir())


def test_full_refresh_resets_tables_and_checkpoint_together(schema):
    if schema is None:
        return
    p = pipeline("PYSPARK", node("a", SOURCE, table(schema)))
    made(schema).write(pl.DataFrame({"id": [100], "s": ["other"]}))
    for number, new in enumerate(([1, 2], [3])):
        put(number, new)
        p.execute()
    assert held(schema) == [1, 2, 3, 100]
    for _ in range(2):
        p.execute(full_refresh=True)
        assert held(schema) == [1, 2, 3]
    put(7, [4])
    p.execute()
    assert held(schema) == [1, 2, 3, 4]


def test_a_batch_that_a_table_refuses_comes_again(schema):
    if schema is None:
        return
    made(schema, "u").write(pl.DataFrame({"id": ["text"]}))
    p = pipeline("PYSPARK", node("a", SOURCE, table(schema), table(schema, "u")))
    put(1, [1])
    with pytest.raises(SinkError, match="column 'id' is String there"):
        p.execute()
    assert not made(schema).exists()
    made(schema, "u").purge()
    p.execute()
    assert held(schema) == held(schema, "u") == [1]


# ---- kills -----------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a process that ends: nothing after it is written."""


@contextmanager
def cut_off(monkeypatch, where):
    """What runs in it is cut off before or after a table, or before the ledger of the stream knows of the batch."""
    plain, line = table_room._write, streaming.append_line
    wanted = where.split()[1]

    def cut(one, *args):
        if where.startswith("before") and one.sink.table_name == wanted:
            raise Killed
        plain(one, *args)
        if where.startswith("after") and one.sink.table_name == wanted:
            raise Killed

    def end(path, text):
        if "generation_of" in text:
            raise Killed
        line(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(table_room, "_write", cut)
        if where == "before the end":
            patch.setattr(streaming, "append_line", end)
        with pytest.raises(Killed):
            yield


@pytest.mark.filterwarnings("ignore::laktory.errors.DataQualityWarning")
@pytest.mark.parametrize(("there", "refresh"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("where", ["before t", "after t", "before bad", "before the end"])
def test_a_batch_cut_off_between_its_sinks_goes_on(schema, monkeypatch, where, there, refresh):
    if schema is None:
        return
    sinks = [table(schema), table(schema, "bad", is_quarantine=True), {"path": "out/", "format": "PARQUET"}]
    # other rows each time it is computed: what was begun has to be finished with the rows it had
    steps = ["SELECT id, uuid() AS u FROM {df}"]
    p = pipeline("PYSPARK", node("a", SOURCE, *sinks, expectations=RULES, steps=steps))
    if there:
        put(1, [1, 2])
        p.execute()
    put(2, [3, 4])
    with cut_off(monkeypatch, where):
        p.execute(full_refresh=refresh)
    put(3, [5, 6])
    p.execute(resume=not refresh)
    odd, even = ([1, 3, 5], [2, 4, 6]) if there else ([3, 5], [4, 6])
    assert held(schema) == files() == odd
    assert held(schema, "bad") == even
    one = made(schema).read().collect("polars").to_native().sort("id").select("id", "u")
    assert one.equals(pl.read_parquet("out/*.parquet").sort("id").select("id", "u"))


@pytest.mark.parametrize("where", ["before u", "after u", "before the end"])
def test_an_aggregate_cut_off_between_its_sinks_goes_on(schema, monkeypatch, where):
    if schema is None:
        return
    source = made(schema, mode="APPEND")
    source.write(pl.DataFrame({"id": [1, 2, 3], "s": ["a", "b", "a"]}))
    sinks = [table(schema, "u", mode="COMPLETE"), {"path": "out/", "format": "PARQUET", "mode": "COMPLETE"}]
    steps = ["SELECT s, count(*) AS n FROM {df} GROUP BY s"]
    p = pipeline("PYSPARK", node("a", table(schema, as_stream=True), *sinks, steps=steps))
    p.execute()
    source.write(pl.DataFrame({"id": [4], "s": ["b"]}))
    with cut_off(monkeypatch, where):
        p.execute()
    source.write(pl.DataFrame({"id": [5], "s": ["c"]}))
    p.execute(resume=True)
    rows = made(schema, "u").read().collect("polars").to_native().sort("s").rows()
    assert rows == pl.read_parquet("out/*.parquet").sort("s").rows() == [("a", 2), ("b", 2), ("c", 1)]


def test_what_was_cut_off_is_not_finished_by_another_definition(schema, monkeypatch):
    if schema is None:
        return
    put(1, [1, 2])
    sinks = [table(schema), table(schema, "u")]
    plain = table_room._write

    def cut(one, *args):
        if one.sink.table_name == "u":
            raise Killed
        plain(one, *args)

    with monkeypatch.context() as patch:
        patch.setattr(table_room, "_write", cut)
        with pytest.raises(Killed):
            pipeline("PYSPARK", node("a", SOURCE, *sinks)).execute()
    other = pipeline("PYSPARK", node("a", SOURCE, *sinks, steps=["SELECT id + 1 AS id, s FROM {df}"]))
    with pytest.raises(RunError, match="cut off between its sinks"):
        other.execute()
    assert held(schema) == [1, 2] and not made(schema, "u").exists()
    other.execute(full_refresh=True)
    assert held(schema) == held(schema, "u") == [2, 3]


KILLED = """
import os, sys
import laktory
from laktory.runtime import tables, streaming
from building import node, pipeline

laktory.settings.log_level = "ERROR"
where = sys.argv[1]
def killing(room, name, before, wanted):
    plain = getattr(room, name)
    def cut(*args):
        if before and wanted(*args):
            os._exit(9)
        plain(*args)
        if wanted(*args):
            os._exit(9)
    setattr(room, name, cut)
if where in {"t", "u"}:
    killing(tables, "_write", len(sys.argv) > 2, lambda one, *_: one.sink.table_name == where)
if where == "end":
    killing(streaming, "append_line", len(sys.argv) > 2, lambda path, text: "generation_of" in text)
source = {"path": "in/", "format": "JSONL", "as_stream": True}
sinks = ({"table_name": "q.t"}, {"table_name": "q.u"}, {"path": "out/", "format": "PARQUET"})
follow = node("b", {"node_name": "a", "as_stream": True}, {"table_name": "q.v"})
made = pipeline("PYSPARK", node("a", source, *sinks), follow)
made.execute()
"""


def test_real_kills_lose_and_double_nothing(schema, tmp_path):
    if schema is None:
        return
    conf = {
        "spark.sql.warehouse.dir": str(tmp_path / "warehouse"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={tmp_path}/metastore;create=true",
    }
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "LAKTORY_SPARK_CONF": json.dumps(conf)}
    points = [["t"], ["end", "before"], ["-"]]
    for number, point in enumerate(points):
        put(number, [2 * number, 2 * number + 1])
        done = subprocess.run([sys.executable, "-c", KILLED, *point], env=env, check=False)
        assert done.returncode == (0 if point == ["-"] else 9)
    found = {name: pl.read_delta(str(tmp_path / f"warehouse/q.db/{name}")) for name in "tuv"}
    whole = list(range(2 * len(points)))
    assert {name: sorted(rows["id"].to_list()) for name, rows in found.items()} == dict.fromkeys("tuv", whole)
    assert files() == whole


# ---- what cannot be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([("a", SOURCE, [table("s", format="PARQUET")])], "'PARQUET' would have a batch twice after a kill"),
        ([("a", SOURCE, [table("s", mode="OVERWRITE")])], "the mode 'OVERWRITE' does not"),
        ([("a", SOURCE, [table("s", mode="IGNORE")])], "the mode 'IGNORE' does not"),
        ([("a", table("s", as_stream=True), [table("s", "v", table_type="VIEW")])], "a view is not read as a stream"),
        (
            [
                ("up", SOURCE | {"as_stream": False}, [table("s", format="PARQUET", mode="APPEND")]),
                ("a", {"node_name": "up", "as_stream": True}, [table("s", "u")]),
            ],
            "node 'up' writes a table of the format 'PARQUET'",
        ),
        (
            [
                ("up", SOURCE | {"as_stream": False}, [table("s")]),
                ("a", {"node_name": "up", "as_stream": True}, [table("s", "u")]),
            ],
            "node 'up' replaces its sink at each run",
        ),
        ([("a", table("s", as_stream=True), [table("s")])], "follows the table that it writes"),
    ],
)
def test_what_is_refused_when_the_definition_is_read(tmp_path, monkeypatch, backend, nodes, words):
    engine = ENGINES[backend]
    put(1, [1])
    if not engine.streams:
        words = "streaming reads are not supported"
    with pytest.raises(DefinitionError) as caught:
        pipeline(backend, *(node(name, source, *sinks) for name, source, sinks in nodes)).plan()
    assert words in str(caught.value)


def test_a_folder_of_a_batch_that_is_done_goes(tmp_path):
    stream = Checkpoint(tmp_path)
    stream.open(refresh=False)
    with stream.batch(0, stream.entry(0, None)) as folder:
        assert not stream.holds(0)
    assert stream.holds(0) and folder.path.is_dir()
    (tmp_path / "runs" / "of-others").mkdir()
    stream.open(refresh=False)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["of-others"]
