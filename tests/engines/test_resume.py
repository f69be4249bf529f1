"""A resumed run gives the rows of an uninterrupted one, each once, or is refused. Every engine."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from building import csv_at, node, numbers, pipeline

from laktory import models
from laktory.diagnostics import secrets
from laktory.errors import DefinitionError, RunError
from laktory.runtime import record
from laktory.storage import commits

BROKEN = "SELECT CAST(s AS INTEGER) AS i FROM {df}"


def into(path, mode="OVERWRITE", **kwargs):
    return {"path": path, "format": path.rstrip("/").rpartition(".")[2].upper(), "mode": mode, **kwargs}


def chain(backend, *, bad=False, a="APPEND", b="APPEND", c="APPEND", first="a", name="p", **kwargs):
    """Three nodes that read one another; `bad` lets the last one fail."""
    return models.Pipeline(
        name=name,
        dataframe_backend=backend,
        nodes=[
            node(first, "in.parquet", into("a.parquet", a)),
            node("b", first, into("b.parquet", b)),
            node("c", "b", into("c.parquet", c), steps=[BROKEN] if bad else None),
        ],
        **kwargs,
    )


def height(*paths):
    return [pl.read_parquet(path).height for path in paths]


def failed(p, **kwargs):
    with pytest.raises(RunError):
        p.execute(**kwargs)


KILLED = """
import os, sys
from laktory import models
import laktory.runtime.writing as writing, laktory.storage.commits as commits

where, node = sys.argv[1], sys.argv[2]
carry_out = commits._carry_out

def killed(record, *, again):
    if record.path.endswith(f"/{node}.json"):
        os._exit(9)
    return carry_out(record, again=again)

def renamed(change, note, rename=commits._rename):
    done = rename(change, note)
    if f'"{node}"' in note["undone_line"]:
        os._exit(9)
    return done

if where == "pending":
    commits._carry_out = killed
    commits._rename = renamed
elif where == "ahead":
    commits._apply = lambda change, again: os._exit(9)
else:
    writing.commit = lambda *args, **kwargs: os._exit(9)
