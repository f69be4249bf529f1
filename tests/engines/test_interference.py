"""What somebody does to a project between two runs, or during one: no row is lost or doubled by it. Every engine."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from building import csv_at, files_at, node, numbers, pipeline, rows_of

from laktory import models
from laktory.errors import RunError
from laktory.runtime import record, sessions
from laktory.runtime.ledger import LEDGER
from laktory.runtime.record import RunFolder, new_run_id
from laktory.settings import settings
from laktory.storage import Locks, commits

BROKEN = "SELECT CAST(s AS INTEGER) AS i FROM {df}"

KILLED = """
import os, sys
from laktory import models
from laktory.storage import commits

count, apply = int(sys.argv[1]), commits._apply

def killed(change, *, again):
    global count
    count -= 1
    return apply(change, again=again) if count else os._exit(9)

commits._apply = killed
models.Pipeline.model_validate(open("killed.json").read()).execute()
"""


def into(path, mode="APPEND"):
    return {"path": str(path), "format": Path(path).suffix[1:].upper(), "mode": mode}


def kill(p, at):
    """Run a pipeline in a process that dies before its `at`-th sink changes; what it would need is on disk."""
    Path("killed.json").write_text(json.dumps(p.to_plain()))
    done = subprocess.run([sys.executable, "-c", KILLED, str(at)], capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr


def ids(path):
    read = csv_at if str(path).endswith(".csv") else pl.read_parquet
    return sorted(read(path)["id"])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Makes a project, and moves it away from what lies outside."""

    def move():
        there = tmp_path / "moved" / "deep" / "project"
        there.parent.mkdir(parents=True)
        (tmp_path / "project").rename(there)
        monkeypatch.chdir(there)

    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    numbers(n=2)
    return move


def test_a_changed_node_does_not_append_again_after_the_project_was_moved_away_from_its_target(
    backend, project, tmp_path
):
    def two(*, bad, comment=""):
        first = node("a", "in.parquet", into(tmp_path / "a.csv"), steps=["SELECT * FROM {df}" + comment])
        return pipeline(backend, first, node("c", "a", "c.parquet", steps=[BROKEN] if bad else None))

    with pytest.raises(RunError):
        two(bad=True).execute()
    project()
    with pytest.raises(RunError, match="cannot resume: node 'a' has appended rows, and its definition"):
        two(bad=False, comment=" WHERE id > -1").execute(resume=True)
    two(bad=False).execute(resume=True)
    assert ids(tmp_path / "a.csv") == [0, 1]


@pytest.mark.parametrize("what", ["moved", "staging folders removed"])
def test_a_commit_that_can_no_longer_be_finished_is_not_made_again(backend, project, tmp_path, what):
    p = pipeline(backend, node("a", "in.parquet", into(tmp_path / "x.csv"), into(tmp_path / "y.csv")))
    p.execute()
    kill(p, 2)
    assert [len(ids(tmp_path / name)) for name in ("x.csv", "y.csv")] == [4, 2]
    if what == "moved":
        project()
    else:
        for folder in tmp_path.glob(".laktory-*"):
            shutil.rmtree(folder)
    with pytest.raises(
        RunError, match=r"node 'a' of run \S+ was stopped while it wrote to '.*', and what it had staged is"
    ):
        p.execute(resume=True)
    assert [len(ids(tmp_path / name)) for name in ("x.csv", "y.csv")] == [4, 2]
    p.execute()
    assert [len(ids(tmp_path / name)) for name in ("x.csv", "y.csv")] == [6, 4]


@pytest.mark.parametrize("backend", ["POLARS", "DUCKDB"], indirect=True)  # where a commit is one rename
@pytest.mark.parametrize("edit", ["another path", "another pipeline"])
def test_a_rename_that_did_not_come_about_is_known_after_a_run_of_something_else(backend, edit):
    numbers(n=2)
    first = pipeline(backend, node("a", "in.parquet", into("a.csv")), root_path_="state")
    other = models.Pipeline(
        name="p" if edit == "another path" else "q",
        dataframe_backend=backend,
        nodes=[node("b", "in.parquet", into("b.csv"))],
        root_path_="state",
    )
    kill(first, 1)
    with pytest.raises(RunError):
        models.Pipeline.model_validate({**other.to_plain(), "nodes": [node("b", "not there.csv", "b.csv")]}).execute()
    first.execute(resume=True)
    assert ids("a.csv") == [0, 1]


