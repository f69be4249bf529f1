"""Streams: only what is new is read, each batch is committed once, whatever happens in between."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from building import node, pipeline, rows_of

from laktory import get_spark_session, models
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError, RunError


@pytest.fixture
def streams(backend):
    """A backend that reads streams; another one says that it does not, which is what is tested of it."""
    if ENGINES[backend].streams and os.environ.get("LAKTORY_SPARK_REMOTE") is None:
        return backend
    put(1, [1])
    with pytest.raises((DefinitionError, RunError), match=r"stream"):
        follow(backend).execute()
    return None


def put(number, ids, folder="in"):
    Path(folder).mkdir(exist_ok=True)
    lines = "".join(json.dumps({"id": i, "s": f"s{i}"}) + "\n" for i in ids)
    Path(folder, f"{number}.jsonl").write_text(lines)


SOURCE = {"path": "in/", "format": "JSONL", "as_stream": True}


def follow(backend, *sinks, source=SOURCE, name="a", **more):
    sinks = sinks or ({"path": "out/", "format": "PARQUET"},)
    return pipeline(backend, node(name, source, *sinks, **more))


def ids(path="out"):
    return sorted(pl.read_parquet(f"{path}/*.parquet")["id"].to_list())


def test_only_what_is_new_is_read(streams):
    if streams is None:
        return
    put(1, [1, 2])
    made = follow(streams)
    made.execute()
    assert ids() == [1, 2]
    put(2, [3])
    made.execute()
    assert ids() == [1, 2, 3]
    assert made.last_run["nodes"][0]["rows_out"] == 1
    made.execute()
    assert ids() == [1, 2, 3]
    assert made.last_run["nodes"][0]["rows_out"] == 0
    assert [row["id"] for row in rows_of(made.nodes_dict["a"].output_df, "id")] == [1, 2, 3]


def test_steps_rules_and_all_sinks_see_each_batch(streams):
    if streams is None:
        return
    sinks = (
        {"path": "out/", "format": "PARQUET"},
        {"path": "t", "format": "DELTA"},
        {"path": "bad/", "format": "PARQUET", "is_quarantine": True},
    )
    rules = [{"name": "odd", "expr": "id % 2 = 1", "action": "QUARANTINE"}]
    steps = ["SELECT id, id * 10 AS ten FROM {df} WHERE id > 0"]
    made = follow(streams, *sinks, expectations=rules, steps=steps)
    for number, new in enumerate(([0, 1, 2], [3, 4])):
        put(number, new)
        with pytest.warns(Warning):
            made.execute()
    assert ids() == [1, 3] == sorted(pl.read_delta("t")["id"].to_list())
    assert ids("bad") == [2, 4]
    assert pl.read_delta("t").sort("id")["ten"].to_list() == [10, 30]


def test_a_node_follows_what_another_one_adds(streams):
    if streams is None:
        return
    first = node("a", SOURCE, {"path": "t", "format": "DELTA"})
    second = node("b", {"node_name": "a", "as_stream": True}, {"path": "out/", "format": "PARQUET"})
    whole = node("c", "a", {"path": "all.parquet", "format": "PARQUET"}, steps=["SELECT COUNT(*) AS n FROM {df}"])
    made = pipeline(streams, first, second, whole)
    for number, new in enumerate(([1, 2], [3], [4, 5])):
        put(number, new)
        made.execute()
    assert ids() == [1, 2, 3, 4, 5]
    assert rows_of(made.nodes_dict["c"].output_df, "n") == [{"n": 5}]


def test_types_of_the_first_batch_hold_for_the_next(streams):
    if streams is None:
        return
    put(1, [1])
    made = follow(streams)
    made.execute()
    Path("in/2.jsonl").write_text('{"id": null, "s": null}\n')
    made.execute()
    assert pl.read_parquet("out/*.parquet").schema == {"id": pl.Int64, "s": pl.String}


def test_batches_of_few_files(streams):
    if streams is None:
        return
    for number in range(3):
        put(number, [number])
    made = follow(streams, source={**SOURCE, "reader_kwargs": {"maxFilesPerTrigger": 1}})
    made.execute()
    assert ids() == [0, 1, 2]
    lines = made.nodes_dict["a"].sinks[0].checkpoint_path.joinpath("batches.jsonl").read_text()
    assert lines.count("generation_of") == 3
    with pytest.raises(DefinitionError, match="no argument 'maxFilesPerTriger'"):
        follow(streams, source={**SOURCE, "reader_kwargs": {"maxFilesPerTriger": 1}}).execute()


def test_steps_over_what_another_node_adds(streams):
    """A batch of Delta rows belongs to a copy of the Spark session."""
    if streams is None:
        return
    pl.DataFrame({"id": [2, 3], "n": ["two", "three"]}).write_parquet("names.parquet")
    first = node("a", SOURCE, {"path": "t", "format": "DELTA"})
    names = node("n", "names.parquet")
    steps = ["SELECT d.id * 10 AS id, n FROM {df} d JOIN {nodes.n} USING (id)", "SELECT id, n FROM {df}"]
    second = node("b", {"node_name": "a", "as_stream": True}, {"path": "out/", "format": "PARQUET"}, steps=steps)
    put(1, [1, 2, 3])
    pipeline(streams, first, names, second).execute()
    assert ids() == [20, 30]


def test_a_table_that_was_replaced_is_not_followed_on(streams):
    if streams is None:
        return
    pl.DataFrame({"id": [1]}).write_delta("t")
    made = follow(streams, source={"path": "t", "format": "DELTA", "as_stream": True})
    made.execute()
    pl.DataFrame({"id": [2]}).write_delta("t", mode="overwrite")
    with pytest.raises(RunError, match="'t' were changed or removed.*full_refresh"):
        made.execute()
    made.execute(full_refresh=True)
    assert ids() == [2]


def test_a_session_of_databricks_is_refused(streams):
    """What tells it is set on a session of ours: there is no cluster here."""
    if streams is None:
        return
    put(1, [1])
    key, own = "spark.databricks.clusterUsageTags.clusterId", get_spark_session()
    own.conf.set(key, "0101-000000-abcdefgh")
    try:
        with pytest.raises(RunError, match="not supported on Databricks"):
            follow(streams).execute()
    finally:
        own.conf.unset(key)
    assert not Path("out").exists()


def test_a_batch_that_fails_comes_again(streams):
    if streams is None:
        return
    put(1, [1])
    follow(streams).execute()
    put(2, [2])
    rules = [{"name": "small", "expr": "id < 2", "action": "FAIL"}]
    with pytest.raises(RunError, match="small"):
        follow(streams, expectations=rules).execute()
    assert ids() == [1]
    put(3, [3])
    follow(streams).execute()
    assert ids() == [1, 2, 3]


def test_full_refresh_begins_anew(streams):
    if streams is None:
        return
    put(1, [1, 2])
    made = follow(streams)
    made.execute()
    put(1, [1, 2])
    put(2, [3])
    made.execute(full_refresh=True)
    assert ids() == [1, 2, 3]
    put(3, [4])
    made.execute()
    assert ids() == [1, 2, 3, 4]


def test_the_checkpoint_lies_where_the_first_sink_says(streams):
    if streams is None:
        return
    put(1, [1])
    follow(streams, {"path": "out/", "format": "PARQUET", "checkpoint_path": "my/place"}).execute()
    assert Path("my/place/batches.jsonl").exists()


KILLED = """
import json, os, sys
import laktory
from laktory import models
from laktory.storage import commits
from building import node, pipeline