models.Pipeline.model_validate(open("killed.yaml")).execute()
"""


def kill(p, where="pending", at="a"):
    """Run a pipeline in a process that dies: with a commit `pending` or only `ahead` of it, or with staged data."""
    Path("killed.yaml").write_text(json.dumps(p.to_plain() if hasattr(p, "to_plain") else p))
    done = subprocess.run([sys.executable, "-c", KILLED, where, at], capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr


# ---- what a resumed part reads -----------------------------------------------------------------


def test_a_pending_commit_is_in_its_ledger_before_another_run_takes_over(backend):
    numbers(n=2)
    p = chain(backend, b="OVERWRITE", c="OVERWRITE")
    p.execute()
    kill(p)
    with pytest.raises(RunError, match="node 'c' reads 'b', which the unfinished run still has to run; select 'b' too"):
        p.execute(resume=True, selects=["c"])
    p.execute(resume=True)
    assert height("a.parquet", "b.parquet", "c.parquet") == [4, 2, 2]


@pytest.mark.parametrize("first", ["there", "not there"])
def test_a_rename_that_did_not_come_about_is_no_commit(backend, first):
    numbers(n=2)
    p = pipeline(backend, node("a", "in.parquet", into("a.csv", "APPEND")))
    if first == "there":
        p.execute()
    kill(p, "ahead")
    p.execute(resume=True)
    assert csv_at("a.csv").height == (4 if first == "there" else 2)
    assert p.last_run["resumed_from"]


@pytest.mark.parametrize("backend", ["POLARS", "DUCKDB"], indirect=True)  # where a commit is one rename
def test_a_rename_that_came_about_is_a_commit_whatever_happened_to_the_file(backend):
    numbers(n=2)
    p = pipeline(backend, node("a", "in.parquet", into("a.csv", "APPEND")))
    kill(p)
    with Path("a.csv").open("a") as file:
        file.write("7,s7\n")
    with pytest.raises(RunError, match="has appended rows"):
        p.execute(resume=True)


@pytest.mark.parametrize("backend", ["POLARS", "DUCKDB"], indirect=True)  # where a commit is one rename
@pytest.mark.parametrize("where", ["pending", "ahead"])
def test_a_copy_knows_whether_a_rename_came_about(backend, where, tmp_path, monkeypatch):
    Path("one").mkdir()
    monkeypatch.chdir("one")
    numbers(n=2)
    p = pipeline(backend, node("a", "in.parquet", into("a.csv", "APPEND")))
    p.execute()
    kill(p, where)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    monkeypatch.chdir(tmp_path / "two")
    if where == "pending":
        with pytest.raises(RunError, match="has appended rows"):
            p.execute(resume=True)
    else:
        p.execute(resume=True)
    assert csv_at("a.csv").height == 4


def test_a_resumed_part_reads_what_the_unfinished_run_committed(backend):
    for selects in (None, ["c"], ["b", "c"]):
        numbers(n=2)
        chain(backend).execute()
        failed(chain(backend, bad=True))
        p = chain(backend)
        p.execute(resume=True, selects=selects)
        assert height("a.parquet", "b.parquet", "c.parquet") == [4, 4, 4]
        p.execute(resume=True)
        assert height("a.parquet", "b.parquet", "c.parquet")[2] == (6 if selects is None else 4)
        for path in Path().iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_job_of_a_part_is_not_resumed_once_it_was_run_again(backend, caplog):
    numbers(n=2)
    chain(backend).execute()
    failed(chain(backend, bad=True), selects=["c"])
    chain(backend).execute(selects=["c"])
    assert height("c.parquet") == [4]
    with caplog.at_level("WARNING"):
        chain(backend).execute(selects=["c"], resume=True)
    assert "Nothing to resume" in caplog.text


# ---- what was replaced -------------------------------------------------------------------------


def two(backend, sink, *, bad):
    steps = [BROKEN] if bad else None
    return pipeline(backend, node("a", "in.parquet", sink), node("c", "a", "c.parquet", steps=steps))


@pytest.mark.parametrize("sink", [into("a.parquet"), into("a.jsonl"), into("a.csv"), into("d/", format="PARQUET")])
def test_a_replaced_output_is_written_again(backend, sink):
    sink = dict(sink)
    numbers(n=2)
    failed(two(backend, sink, bad=True))
    models.FileDataSink(path=sink["path"], format=sink["format"]).write(pl.DataFrame({"id": [70, 80, 90]}))
    p = two(backend, sink, bad=False)
    p.execute(resume=True)
    assert [n["status"] for n in p.last_run["nodes"]] == ["succeeded", "succeeded"]
    assert sorted(pl.read_parquet("c.parquet")["id"]) == [0, 1]
    assert p.nodes[0].output_df.collect("polars")["id"].sort().to_list() == [0, 1]


def test_what_was_appended_and_replaced_is_refused(backend):
    numbers(n=2)
    sink = into("a.parquet", "APPEND")
    two(backend, sink, bad=False).execute()
    failed(two(backend, sink, bad=True))
    if Path("a.parquet").is_dir():
        shutil.rmtree("a.parquet")
    numbers("a.parquet", n=2)
    with pytest.raises(RunError, match="node 'a' has appended rows, and what it wrote was changed or removed since"):
        two(backend, sink, bad=False).execute(resume=True)


def test_a_full_refresh_of_a_part_in_between_is_refused(backend):
    numbers(n=2)
    sink = into("a.parquet", "APPEND")
    two(backend, sink, bad=False).execute()
    failed(two(backend, sink, bad=True))
    two(backend, sink, bad=False).execute(full_refresh=True, selects=["a"])
    with pytest.raises(RunError, match=r"cannot resume: node 'a' would write to 'a.parquet', and run \S+ has written"):
        two(backend, sink, bad=False).execute(resume=True)


@pytest.mark.parametrize("kind", [{"path": "d/", "format": "PARQUET"}, {"path": "t", "format": "DELTA"}])
def test_rows_that_others_appended_beside_stay_out_of_a_resumed_run(backend, kind):
    numbers(n=2)
    failed(two(backend, kind, bad=True))
    more = pl.DataFrame({"id": [7], "x": [7.0], "s": ["s"]})
    models.FileDataSink(**kind, mode="APPEND").write(more)
    p = two(backend, kind, bad=False)
    p.execute(resume=True)
    assert [n["status"] for n in p.last_run["nodes"]] == ["resumed", "succeeded"]
    assert height("c.parquet") == [2]


@pytest.mark.parametrize("killed", [False, True], ids=["failed", "killed before it was committed"])
def test_a_delta_table_is_read_at_the_version_of_the_run(backend, killed):
    numbers(n=2)
    sink = {"path": "t", "format": "DELTA"}
    begun = two(backend, sink, bad=not killed)
    kill(begun) if killed else failed(begun)
    models.FileDataSink(path="t", format="DELTA").write(pl.DataFrame({"id": [77]}))
    two(backend, sink, bad=False).execute(resume=True)
    assert sorted(pl.read_parquet("c.parquet")["id"]) == [0, 1]


def test_a_delta_append_without_rows_is_resumed(backend):
    numbers(n=2)
    sink = {"path": "t", "format": "DELTA", "mode": "APPEND"}
    two(backend, sink, bad=False).execute()
    pl.read_parquet("in.parquet").head(0).write_parquet("in.parquet")
    p = pipeline(
        backend, node("a", "in.parquet", sink), node("c", "a", "c.parquet"), node("z", "nothing.parquet", "z.parquet")
    )
    failed(p)
    models.FileDataSink(path="c.parquet", format="PARQUET", dataframe_backend=backend).purge()
    numbers("nothing.parquet", n=1)
    p.execute(resume=True)
    assert height("c.parquet") == [0]


# ---- other runs, other names -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["select", "node"])
def test_a_run_of_a_part_in_between_that_appended_is_refused(backend, how):
    numbers(n=2)
    failed(chain(backend, bad=True))
    if how == "select":
        chain(backend).execute(selects=["c"])
    else:
        chain(backend).nodes_dict["c"].execute()
    run = max(Path(".laktory/pipelines/p/runs").iterdir()).name
    with pytest.raises(RunError, match=f"node 'c' would write to 'c.parquet', and run {run} has written there"):
        chain(backend).execute(resume=True)
    assert height("c.parquet") == [2]


def test_a_run_of_a_part_in_between_that_replaced_is_no_hindrance(backend):
    numbers(n=2)
    failed(chain(backend, bad=True, c="OVERWRITE"))
    chain(backend, c="OVERWRITE").execute(selects=["c"])
    chain(backend, c="OVERWRITE").execute(resume=True)
    assert height("a.parquet", "c.parquet") == [2, 2]


def test_a_custom_writer_that_another_run_called_is_not_called_again(backend, tmp_path, monkeypatch):
    name = f"writers_{os.urandom(4).hex()}"
    (tmp_path / f"{name}.py").write_text("CALLS = []\ndef write(df):\n    CALLS.append(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    numbers(n=2)

    def made(bad):
        steps = [BROKEN] if bad else None
        return pipeline(
            backend, node("a", "in.parquet", {"custom_writer": f"{name}.write"}, steps=steps), imports=[name]
        )

    failed(made(bad=True))
    made(bad=False).execute(selects=["a"])
    with pytest.raises(RunError, match="cannot resume: node 'a' would write to its custom writer"):
        made(bad=False).execute(resume=True)
    assert sys.modules[name].CALLS == [1]


def test_a_renamed_node_does_not_append_again(backend):
    numbers(n=2)
    failed(chain(backend, bad=True))
    with pytest.raises(
        RunError, match=r"node 'a2' would write to 'a.parquet', and run \S+ has written there, as node 'a'"
    ):
        chain(backend, first="a2").execute(resume=True)
    assert height("a.parquet") == [2]


@pytest.mark.parametrize("root", [{}, {"root_path": "state"}])
def test_a_renamed_pipeline_does_not_append_again(backend, root):
    numbers(n=2)
    failed(chain(backend, bad=True, **root))
    with pytest.raises(RunError, match=r"pipeline 'p2' has never run, and the unfinished run \S+ of pipeline 'p'"):
        chain(backend, name="p2", **root).execute(resume=True)
    assert height("a.parquet") == [2]
    chain(backend, **root).execute(resume=True)
    assert height("a.parquet", "c.parquet") == [2, 2]
    chain(backend, name="p2", **root).execute(resume=True)
    assert height("a.parquet") == [4], "nothing is unfinished any more"


# ---- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["data", "rows", str(int(time.time()))[:7], "tok3nVALUE"])
def test_secrets_neither_break_a_resume_nor_lie_in_its_files(backend, secret, monkeypatch):
    monkeypatch.setattr(secrets, "_values", set())  # what is registered here is no secret of other tests
    monkeypatch.setattr(secrets, "_pattern", None)
    numbers(n=2)

    def made(bad):
        steps = [BROKEN] if bad else None
        path = f"data-{secret}/a.parquet"
        nodes = [node("a", "in.parquet", into(path, "APPEND")), node("c", "a", "c.parquet", steps=steps)]
        return pipeline(backend, *nodes, variables={"db_password": secret})

    failed(made(bad=True))
    p = made(bad=False)
    p.execute(resume=True)
    assert height(f"data-{secret}/a.parquet", "c.parquet") == [2, 2]
    assert [n["status"] for n in p.last_run["nodes"]] == ["resumed", "succeeded"]
    for run in Path(".laktory/pipelines/p/runs").iterdir():
        json.loads((run / "record.json").read_text())
        if secret == "tok3nVALUE":
            assert not [f for f in run.rglob("*") if f.is_file() and secret.encode() in f.read_bytes()]
    p.execute()
    assert f"data-{secret}" not in json.dumps(p.last_run)


def test_a_damaged_ledger_is_an_error_and_a_torn_end_is_not(backend):
    numbers(n=2)
    failed(chain(backend, bad=True))
    [ledger] = Path(".laktory").rglob("ledger.jsonl")
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join([*lines, '{"node": "c", "dig']))
    failed(chain(backend, bad=True), resume=True)
    assert height("a.parquet") == [2]
    ledger = max(Path(".laktory").rglob("ledger.jsonl"))
    ledger.write_text("".join([lines[0], lines[1][:20] + "\n", lines[2]]))
    with pytest.raises(RunError, match="line 2 of the ledger .* is damaged"):
        chain(backend).execute(resume=True)
    assert height("a.parquet") == [2]


# ---- what runs leave ---------------------------------------------------------------------------


def test_intermediate_results_of_an_unfinished_run_stay(backend):
    numbers(n=2)
    nodes = [node("a", "in.parquet", into("a.csv", "APPEND")), node("x", "in.parquet", "x.parquet")]
    failed(pipeline(backend, *nodes, node("c", "a", "c.parquet", steps=[BROKEN])))
    p = pipeline(backend, *nodes, node("c", "a", "c.parquet"))
    p.execute(selects=["x"])
    p.execute(resume=True)
    assert height("c.parquet") == [2]
    assert csv_at("a.csv").height == 2


def test_an_unfinished_run_is_not_forgotten(backend, monkeypatch):
    monkeypatch.setattr(record, "KEPT_RUNS", 2)
    numbers(n=2)
    p = chain(backend)
    for _ in range(4):
        p.execute(full_refresh=True)
    runs = Path(".laktory/pipelines/p/runs")
    assert len(list(runs.iterdir())) == 2
    failed(chain(backend, bad=True, b="OVERWRITE"))
    for _ in range(6):
        gc.collect()
        p.execute(selects=["b"], full_refresh=True)
    assert len(list(runs.iterdir())) == 4, "the one that p reads node a of, too"
    chain(backend, b="OVERWRITE").execute(resume=True)
    assert height("a.parquet") == [4]
    for _ in range(2):
        gc.collect()
        p.execute(full_refresh=True)
    assert len(list(runs.iterdir())) == 2


def test_a_run_that_was_killed_before_it_began_is_no_hindrance(backend):
    numbers(n=2)
    p = pipeline(backend, node("a", "in.parquet", "a.csv"), node("b", "a", "b.parquet"))
    p.execute()
    Path(".laktory/pipelines/p/runs/99990101T000000000000-aaaaaa").mkdir()
    p = models.Pipeline.model_validate(p.to_plain())
    p.execute(selects=["b"])
    p.execute(resume=True)
    assert height("b.parquet") == [2]


def test_what_forgotten_runs_appended_is_not_doubled(backend, monkeypatch):
    monkeypatch.setattr(record, "KEPT_RUNS", 1)
    numbers(n=2)
    failed(chain(backend, bad=True))
    chain(backend).execute(selects=["c"])
    plain = chain(backend).to_plain()
    plain["nodes"].append(node("x", "in.parquet", "x.parquet"))
    for _ in range(3):
        gc.collect()
        models.Pipeline.model_validate(plain).execute(selects=["x"])
    assert len(list(Path(".laktory/pipelines/p/runs").iterdir())) == 2
    with pytest.raises(RunError, match="cannot resume: node 'c' would write to 'c.parquet', and run .* has written"):
        chain(backend).execute(resume=True)
    assert height("a.parquet", "b.parquet", "c.parquet") == [2, 2, 2]


def test_a_run_that_is_removed_by_half_cannot_be_resumed(backend, monkeypatch):
    numbers(n=2)
    chain(backend).execute()

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(record, "KEPT_RUNS", 1)
        patched.setattr(record, "remove_unheld", stop)
        chain(backend).execute(selects=["c"])
    chain(backend).execute(resume=True)
    assert height("a.parquet", "b.parquet", "c.parquet") == [4, 4, 6]


def test_intermediate_results_that_another_process_reads_stay(backend):
    numbers(n=2)
    p = pipeline(backend, node("a", "in.parquet", "a.csv"), node("b", "a", "b.parquet"))
    p.execute()
    held = p.nodes[0].output_df
    Path("again.yaml").write_text(json.dumps(p.to_plain()))
    script = "from laktory import models; models.Pipeline.model_validate(open('again.yaml')).execute()"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert len(held.collect("polars")) == 2
    del held
    p.execute()
    p.execute()
    assert len(list(Path(".laktory").rglob("scratch"))) == 2, "of the last run, and of the one whose frames p had then"


def test_temporary_files_of_a_killed_run_go(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    Path("temp").mkdir()
    numbers(n=2)
    p = two(backend, into("a.parquet"), bad=False)
    kill(p, "staged")
    assert len(list(Path("temp").iterdir())) == 1
    p.execute()
    left = [folder for folder in Path("temp").iterdir() if folder.name.startswith("laktory-")]
    assert len(left) == 1, "that of the run whose frames are still in use"
    assert p.nodes[0].output_df is not None


def test_staged_data_of_a_killed_run_goes_when_its_sink_has_moved(backend):
    numbers(n=2)
    kill(pipeline(backend, node("a", "in.parquet", "out/old.parquet")), "staged")
    assert [f.name for f in Path("out").iterdir()] == [".laktory-old.parquet"]
    pipeline(backend, node("a", "in.parquet", "out/new.parquet")).execute()
    assert [f.name for f in Path("out").iterdir()] == ["new.parquet"]


def test_a_copied_project_leaves_the_commits_of_the_original(backend, tmp_path, monkeypatch):
    Path("one").mkdir()
    monkeypatch.chdir("one")
    numbers(n=2)
    p = pipeline(backend, node("a", "in.parquet", "a.parquet", "a.csv"), node("b", "in.parquet", "b.parquet"))
    kill(p)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    monkeypatch.chdir(tmp_path / "two")
    p.execute(selects=["b"])
    assert not (tmp_path / "one/a.parquet").exists()


# ---- the record --------------------------------------------------------------------------------


def test_a_node_that_committed_while_the_run_was_stopped_is_told_as_succeeded(backend, monkeypatch):
    numbers(n=2)
    committing, apply = threading.Event(), commits._apply

    def slow(change, *, again):
        os.kill(os.getpid(), signal.SIGINT)
        committing.wait(1)
        return apply(change, again=again)

    monkeypatch.setattr(commits, "_apply", slow)
    rules = [{"name": "r", "expr": "id < 2", "action": "QUARANTINE"}]
    p = pipeline(backend, node("a", "in.parquet", "a.parquet", expectations=rules), node("b", "a", "b.parquet"))
    # a suite that runs in the background ignores it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            p.execute()
    finally:
        signal.signal(signal.SIGINT, before)
    [record_file] = Path(".laktory").rglob("record.json")
    told = json.loads(record_file.read_text())
    assert told["status"] == "interrupted"
    assert {n["name"]: (n["status"], n.get("rows_out")) for n in told["nodes"]} == {
        "a": ("succeeded", 2),
        "b": ("skipped", None),
    }
    assert [check["status"] for check in told["nodes"][0]["checks"]] == ["PASS"]
    assert told["nodes"][0]["rows_quarantined"] == 0
    assert height("a.parquet") == [2]


def test_the_record_counts_rows_in(backend):
    numbers(n=3)
    Path("t.csv").write_text("id\n1\n")
    p = pipeline(
        backend,
        node("a", "in.parquet", into("a.parquet"), steps=["SELECT * FROM {df} WHERE id > 0"]),
        node("b", "a", "b.parquet", steps=["SELECT * FROM {df} UNION ALL SELECT * FROM {nodes.a}"]),
        node("c", {"path": "t.csv", "format": "CSV"}, "c.parquet"),
        node("d", "a.parquet", into("a2.parquet"), depends_on=["a"]),
    )
    p.execute()
    rows = {n["name"]: (n["rows_in"], n["rows_out"]) for n in p.last_run["nodes"]}
    assert (rows["a"], rows["c"], rows["d"]) == ((3, 2), (None, 1), (2, 2))


def test_resuming_without_writing_is_refused(backend):
    numbers(n=2)
    with pytest.raises(DefinitionError, match="resume=True with write_sinks=False"):
        chain(backend).execute(resume=True, write_sinks=False)


def test_digests_do_not_depend_on_what_is_selected(backend):
    numbers(n=2)
    p = chain(backend)
    assert p.plan(["c"]).by_name["c"].digest == p.plan().by_name["c"].digest
    assert p.plan(["c"]).digests == p.plan().digests


@pytest.mark.parametrize("move", [shutil.copytree, shutil.move])
def test_a_project_that_was_moved_or_copied_doubles_nothing(backend, tmp_path, monkeypatch, move):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    numbers(n=2)
    failed(chain(backend, bad=True))
    monkeypatch.chdir(tmp_path)
    move(str(tmp_path / "here"), str(tmp_path / "there"))
    monkeypatch.chdir(tmp_path / "there")
    mended = chain(backend)
    mended.nodes[0].transformer = {"nodes": [{"expr": "SELECT * FROM {df}"}]}
    with pytest.raises(RunError, match="cannot resume: node 'a' has appended rows"):
        mended.execute(resume=True)
    assert height("a.parquet", "b.parquet") == [2, 2]


def test_a_clock_that_was_set_back_makes_no_run_older(backend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers(n=2)
    chain(backend).execute()

    class Earlier(record.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) - record.timedelta(hours=1)

    monkeypatch.setattr(record, "datetime", Earlier)
    failed(chain(backend, bad=True))
    chain(backend).execute(resume=True)
    assert height("a.parquet", "b.parquet", "c.parquet") == [4, 4, 4]