def test_a_commit_that_a_run_of_something_else_finished_is_not_made_again(backend):
    """Both have one name, so that it is the other one that would be continued: to it these rows are new."""
    numbers(n=2)
    first = pipeline(
        backend, node("a", "in.parquet", {"path": "a/", "format": "PARQUET", "mode": "APPEND"}), root_path_="state"
    )
    other = pipeline(backend, node("b", "not there.csv", into("b.csv")), root_path_="state")
    kill(first, 1)
    assert not files_at("a")
    with pytest.raises(RunError):
        other.execute()
    assert ids("a") == [0, 1]
    with pytest.raises(RunError, match="node 'a' would write to 'a/', and run .* has written there, as node 'a'"):
        first.execute(resume=True)
    assert ids("a") == [0, 1]
    first.execute()
    assert ids("a") == [0, 0, 1, 1]


@pytest.mark.parametrize("backend", ["POLARS", "DUCKDB"], indirect=True)  # where a commit is one rename
def test_of_a_rename_whose_staged_file_others_removed_is_told_what_is_known(backend):
    """Nobody can tell whether it came about; who says that rows were appended sends people to look for them."""
    numbers(n=2)
    first = pipeline(backend, node("a", "in.parquet", into("a.csv")), root_path_="state")
    kill(first, 1)
    elsewhere = {"dataframe_backend": backend, "root_path_": "elsewhere"}
    models.Pipeline(name="q", nodes=[node("b", "in.parquet", into("a.csv"))], **elsewhere).execute()
    with pytest.raises(RunError) as caught:
        first.execute(resume=True)
    assert "node 'a' wrote to 'a.csv', or was about to, when run" in str(caught.value)
    assert "its rows may be there, or not; run without resuming" in str(caught.value)
    assert ids("a.csv") == [0, 1]


def test_of_a_rename_that_another_node_has_read_is_told_that_it_came_about(backend):
    numbers(n=2)
    first = pipeline(backend, node("a", "in.parquet", into("a.csv")), node("c", "a", "c.csv"), root_path_="state")
    kill(first, 2)
    files_at("a.csv")[0].write_text("id,x,s\n7,1.0,q\n")
    with pytest.raises(RunError, match="node 'a' has appended rows, and what it wrote was changed or removed since"):
        first.execute(resume=True)


READER = """
import os, shutil
import polars as pl

def remove():
    shutil.rmtree("out/.laktory-a.parquet")
    return pl.DataFrame({"id": [9]})

def relink():
    os.unlink("out")
    os.symlink("two", "out")
    return pl.DataFrame({"id": [9]})

def go():
    os.chdir("two")
    return pl.DataFrame({"id": [9]})
"""


@pytest.mark.parametrize("what", ["remove", "relink", "go"])
def test_nothing_is_written_without_a_lock(backend, project, what, monkeypatch):
    folders = [Path("one").absolute(), Path("two").absolute()]
    for folder in folders:
        folder.mkdir()
    (folders[1] / "out").mkdir()
    Path("out").symlink_to("one")
    numbers("out/a.parquet", n=2)
    Path("readers.py").write_text(READER)
    monkeypatch.syspath_prepend(".")
    monkeypatch.delitem(sys.modules, "readers", raising=False)
    reader = {"custom_reader": {"func_name": f"readers.{what}"}}
    p = pipeline(backend, node("a", reader, into("out/a.parquet", "OVERWRITE")), imports=["readers"])
    told = "was removed meanwhile" if what == "remove" else "which is not what was locked when it began"
    with pytest.raises(RunError, match=told):
        p.execute()
    assert ids(folders[0] / "a.parquet") == [0, 1]
    assert [path.name for folder in folders for path in sorted(folder.rglob("*"))] == ["a.parquet", "out"]