laktory.settings.log_level = "ERROR"
where, count = sys.argv[1], 0
plain = getattr(commits, where)
def killing(*args, **kwargs):
    if sys.argv[2] == "before":
        os._exit(9)
    plain(*args, **kwargs)
    os._exit(9)
setattr(commits, where, killing)
pipeline("PYSPARK", json.loads(sys.argv[3])).execute()
"""


def killed(made, where, moment):
    """Run the pipeline of a node in a process that is killed in the commit of its batch."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    found = subprocess.run(
        [sys.executable, "-c", KILLED, where, moment, json.dumps(made)],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert found.returncode == 9


@pytest.mark.parametrize(("where", "moment"), [("_move_in", "before"), ("_move_in", "after"), ("_clean", "before")])
def test_a_kill_in_a_batch_loses_and_doubles_nothing(streams, where, moment):
    if streams is None:
        return
    sinks = ({"path": "out/", "format": "PARQUET"}, {"path": "t", "format": "DELTA"})
    put(1, [1, 2])
    follow(streams, *sinks).execute()
    put(2, [3])
    killed(node("a", SOURCE, *sinks), where, moment)
    put(3, [4])
    follow(streams, *sinks).execute()
    assert ids() == [1, 2, 3, 4] == sorted(pl.read_delta("t")["id"].to_list())


