"""What somebody does to a project between two runs, or during one: no row is lost or doubled by it. Every engine."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from building import node, numbers, pipeline

from laktory import models
from laktory.errors import RunError

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
    read = pl.read_csv if str(path).endswith(".csv") else pl.read_parquet
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