@pytest.mark.parametrize("mode", ["OVERWRITE", "APPEND"])
@pytest.mark.parametrize("kind", [{"path": "t", "format": "DELTA"}, {"path": "d/", "format": "PARQUET"}])
def test_an_output_that_another_run_replaced_is_not_kept(backend, mode, kind):
    def two(*, bad):
        return pipeline(
            backend,
            node("a", "in.parquet", {**kind, "mode": mode, "writer_kwargs": {"partition_by": ["s"]}}),
            node("c", "a", "c.parquet", steps=[BROKEN] if bad else None),
        )

    numbers(n=2)
    pl.read_parquet("in.parquet").with_columns(s=pl.lit("ä %&/=x")).write_parquet("in.parquet")
    with pytest.raises(RunError):
        two(bad=True).execute()
    p = two(bad=False)
    p.execute(resume=True)
    assert [found["status"] for found in p.last_run["nodes"]] == ["resumed", "succeeded"]
    with pytest.raises(RunError):
        two(bad=True).execute()
    two(bad=False).execute(full_refresh=True, selects=["a"])
    if mode == "APPEND":
        with pytest.raises(RunError, match="cannot resume: node 'a' would write to"):
            two(bad=False).execute(resume=True)
    else:
        p = two(bad=False)
        p.execute(resume=True)
        assert [found["status"] for found in p.last_run["nodes"]] == ["succeeded", "succeeded"]


# ---- stopping, waiting -------------------------------------------------------------------------


@pytest.fixture
def stopped(monkeypatch):
    """Runs a pipeline that is stopped, with two Ctrl-C, in the middle of its first commit; whether it was locked."""

    def run(p):
        locked, apply = [], commits._apply

        def slow(change, *, again):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.4)
            locked.append(Path(f".laktory-{Path(change.target.path).name}/lock").exists())
            return apply(change, again=again)

        # a suite that runs in the background ignores it
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(commits, "_apply", slow)
                p.execute()
        finally:
            signal.signal(signal.SIGINT, before)
        return locked

    return run


def test_no_lock_goes_while_a_node_commits(backend, stopped):
    numbers(n=2)
    assert stopped(pipeline(backend, node("a", "in.parquet", "a.parquet"), node("b", "a", "b.parquet"))) == [True]
    assert ids("a.parquet") == [0, 1]
    [told] = Path(".laktory").rglob("record.json")
    assert [found["status"] for found in json.loads(told.read_text())["nodes"]] == ["succeeded", "skipped"]


def test_a_stopped_run_calls_no_writer_any_more(backend, stopped, monkeypatch):
    numbers(n=2)
    Path("writers.py").write_text(
        "def write(frame):\n    with open('log', 'a') as out:\n        out.write('called\\n')\n"
    )
    monkeypatch.syspath_prepend(".")
    monkeypatch.delitem(sys.modules, "writers", raising=False)
    writer = {"custom_writer": {"func_name": "writers.write"}}
    p = pipeline(backend, node("a", "in.parquet", into("a.csv"), writer), imports=["writers"])
    assert stopped(p) == [True]
    assert not Path("log").exists()
    p.execute(resume=True)
    assert Path("log").read_text() == "called\n"
    assert ids("a.csv") == [0, 1]


def test_a_run_that_waited_for_another_is_the_later_one(backend, monkeypatch):
    numbers(n=2)
    monkeypatch.setattr(settings, "lock_timeout", 30.0)
    p = pipeline(backend, node("a", "in.parquet", into("a.csv")), node("z", "z.parquet", into("z.csv")))
    root = Path(".laktory/pipelines/p")
    root.mkdir(parents=True)
    with Locks.acquire([], owner="test", extra=str(root / "lock")):
        waiting = threading.Thread(target=p.execute)
        numbers("z.parquet", n=1)
        waiting.start()
        time.sleep(1)
        # a run that began later, and got the lock first
        later = RunFolder(root, new_run_id(root))
        later.open({"ledger": LEDGER, "job": later.run_id, "pipeline": "p", "selects": [], "scope": [], "nodes": ["a"]})
    waiting.join()
    assert max(path.name for path in (root / "runs").iterdir()) == p.last_run["run_id"] > later.run_id


# ---- folders of runs ---------------------------------------------------------------------------