# ---- what looks at rows of earlier batches --------------------------------------------------------

TABLE = {"path": "src", "format": "DELTA", "as_stream": True}
COMPLETE = {"path": "totals", "format": "DELTA", "mode": "COMPLETE"}
TOTALS = "SELECT s, count(*) AS n, sum(id) AS total FROM {df} GROUP BY s"


def add(ids, s="s"):
    pl.DataFrame({"id": ids, "s": [f"{s}{i % 2}" for i in ids]}).write_delta("src", mode="append")


def totals(path="totals"):
    return sorted(pl.read_delta(path).rows())


@pytest.mark.filterwarnings("ignore::laktory.errors.DataQualityWarning")
def test_an_aggregate_of_all_rows_replaces_the_sinks(streams):
    if streams is None:
        return
    sinks = (COMPLETE, {"path": "big/", "format": "PARQUET", "mode": "COMPLETE", "is_quarantine": True})
    rules = [
        {"name": "small", "expr": "n < 3", "action": "QUARANTINE"},
        {"name": "some", "expr": "count(*) > 0", "type": "AGGREGATE"},
    ]
    add([1, 2, 3])
    made = follow(streams, *sinks, source=TABLE, steps=[TOTALS], expectations=rules)
    made.execute()
    assert totals() == [("s0", 1, 2), ("s1", 2, 4)]
    add([4, 5])
    made.execute()
    assert totals() == [("s0", 2, 6)]
    assert pl.read_parquet("big/*.parquet").rows() == [("s1", 3, 9)]
    assert [check.fails_count for check in made.nodes[0].checks] == [1, None]
    assert made.last_run["nodes"][0]["rows_out"] == 1
    made.execute()
    assert totals() == [("s0", 2, 6)]
    made.execute(full_refresh=True)
    assert totals() == [("s0", 2, 6)]
    made.nodes[0].transformer.nodes[0].expr = "SELECT s, id % 3 AS k, count(*) AS n FROM {df} GROUP BY s, id % 3"
    add([6])
    with pytest.raises(RunError, match="others than those for which the stream has remembered rows.*'full_refresh'"):
        made.execute()
    assert totals() == [("s0", 2, 6)]
    made.execute(full_refresh=True)
    assert sum(row[2] for row in totals()) == 6


@pytest.mark.filterwarnings("ignore::laktory.errors.DataQualityWarning")
def test_duplicates_of_rows_of_earlier_batches_are_dropped(streams):
    if streams is None:
        return
    add([1, 2])
    source = TABLE | {"filter": "id > 0", "renames": {"id": "key"}, "drop_duplicates": ["key"]}
    rules = [{"name": "odd", "expr": "key % 2 = 1", "action": "QUARANTINE"}]
    sinks = ({"path": "out/", "format": "PARQUET"}, {"path": "bad/", "format": "PARQUET", "is_quarantine": True})
    made = follow(streams, *sinks, source=source, expectations=rules, steps=["SELECT key, s FROM {df}"])
    made.execute()
    add([2, 3, 3, 4, 0], "other")
    made.execute()
    assert pl.read_parquet("out/*.parquet").sort("key").rows() == [(1, "s1"), (3, "other1")]
    assert pl.read_parquet("bad/*.parquet").sort("key").rows() == [(2, "s0"), (4, "other0")]
    assert made.last_run["nodes"][0]["rows_stage"] == 2


