"""What Spark is asked to compute: no more than by hand, and nothing of one run in another."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import narwhals as nw
import polars as pl
import pytest
from building import node, numbers, pipeline

from laktory import get_spark_session
from laktory.engines._spark.connection import is_connect
from laktory.engines._spark.session import PySparkSession
from laktory.errors import RunInterrupted
from laktory.testing.rules import REJECTED


@pytest.fixture
def spark(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return get_spark_session()


@contextmanager
def counting(spark, monkeypatch):
    """Jobs of classic Spark; what a client asks a server to write."""
    found = []
    if is_connect(spark):
        from pyspark.sql.connect.client import SparkConnectClient

        with monkeypatch.context() as patch:
            asked = SparkConnectClient._execute_and_fetch_as_iterator

            def counted(client, request, *args, **kwargs):
                if request.plan.command.HasField("write_operation"):
                    found.append(request)
                return asked(client, request, *args, **kwargs)

            patch.setattr(SparkConnectClient, "_execute_and_fetch_as_iterator", counted)
            yield found
        return
    tracker = spark.sparkContext.statusTracker()
    before = set(tracker.getJobIdsForGroup())
    yield found
    found += set(tracker.getJobIdsForGroup()) - before


@pytest.mark.parametrize(
    "steps",
    [
        None,
        ["SELECT id, x * 2 AS y FROM {df} WHERE id > 1"],
        ["SELECT s, count(*) AS n FROM {df} GROUP BY s"],
    ],
)
def test_a_node_without_rules_runs_no_job_that_the_same_by_hand_does_not_run(spark, monkeypatch, tmp_path, steps):
    numbers(n=100)
    made = pipeline("PYSPARK", node("a", "in.parquet", "out.parquet", steps=steps))
    made.execute()
    with counting(spark, monkeypatch) as ours:
        made.execute()
    with counting(spark, monkeypatch) as by_hand:
        frame = spark.read.schema("id LONG, x DOUBLE, s STRING").parquet(str(tmp_path / "in.parquet"))
        if steps:
            frame = spark.sql(steps[0], df=frame)
        frame.write.parquet(str(tmp_path / "by_hand"))
    assert by_hand
    assert len(ours) <= len(by_hand), (ours, by_hand)


def test_nodes_in_a_row_run_no_job_that_the_same_by_hand_does_not_run(spark, monkeypatch, tmp_path):
    numbers(n=100)
    nodes = [
        node("a", "in.parquet", "a.parquet", steps=["SELECT id, s FROM {df}"]),
        node("b", "a", "b.parquet", steps=["SELECT s, count(*) AS n FROM {df} GROUP BY s"]),
        node("c", "a", steps=["SELECT id FROM {df}"]),
        node("d", "c", "d.parquet", steps=["SELECT id + 1 AS id FROM {df}"]),
    ]
    made = pipeline("PYSPARK", *nodes)
    made.execute()
    with counting(spark, monkeypatch) as ours:
        made.execute()
    with counting(spark, monkeypatch) as by_hand:
        frame = spark.read.schema("id LONG, x DOUBLE, s STRING").parquet(str(tmp_path / "in.parquet"))
        frame.select("id", "s").write.parquet(str(tmp_path / "by_hand_a"))
        first = spark.read.schema("id LONG, s STRING").parquet(str(tmp_path / "by_hand_a"))
        first.groupBy("s").count().write.parquet(str(tmp_path / "by_hand_b"))
        first.selectExpr("id + 1 AS id").write.parquet(str(tmp_path / "by_hand_d"))
    assert by_hand
    assert len(ours) <= len(by_hand), (ours, by_hand)


RULES = {
    "one": [{"name": "r", "expr": "x > 5", "action": "DROP"}],
    "several": [
        {"name": "dropped", "expr": "x > 5", "action": "DROP"},
        {"name": "warned", "expr": "id < 90"},
        {"name": "total", "expr": "count(*) > 10", "type": "AGGREGATE"},
    ],
    "quarantine": [
        {"name": "moved", "expr": "x > 5", "action": "QUARANTINE"},
        {"name": "warned", "expr": "id < 90"},
    ],
    "aggregate": [{"name": "total", "expr": "count(*) > 10", "type": "AGGREGATE"}],
}


@pytest.mark.filterwarnings("ignore::laktory.errors.DataQualityWarning")
@pytest.mark.parametrize("kind", RULES)
def test_rules_run_no_job_that_the_same_account_by_hand_does_not_run(spark, monkeypatch, tmp_path, kind):
    """By hand: one query for all the counts, then what is kept of the rows that fail, and a file for each sink."""
    numbers(n=100)
    sinks = ["out.parquet", *([REJECTED] if kind == "quarantine" else [])]
    made = pipeline("PYSPARK", node("a", "in.parquet", *sinks, expectations=RULES[kind]))
    made.execute()
    with counting(spark, monkeypatch) as ours:
        made.execute()
    assert [check.fails_count for check in made.nodes[0].checks] == {
        "one": [6],
        "several": [6, 10, None],
        "quarantine": [6, 10],
        "aggregate": [None],
    }[kind]
    with counting(spark, monkeypatch) as by_hand:
        frame = spark.read.schema("id LONG, x DOUBLE, s STRING").parquet(str(tmp_path / "in.parquet"))
        frame.selectExpr("count(*)", "count_if(not x > 5)", "count_if(not id < 90)").collect()
        if kind != "aggregate":
            failed = frame.filter("not x > 5 or x is null or not id < 90").selectExpr("*", "x > 5 AS passed")
            failed.write.parquet(str(tmp_path / "by_hand_failed"))
        frame.filter("x > 5").write.parquet(str(tmp_path / "by_hand"))
        if kind == "quarantine":
            kept = spark.read.schema(failed.schema).parquet(str(tmp_path / "by_hand_failed"))
            kept.filter("not passed").write.parquet(str(tmp_path / "by_hand_moved"))
    assert by_hand
    assert len(ours) <= len(by_hand), (ours, by_hand)


def test_a_node_read_twice_is_computed_by_one_job(spark, monkeypatch, tmp_path):
    """As a file that the consumers read, which no memory that runs short makes Spark compute again otherwise."""
    numbers(n=100)
    nodes = [
        node("a", "in.parquet", steps=["SELECT s, id + 1 AS id FROM {df}"]),
        node("b", "a", "b.parquet", steps=["SELECT id FROM {df}"]),
        node("c", "a", "c.parquet", steps=["SELECT s FROM {df}"]),
    ]
    made = pipeline("PYSPARK", *nodes)
    made.execute()
    with counting(spark, monkeypatch) as ours:
        made.execute()
    with counting(spark, monkeypatch) as by_hand:
        frame = spark.read.schema("id LONG, x DOUBLE, s STRING").parquet(str(tmp_path / "in.parquet"))
        frame.selectExpr("s", "id + 1 AS id").write.parquet(str(tmp_path / "by_hand_a"))
        kept = spark.read.schema("s STRING, id LONG").parquet(str(tmp_path / "by_hand_a"))
        kept.select("id").write.parquet(str(tmp_path / "by_hand_b"))
        kept.select("s").write.parquet(str(tmp_path / "by_hand_c"))
    assert by_hand
    assert len(ours) <= len(by_hand), (ours, by_hand)


def test_a_stopped_run_stops_its_own_jobs_and_no_others(spark, tmp_path):
    pl.DataFrame({"id": [0]}).write_parquet("in.parquet")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = PySparkSession(str(tmp_path / "one")), PySparkSession(str(tmp_path / "two"))
    long = "SELECT count(*) AS n FROM range(0, {}) AS r WHERE rand() + r.id % 7 * 1.5 < 3"
    found = {}

    def compute(name, session, rows):
        frame = session.sql(long.replace("{}", str(rows)), {})
        try:
            found[name] = session.fetch(frame).height
        except RunInterrupted as error:
            found[name] = str(error)

    begun = time.monotonic()
    threads = [
        threading.Thread(target=compute, args=("stopped", one, 10**12)),
        threading.Thread(target=compute, args=("goes on", two, 5 * 10**6)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    one.interrupt()
    for thread in threads:
        thread.join(60)
    assert found == {"stopped": "the run was stopped", "goes on": 1}
    assert time.monotonic() - begun < 40


def test_pipelines_in_two_threads_of_one_session_do_not_meet(spark):
    frames, failures = {}, []

    def run(number):
        try:
            numbers(f"in{number}.parquet", n=number)
            steps = ["SELECT * FROM {df}", "SELECT count(*) AS n FROM {nodes.a}"]
            for _ in range(3):
                out = f"out{number}.parquet"
                made = pipeline(
                    "PYSPARK",
                    node("a", f"in{number}.parquet"),
                    node("b", "a", out, steps=steps),
                    root_path_=f"root{number}",
                )
                made.execute()
                frames.setdefault(number, []).append(pl.read_parquet(out)["n"].to_list())
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in (3, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert frames == {3: [[3]] * 3, 7: [[7]] * 3}


def test_a_type_by_its_name_is_what_the_session_says_in_the_threads_of_a_run_too(spark):
    pl.DataFrame({"s": ["2024-01-02 03:04:05"]}).write_parquet("in.parquet")
    step = {"func_name": "withColumn", "func_args": ["t", "F.col('s').cast('timestamp')"], "dataframe_api": "NATIVE"}
    made = pipeline("PYSPARK", node("a", "in.parquet", "out.parquet", steps=[step]))
    made.execute()
    assert made.nodes_dict["a"].output_df.collect_schema()["t"] == nw.Datetime("us")
