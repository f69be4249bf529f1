"""What fails, what is resumed, what is refused. Every engine."""

import os
import sys
from pathlib import Path

import polars as pl
import pytest
from building import bytes_at, lines_at, node, numbers, pipeline, remove

from laktory import models
from laktory.errors import DefinitionError, RunError, SourceError, StepError, TargetLockedError

SEED = Path(__file__).parents[1] / "seed"


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
    before = [bytes_at(name) for name in ("a.parquet", "a.csv")]
    p = pipeline(
        backend, node("a", "in.parquet", "a.parquet", "a.csv", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    )
    with pytest.raises(RunError, match="node 'a'"):
        p.execute()
    assert [bytes_at(name) for name in ("a.parquet", "a.csv")] == before
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
    assert len(lines_at("a.csv")) == 2
    p = pipeline(backend, *mended)
    p.execute(resume=True)
    assert len(lines_at("a.csv")) == 2
    assert pl.read_parquet("b.parquet")["s"].sort().to_list() == ["s0", "s1"]
    assert [n["status"] for n in p.last_run["nodes"]] == ["resumed", "succeeded"]
    p.execute(resume=True)
    assert len(lines_at("a.csv")) == 4, "nothing was left to resume: a new run"


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
    assert len(lines_at("a.csv")) == 2
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
    assert lines_at("a.csv") == ["1"]


def test_what_was_appended_and_lost_is_not_appended_again(backend):
    numbers(n=2)
    sink = {"path": "a.csv", "format": "CSV", "mode": "APPEND"}
    broken = node("b", "a", "b.parquet", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    with pytest.raises(RunError):
        pipeline(backend, node("a", "in.parquet", sink), broken).execute()
    for file in Path(".laktory").rglob("scratch/*"):
        remove(file)
    with pytest.raises(RunError, match="cannot resume"):
        pipeline(backend, node("a", "in.parquet", sink), broken).execute(resume=True)
    assert len(lines_at("a.csv")) == 2


def test_resume_runs_what_changed(backend):
    numbers(n=2)
    bad = node("b", "a", "b.parquet", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    with pytest.raises(RunError):
        pipeline(backend, node("a", "in.parquet", "a.parquet"), bad).execute()
    changed = node("a", "in.parquet", "a.parquet", steps=["SELECT * FROM {df}"])
    p = pipeline(backend, changed, node("b", "a", "b.parquet"))
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


# ---- resuming, case by case -------------------------------------------------------------------

APPENDED = {"path": "a.csv", "format": "CSV", "mode": "APPEND"}
BROKEN = "SELECT CAST(s AS INTEGER) AS i FROM {df}"


def appended_and_failed(backend, **kwargs):
    """A run whose node `a` appended two rows and whose node `c` failed."""
    numbers(n=2)
    a, c = node("a", "in.parquet", APPENDED, **kwargs), node("c", "in.parquet", "c.parquet", steps=[BROKEN])
    with pytest.raises(RunError):
        pipeline(backend, a, c).execute()
    return a, node("c", "in.parquet", "c.parquet")


def test_words_that_change_no_row_do_not_stop_a_resume(backend):
    a, c = appended_and_failed(backend)
    a |= {"comment": "better", "tags": ["t"]}
    pipeline(backend, a, c, imports=["json"]).execute(resume=True)
    assert len(lines_at("a.csv")) == 2


def test_a_changed_node_that_appended_is_not_resumed(backend):
    a, c = appended_and_failed(backend)
    a["sinks"] = [*a["sinks"], {"path": "more.csv", "format": "CSV"}]
    with pytest.raises(RunError, match="cannot resume: node 'a' has appended rows, and its definition"):
        pipeline(backend, a, c).execute(resume=True)
    assert len(lines_at("a.csv")) == 2


def test_a_deleted_sink_that_was_appended_to_is_not_resumed(backend):
    a, c = appended_and_failed(backend)
    remove("a.csv")
    with pytest.raises(RunError, match="cannot resume"):
        pipeline(backend, a, c).execute(resume=True)


def test_resuming_a_part_keeps_what_the_others_committed(backend):
    a, c = appended_and_failed(backend)
    pipeline(backend, a, c).execute(resume=True, selects=["c"])
    pipeline(backend, a, c).execute(resume=True)
    assert len(lines_at("a.csv")) == 2


def test_other_runs_in_between_do_not_hide_an_unfinished_one(backend):
    a, c = appended_and_failed(backend)
    p = pipeline(backend, a, c, node("d", "in.parquet", "d.parquet"))
    p.nodes_dict["d"].execute()
    models.Pipeline(
        name="other", root_path=p.root_path, dataframe_backend=backend, nodes=[node("e", "in.parquet", "e.parquet")]
    ).execute()
    p.execute(resume=True)
    assert len(lines_at("a.csv")) == 2


def test_a_full_refresh_is_resumed_as_one(backend):
    a, c = appended_and_failed(backend)
    with pytest.raises(RunError, match="full refresh"):
        pipeline(backend, a, c).execute(resume=True, full_refresh=True)
    assert len(lines_at("a.csv")) == 2


def test_a_custom_writer_that_failed_runs_again_alone(backend, tmp_path, monkeypatch):
    name = f"flaky_{os.urandom(4).hex()}"
    (tmp_path / f"{name}.py").write_text(
        "CALLS = []\n"
        "def write(df):\n"
        "    CALLS.append(sorted(df.collect('polars')['id'].to_list()))\n"
        "    if len(CALLS) == 1:\n"
        "        raise OSError('no line')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    numbers(n=2)
    p = pipeline(backend, node("a", "in.parquet", APPENDED, {"custom_writer": f"{name}.write"}), imports=[name])
    with pytest.raises(RunError, match="no line"):
        p.execute()
    p.execute(resume=True)
    assert len(lines_at("a.csv")) == 2
    assert sys.modules[name].CALLS == [[0, 1], [0, 1]]


def test_a_resumed_consumer_sees_what_the_others_saw(backend):
    numbers(n=1)
    once = node("a", "in.parquet", steps=["SELECT id, s FROM {df}"])
    nodes = [once, node("b", "a", "b.parquet"), node("d", "a", "d.parquet", steps=[BROKEN])]
    with pytest.raises(RunError):
        pipeline(backend, *nodes).execute()
    numbers(n=3)
    pipeline(backend, *nodes[:2], node("d", "a", "d.parquet")).execute(resume=True)
    assert (pl.read_parquet("b.parquet").height, pl.read_parquet("d.parquet").height) == (1, 1)


def test_a_failed_run_leaves_no_older_output_on_its_nodes(backend):
    numbers(n=2)
    p = pipeline(backend, node("a", "in.parquet", "a.parquet"))
    p.execute()
    p.nodes[0].transformer = {"nodes": [{"expr": BROKEN}]}
    with pytest.raises(RunError):
        p.execute()
    assert p.nodes[0].output_df is None


def test_a_pipeline_that_ran_can_be_copied(backend):
    numbers(n=2)
    p = pipeline(backend, node("a", "in.parquet", "a.parquet"))
    p.execute()
    copied = p.model_copy(deep=True)
    assert copied == p
    assert copied.nodes[0].output_df is None
    assert len(p.nodes[0].output_df.collect("polars")) == 2