@pytest.mark.parametrize(("where", "moment"), [("_move_in", "before"), ("_clean", "before")])
@pytest.mark.parametrize("what", ["complete", "unique"])
def test_a_kill_where_rows_are_remembered_loses_and_doubles_nothing(streams, where, moment, what):
    if streams is None:
        return
    more = {"expectations": [{"name": "r", "expr": "s IS NOT NULL", "action": "DROP"}]}
    made = node("a", TABLE, COMPLETE, steps=[TOTALS], **more)
    if what == "unique":
        made = node("a", TABLE | {"drop_duplicates": ["id"]}, {"path": "totals", "format": "DELTA"}, **more)
    add([1, 2])
    pipeline(streams, made).execute()
    add([2, 3])
    killed(made, where, moment)
    add([3, 4])
    pipeline(streams, made).execute()
    expected = [("s0", 3, 8), ("s1", 3, 7)] if what == "complete" else [(1, "s1"), (2, "s0"), (3, "s1"), (4, "s0")]
    assert totals() == expected


def test_a_stream_that_is_named_twice_is_refused(streams):
    if streams is None:
        return
    add([1])
    made = follow(
        streams, COMPLETE, source=TABLE, steps=["SELECT count(*) AS n FROM {df} AS a JOIN {df} AS b USING (id)"]
    )
    with pytest.raises(RunError, match="a stream is read once"):
        made.execute()


@pytest.mark.parametrize(
    ("mode", "message"), [("COMPLETE", "is for nodes that read a stream"), ("UPDATE", "not supported")]
)
def test_modes_of_streams_elsewhere(backend, mode, message):
    put(1, [1])
    sink = {"path": "out.parquet", "format": "PARQUET", "mode": mode}
    with pytest.raises(DefinitionError, match=message):
        pipeline(backend, node("a", {"path": "in/", "format": "JSONL"}, sink)).execute()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"steps": ["SELECT COUNT(*) AS n FROM {df}"]},
            "a stream's rows come in batches, and this looks at all of them",
        ),
        ({"steps": [{"func_name": "unique"}]}, "looks at all of them: unique"),
        (
            {"source": {**SOURCE, "drop_duplicates": True}},
            "'drop_duplicates' of a stream needs a Delta table as its source",
        ),
        ({"sinks": [{**COMPLETE, "path": "o/"}], "steps": [TOTALS]}, "the mode COMPLETE needs a Delta table"),
        (
            {"source": TABLE, "sinks": [COMPLETE, {"path": "o", "format": "DELTA"}], "steps": [TOTALS]},
            "all of them have it, or none",
        ),
        ({"source": TABLE, "sinks": [COMPLETE], "steps": ["SELECT id FROM {df}"]}, "no step has one"),
        ({"sinks": [{"path": "o.parquet", "format": "PARQUET", "mode": "OVERWRITE"}]}, "the mode 'OVERWRITE' does not"),
        ({"sinks": []}, "needs a sink"),
        ({"expectations": [{"unique": ["id"]}]}, "looks at all of them: rule"),
    ],
)
def test_what_spans_batches_is_refused(backend, more, message):
    if not ENGINES[backend].streams:
        message = "streaming reads are not supported"
    put(1, [1])
    made = {"name": "a", "source": SOURCE, "sinks": [{"path": "out/", "format": "PARQUET"}], **more}
    if "steps" in made:
        made["transformer"] = {"nodes": [{"expr": s} if isinstance(s, str) else s for s in made.pop("steps")]}
    with pytest.raises(DefinitionError) as caught:
        models.Pipeline(name="p", dataframe_backend=backend, nodes=[made]).execute()
    assert message in str(caught.value)
