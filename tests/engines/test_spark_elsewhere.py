"""Spark sessions that do not see the files of this machine, nor it theirs."""

import contextlib
import tempfile
import uuid
from pathlib import Path

import elsewhere
import polars as pl
import pytest
from building import node, numbers, pipeline

from laktory import models
from laktory.engines._spark.connection import is_sail
from laktory.engines._spark.elsewhere import sees_files
from laktory.engines.capabilities import ENGINES
from laktory.errors import DataQualityWarning, DefinitionError, RunError, SinkError
from laktory.runtime import sessions
from laktory.runtime import tables as table_room


@pytest.fixture(scope="module", params=["PYSPARK"])
def remote(request, tmp_path_factory):
    """A session over Spark Connect; what lies below the folder of the tests is hidden from its server."""
    from pyspark.sql import SparkSession

    hidden, on_sail = tmp_path_factory.getbasetemp(), request.config.getoption("--spark") == "sail"
    with elsewhere.server(elsewhere.SAIL if on_sail else elsewhere.SPARK, hidden) as address:
        spark = SparkSession.builder.remote(address).create()
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        if on_sail:
            spark.conf.set("spark.sql.warehouse.dir", str(hidden / "warehouse"))
        yield spark
        spark.stop()


@pytest.fixture
def spark(remote, tmp_path, monkeypatch):
    """That session, in use for PYSPARK."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sessions, "_standing", None)
    monkeypatch.setattr("laktory.engines._spark.connection._registered", remote)
    numbers(n=3)
    return remote


@pytest.fixture
def files(spark):
    """What is raised where files of the server are read."""
    if not is_sail(spark):
        return contextlib.nullcontext()
    return pytest.raises(RunError, match="Sail takes a file that is not there for one without rows")


def name():
    return f"t{uuid.uuid4().hex[:8]}"


def held(table, column="id"):
    sink = models.UnityCatalogDataSink(table_name=table, dataframe_backend="PYSPARK")
    return sorted(sink.read().collect("polars")[column].to_list())


def data(*ids):
    return {"data": {"id": list(ids), "s": [f"s{i}" for i in ids]}}


def test_it_is_asked_whether_files_are_in_reach(spark):
    assert sees_files(spark) is False
    assert sessions.standing().in_reach("PYSPARK") is False
    assert sessions.standing().in_reach("POLARS") is True


def test_data_of_the_definition_and_tables(spark):
    first, second = name(), name()
    pipeline(
        "PYSPARK",
        node("a", data(1, 2, 3), {"table_name": first, "mode": "APPEND"}),
        node("b", "a", {"table_name": second}, steps=["SELECT id * 2 AS id FROM {df}"]),
    ).execute()
    assert held(first) == [1, 2, 3]
    assert held(second) == [2, 4, 6]
    p = pipeline("PYSPARK", node("c", {"table_name": first, "filter": "id > 1"}, {"table_name": first + "x"}))
    p.execute()
    assert held(first + "x") == [2, 3]


def test_types_pass_in_both_directions(spark):
    import datetime as dt
    import decimal

    frame = pl.DataFrame(
        {
            "id": [1, None],
            "d": [decimal.Decimal("1.50"), None],
            "t": pl.Series(["2024-01-01T01:02:03.456789", None]).str.to_datetime(time_unit="us"),
            "z": pl.Series([dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC), None], dtype=pl.Datetime("us", "UTC")),
            "day": [dt.date(2024, 2, 29), None],
            "f": [float("nan"), 1.5],
            "n": [{"a": [1, 2], "b": "x"}, None],
            "e": pl.Series(["x", "y"], dtype=pl.Categorical),
        }
    )
    for rows in (frame, frame.head(0)):
        session = sessions.standing().get("PYSPARK")
        found = session.fetch(session.adopt(rows))
        wanted = rows.with_columns(pl.col("e").cast(pl.String))
        assert found.schema == wanted.schema
        assert found.equals(wanted)


def test_nodes_of_other_engines_and_their_files(spark):
    table = name()
    nodes = [
        node("a", "in.parquet", "a.parquet") | {"dataframe_backend": "POLARS"},
        node("b", "a", {"table_name": table}, steps=["SELECT id + 10 AS id FROM {df}"]),
        node("c", "b", "c.parquet") | {"dataframe_backend": "DUCKDB"},
        node("d", "b", "d.parquet") | {"dataframe_backend": "POLARS"},
    ]
    pipeline("PYSPARK", *nodes).execute()
    assert held(table) == [10, 11, 12]
    for path in ("c.parquet", "d.parquet"):
        assert sorted(pl.read_parquet(path)["id"]) == [10, 11, 12]
    pipeline("PYSPARK", *nodes).execute(selects=["b"])  # reads what node a left
    assert held(table) == [10, 11, 12]


def test_rules_and_quarantine(spark):
    good, bad = name(), name()
    rules = [{"name": "small", "expr": "id < 3", "action": "QUARANTINE"}]
    made = node("a", data(1, 2, 3, 4), {"table_name": good}) | {"expectations": rules}
    made["sinks"].append({"table_name": bad, "is_quarantine": True})
    p = pipeline("PYSPARK", made, node("b", "a", {"table_name": good + "b"}))
    with pytest.warns(DataQualityWarning):
        p.execute()
    assert held(good) == held(good + "b") == [1, 2]
    assert held(bad) == [3, 4]
    assert sorted(p.nodes[0].quarantine_df.collect("polars")["id"]) == [3, 4]
    assert p.last_run["nodes"][0]["rows_quarantined"] == 2
    assert p.last_run["nodes"][0]["rows_out"] == 2


def test_a_frame_with_several_consumers_is_computed_once(spark):
    left, right, both = name(), name(), name()
    p = pipeline(
        "PYSPARK",
        node("a", data(*range(50)), steps=["SELECT id, rand() AS r FROM {df}"]),
        node("b", "a", {"table_name": left}),
        node("c", "a", {"table_name": right}),
        node("d", "a", {"table_name": both}, steps=["SELECT x.r - y.r AS id FROM {df} x JOIN {df} y ON x.id = y.id"]),
    )
    p.execute()
    assert held(left, "r") == held(right, "r")
    assert set(held(both)) == {0.0}


def test_several_tables_of_one_node_get_the_same_rows(spark):
    left, right = name(), name()
    made = node("a", data(*range(50)), {"table_name": left}, steps=["SELECT id, rand() AS r FROM {df}"])
    made["sinks"].append({"table_name": right, "mode": "APPEND"})
    p = pipeline("PYSPARK", made)
    p.execute()
    assert held(left, "r") == held(right, "r")
    assert p.nodes[0].output_df.collect("polars")["r"].sort().to_list() == held(left, "r")


def test_files_of_this_machine_are_no_sinks(spark):
    table = name()
    p = pipeline("PYSPARK", node("t", data(1), {"table_name": table}), node("a", data(1), "out.parquet"))
    with pytest.raises(SinkError, match=r"(?s)node 'a'.*'out.parquet'.*staged on this machine.*write a table"):
        p.execute()
    sink = models.UnityCatalogDataSink(table_name=table, dataframe_backend="PYSPARK")
    assert sink.exists() is False  # nothing was written before it was refused
    assert not list(Path().glob(".laktory-*"))
    out = models.FileDataSink(path="out.parquet", format="PARQUET", dataframe_backend="PYSPARK")
    for verb in (out.exists, out.purge, lambda: out.write(pl.DataFrame({"id": [1]}))):
        with pytest.raises(SinkError, match="does not see"):
            verb()


def test_without_sinks_files_are_no_matter(spark):
    p = pipeline("PYSPARK", node("a", data(1, 2), "out.parquet"))
    p.execute(write_sinks=False)
    assert sorted(p.nodes[0].output_df.collect("polars")["id"]) == [1, 2]


def test_verify_brings_the_rows_here(spark):
    from laktory.runtime.comparison import compare, keep_frames

    rules = [{"name": "small", "expr": "id < 3", "action": "QUARANTINE"}]
    for engine in ("POLARS", "PYSPARK"):
        Path(engine).mkdir()
        p = pipeline(engine, node("a", data(1, 2, 3), "out.parquet") | {"expectations": rules}, node("b", "a"))
        with pytest.warns(DataQualityWarning):
            keep_frames(p, None, Path(engine))
    found = compare(Path("POLARS"), Path("PYSPARK"))
    assert found == {"a": None, "a (quarantine)": None, "b": None}


def test_a_session_that_is_gone_is_no_session_elsewhere(tmp_path):
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    with elsewhere.server(elsewhere.SAIL, tmp_path) as address:
        made = SparkSession.builder.remote(address).create()
        made.client.set_retry_policies([DefaultPolicy(max_retries=0)])
    with pytest.raises(RunError, match="does not answer"), pytest.warns(UserWarning, match="retries"):
        sees_files(made)


# ---- files of the cluster --------------------------------------------------------------------

READ = {
    "PARQUET": ("parquet", {}),
    "DELTA": ("delta", {}),
    "ORC": ("orc", {}),
    "AVRO": ("avro", {}),
    "JSONL": ("json", {}),
    "CSV": ("csv", {"header": True}),
    "XML": ("xml", {"rowTag": "row"}),
}
COLUMNS = [{"name": "id", "dtype": "int64"}, {"name": "s", "dtype": "string"}]


def put(spark, place, format_, sql, **options):
    """Files on the disk of the server; Sail, which reads none of them, is not asked to write what it cannot."""
    assert not Path(place).exists()
    if not is_sail(spark):
        spark.sql(sql).write.format(format_).options(**options).save(str(place))
        assert not Path(place).exists()


@pytest.mark.parametrize("format_", [name for name in READ if name in ENGINES["PYSPARK"].formats])
def test_files_that_only_spark_sees(spark, files, tmp_path, format_):
    table, place = name(), tmp_path / "far" / f"in.{format_.lower()}"
    written, options = READ[format_]
    put(spark, place, written, "SELECT id, concat('s', id) AS s FROM range(3)", **options)
    source = {"path": str(place), "format": format_, "schema": {"columns": COLUMNS}, "filter": "id > 0"}
    with files:
        pipeline("PYSPARK", node("a", source, {"table_name": table})).execute()
        assert held(table) == [1, 2]
        assert held(table, "s") == ["s1", "s2"]


def test_options_reach_the_reader_of_spark(spark, files, tmp_path):
    place = tmp_path / "far"
    put(spark, place, "csv", "SELECT 1 AS id, 'x' AS s", sep=";", header=True)
    source = {"path": str(place), "format": "CSV", "reader_kwargs": {"sep": ";", "inferSchema": True}}
    p = pipeline("PYSPARK", node("a", source))
    with files:
        p.execute()
        assert p.nodes[0].output_df.collect("polars").to_dict(as_series=False) == {"id": [1], "s": ["x"]}
        text = pipeline("PYSPARK", node("a", {"path": str(place), "format": "TEXT"}))
        text.execute()
        assert sorted(text.nodes[0].output_df.collect("polars").to_native().to_series()) == ["1;x", "id;s"]


def test_files_of_this_machine_are_not_found(spark):
    source = {"path": str(Path("in.parquet").absolute()), "format": "PARQUET"}
    with pytest.raises(RunError, match=r"in.parquet' is looked for where Spark is, which sees no file of this machine"):
        pipeline("PYSPARK", node("a", source, {"table_name": name()})).execute()


@pytest.mark.parametrize("format_", ["IPC", "EXCEL", "PYARROW"])
def test_formats_that_spark_itself_does_not_read(spark, format_):
    with pytest.raises(RunError, match=r"looked for where Spark is.*of another engine"):
        pipeline("PYSPARK", node("a", {"path": "x", "format": format_}, {"table_name": name()})).execute()


# ---- runs that were cut off ------------------------------------------------------------------


def cut_off(p, monkeypatch, number):
    """Run until the table of this number is written."""
    real = table_room._write

    def fails(one, *args):
        if one.number == number:
            raise SinkError("the disk is full")
        real(one, *args)

    with monkeypatch.context() as patch:
        patch.setattr(table_room, "_write", fails)
        with pytest.raises(SinkError, match="disk is full"):
            p.execute()


def test_what_was_replaced_is_replaced_again(spark, monkeypatch):
    left, right = name(), name()
    made = node("a", data(1, 2), {"table_name": left}, {"table_name": right}, steps=["SELECT rand() AS id FROM {df}"])
    p = pipeline("PYSPARK", made)
    cut_off(p, monkeypatch, 1)
    p.execute(resume=True)
    assert held(left) == held(right)


def test_what_was_appended_is_not_appended_again(spark, monkeypatch):
    left, right = name(), name()
    p = pipeline("PYSPARK", node("a", data(1, 2), {"table_name": left, "mode": "APPEND"}, {"table_name": right}))
    cut_off(p, monkeypatch, 1)
    with pytest.raises(RunError, match=r"cannot resume: node 'a' has appended rows.*not kept.*run without resuming"):
        p.execute(resume=True)
    assert held(left) == [1, 2]


def test_nodes_that_are_through_are_not_run_again(spark, monkeypatch):
    first, second, bad = name(), name(), name()
    rules = [{"name": "small", "expr": "id < 3", "action": "QUARANTINE"}]
    made = node("a", data(1, 2, 3), {"table_name": first, "mode": "APPEND"}, expectations=rules)
    made["sinks"].append({"table_name": bad, "mode": "APPEND", "is_quarantine": True})
    p = pipeline("PYSPARK", made, node("b", data(5), {"table_name": second}))
    with monkeypatch.context() as patch, pytest.raises(SinkError), pytest.warns(DataQualityWarning):
        real = table_room._write
        patch.setattr(
            table_room, "_write", lambda one, *args: real(one, *args) if one.sink.full_name != second else _fail()
        )
        p.execute()
    p.execute(resume=True)
    assert [each["status"] for each in p.last_run["nodes"]] == ["resumed", "succeeded"]
    assert (held(first), held(bad), held(second)) == ([1, 2], [3], [5])
    assert p.last_run["nodes"][0]["rows_out"] == 2
    assert sorted(p.nodes[0].quarantine_df.collect("polars")["id"]) == [3]


def _fail():
    raise SinkError("the disk is full")


def test_streams_are_refused(spark):
    p = pipeline("PYSPARK", node("a", {"table_name": "t", "as_stream": True}, {"table_name": name()}))
    with pytest.raises((RunError, DefinitionError)):
        p.execute()
