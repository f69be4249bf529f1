"""Kill -9 between the file-system calls of a run, then resume: every row once, nothing left lying about."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from laktory import models
from laktory.engines.capabilities import ENGINES

SCRIPT = """
import os, sys
from laktory import models

kill_at, backend, calls = int(sys.argv[1]), sys.argv[2], 0

def counted(function):
    def call(*args, **kwargs):
        global calls
        done = function(*args, **kwargs)
        calls += 1
        if calls == kill_at:
            os._exit(9)
        return done
    return call

for name in ("replace", "rename", "fsync", "link", "unlink", "rmdir", "mkdir"):
    setattr(os, name, counted(getattr(os, name)))

p = models.Pipeline.model_validate(open("pipeline.yaml"))
p.dataframe_backend = backend
p.execute()
print("CALLS", calls)
"""

PIPELINE = """
name: p
nodes:
- name: a
  source: {path: in.parquet, format: PARQUET}
  sinks:
  - {path: a.csv, format: CSV, mode: APPEND}
  - {path: a.parquet, format: PARQUET, mode: APPEND}
- name: b
  source: {node_name: a}
  sinks:
  - {path: b/, format: PARQUET, mode: APPEND}
  - {path: b.jsonl, format: JSONL}
"""


def run(folder, backend, kill_at=0):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(kill_at), backend], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 9), done.stderr
    return done


def begin(folder, backend):
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(PIPELINE)
    pl.DataFrame({"id": [1, 2]}).write_parquet(folder / "in.parquet")
    first = run(folder, backend)
    assert first.returncode == 0, first.stderr
    pl.DataFrame({"id": [3]}).write_parquet(folder / "in.parquet")
    return int(first.stdout.rpartition("CALLS")[2])


def held(folder):
    return {
        "a.csv": sorted(int(line) for line in (folder / "a.csv").read_text().split()[1:]),
        "a.parquet": sorted(pl.read_parquet(folder / "a.parquet")["id"].to_list()),
        "b": sorted(i for file in (folder / "b").glob("*.parquet") for i in pl.read_parquet(file)["id"].to_list()),
        "b.jsonl": sorted(pl.read_ndjson(folder / "b.jsonl")["id"].to_list()),
    }


@pytest.mark.parametrize("backend", list(ENGINES))
def test_a_killed_run_is_resumed_without_losing_or_doubling(backend, tmp_path, monkeypatch):
    calls = begin(tmp_path / "count", backend)
    assert calls > 20
    old = {"a.csv": [1, 2], "a.parquet": [1, 2], "b": [1, 2], "b.jsonl": [1, 2]}
    new = {"a.csv": [1, 2, 3], "a.parquet": [1, 2, 3], "b": [1, 2, 3], "b.jsonl": [3]}
    killed = 0
    for kill_at in range(2, calls + 12, 5):
        folder = tmp_path / str(kill_at)
        begin(folder, backend)
        killed += run(folder, backend, kill_at).returncode == 9
        seen = held(folder)
        assert all(seen[name] in (old[name], new[name]) for name in seen), (kill_at, seen)
        monkeypatch.chdir(folder)
        # a kill after the record is that of a run that succeeded: there is nothing to resume
        records = [json.loads(f.read_text()) for f in Path(".laktory").rglob("record.json")]
        finished = len(records) == 2 and all(record["status"] == "succeeded" for record in records)
        p = models.Pipeline.model_validate(Path("pipeline.yaml"))
        p.dataframe_backend = backend
        p.execute(resume=True)
        after = held(folder)
        again = {name: [*rows[:2], 3, 3] if len(rows) > 1 else rows for name, rows in new.items()}
        assert after == (again if finished else new), (kill_at, after)
        litter = [f.name for f in Path().rglob(".laktory-*")] + [f.name for f in Path(".laktory").rglob("intents/*")]
        assert not litter, (kill_at, litter)
    assert killed > 5