def half(backend, *, bad):
    """A node that appends, and one that may fail."""
    return pipeline(
        backend,
        node("a", "in.parquet", into("a.csv")),
        node("c", "a", "c.parquet", steps=[BROKEN] if bad else None),
    )


def runs():
    return sorted(Path(".laktory/pipelines/p/runs").iterdir())


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b'{"status": 1}'])
def test_a_record_that_cannot_be_read_is_none(backend, text):
    numbers(n=2)
    with pytest.raises(RunError):
        half(backend, bad=True).execute()
    (runs()[-1] / "record.json").write_bytes(text)
    half(backend, bad=False).execute(resume=True)
    assert ids("a.csv") == [0, 1]
    (runs()[-1] / "record.json").write_bytes(text)
    half(backend, bad=False).execute()
    assert ids("a.csv") == [0, 0, 1, 1]


def test_a_copy_of_a_run_beside_it_is_no_run(backend):
    numbers(n=2)
    half(backend, bad=False).execute()
    with pytest.raises(RunError):
        half(backend, bad=True).execute()
    for name in ("backup", f"{runs()[1].name}.bak", f"{runs()[1].name} (copy)"):
        shutil.copytree(runs()[0], runs()[0].with_name(name))
    half(backend, bad=False).execute(resume=True)
    assert ids("a.csv") == [0, 0, 1, 1]


@pytest.mark.parametrize("form", [LEDGER - 1, LEDGER + 1, None])
def test_a_run_of_another_version_is_not_resumed(backend, form):
    numbers(n=2)
    with pytest.raises(RunError):
        half(backend, bad=True).execute()
    ledger = runs()[-1] / "ledger.jsonl"
    header, *lines = ledger.read_text().splitlines()
    ledger.write_text(
        "\n".join([json.dumps({**json.loads(header), "ledger": form}), '{"of": "another form"}', *lines, ""])
    )
    with pytest.raises(RunError, match=r"begun by another version of Laktory: .*; run without resuming, or remove"):
        half(backend, bad=False).execute(resume=True)
    half(backend, bad=False).execute()
    assert ids("a.csv") == [0, 0, 1, 1]


def test_types_are_known_as_long_as_nobody_wrote_the_file_anew(backend, monkeypatch):
    monkeypatch.setattr(record, "KEPT_RUNS", 2)
    numbers(n=2)

    def execute(**kwargs):
        nodes = node("a", "in.parquet", into("a.csv", "OVERWRITE")), node("b", "a", "b.parquet")
        pipeline(backend, *nodes).execute(**kwargs)
        assert pl.read_parquet("b.parquet").schema["x"] == pl.Float64

    execute()
    for _ in range(4):
        execute(selects=["b"])
    execute()
    execute()
    # a folder that frames of this process read from stays, without its ledger
    assert len(list(Path(".laktory").rglob("ledger.jsonl"))) == 2


# ---- threads and processes ---------------------------------------------------------------------


def test_a_forked_child_takes_nothing_away_from_its_parent(backend):
    """A child of a process in which Sail runs does not end by itself; Sail waits there for threads of its parent."""
    code = (
        "import os, weakref\n"
        "from laktory.runtime.sessions import Sessions\n"
        "one, two = Sessions(), Sessions()\n"
        f"one.get({backend!r})\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    two = None\n"
        "    weakref.finalize._exitfunc()\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(os.listdir(one.scratch), os.listdir(two.scratch))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("['in-use'] ['in-use']\n"), done.stderr


def test_threads_share_the_sessions_outside_runs(monkeypatch):
    monkeypatch.setattr(sessions, "_standing", None)
    together, found = threading.Barrier(8), []

    def ask():
        together.wait()
        found.append(sessions.standing())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


@pytest.mark.parametrize("backend", ["POLARS", "DUCKDB"], indirect=True)  # a file replaced has the old path
def test_a_pipeline_that_ran_can_be_sent_to_another_process(backend):
    numbers(n=2)
    p = half(backend, bad=False)
    p.execute()
    sent = pickle.loads(pickle.dumps(p))
    assert rows_of(p.nodes[1].output_df, "id")[0]["id"] == 0
    sent.execute()
    assert ids("a.csv") == [0, 0, 1, 1]
    assert p.last_run["run_id"] < sent.last_run["run_id"]
