"""Ctrl-C and SIGTERM at any moment: the command ends within 3 s, says so, and leaves old or new."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from inside import litter

from laktory.engines.capabilities import ENGINES
from laktory.storage import Locks

SECONDS = 3
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
ENDLESS = """
SELECT COUNT(*) AS n, SUM(a.x * b.x * c.id) AS s
FROM {df} a CROSS JOIN {df} b CROSS JOIN {df} c WHERE a.x + b.x > c.id
"""


def project(folder, backend, *, endless=True):
    folder.mkdir(exist_ok=True)
    ids = list(range(3000))
    pl.DataFrame({"id": ids, "x": [float(i) for i in ids]}).write_parquet(folder / "in.parquet")
    appended = [{"path": "a.csv", "format": "CSV", "mode": "APPEND"}, {"path": "a/", "format": "PARQUET"}]
    nodes = [
        {"name": "a", "source": {"path": "in.parquet", "format": "PARQUET"}, "sinks": appended},
        {"name": "b", "source": {"node_name": "a"}, "sinks": [{"path": "b", "format": "DELTA", "mode": "APPEND"}]},
    ]
    if endless:
        sink = {"path": "c.parquet", "format": "PARQUET"}
        step = {"nodes": [{"expr": ENDLESS}]}
        nodes.append({"name": "c", "source": {"node_name": "a"}, "transformer": step, "sinks": [sink]})
    definition = {"name": "p", "dataframe_backend": backend, "nodes": nodes}
    (folder / "pipeline.yaml").write_text(json.dumps(definition))


def start(folder, *args, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "laktory", *args],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | more,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - the background ignores it
    )


def wait_for(process, what):
    deadline = time.monotonic() + 60
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def stop(process, number, *, again_after=None):
    """Exit code, standard error, seconds."""
    sent = time.monotonic()
    try:
        process.send_signal(number)
        if again_after is not None:
            time.sleep(again_after)
            process.send_signal(number)
        _, err = process.communicate(timeout=SECONDS + 20)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, err, time.monotonic() - sent


def statuses(folder):
    records = sorted((folder / ".laktory").rglob("record.json"))
    return [json.loads(record.read_text())["status"] for record in records]


@pytest.mark.parametrize("backend", list(ENGINES))
@pytest.mark.parametrize(("number", "again_after"), [(signal.SIGINT, 0.1), (signal.SIGTERM, None)])
def test_a_query_without_end(backend, number, again_after, tmp_path):
    project(tmp_path, backend)
    process = start(tmp_path, "run")
    wait_for(process, (tmp_path / "b/_delta_log/00000000000000000000.json").exists)
    time.sleep(0.5)
    code, err, seconds = stop(process, number, again_after=again_after)
    assert (code, seconds < SECONDS) == (CODES[number], True), (code, seconds)
    assert err.splitlines()[-1].startswith(f"error: stopped by {number.name}")
    assert "Traceback" not in err
    assert statuses(tmp_path) == ["interrupted"]
    assert not (tmp_path / "c.parquet").exists()
    # the next run tidies up, also where it does not write itself
    project(tmp_path, backend, endless=False)
    done = start(tmp_path, "run", "-q", "--resume")
    assert (done.communicate(timeout=60), done.returncode) == (("", ""), 0)
    assert litter(tmp_path) == []
    assert pl.read_csv(tmp_path / "a.csv").height == 3000


@pytest.mark.parametrize("backend", list(ENGINES))
def test_showing_what_is_computed_without_end(backend, tmp_path):
    project(tmp_path, backend)
    process = start(tmp_path, "show", "pipeline.yaml", "c")
    time.sleep(2.5)
    code, err, seconds = stop(process, signal.SIGINT)
    assert (code, seconds < SECONDS) == (130, True), (code, seconds, err)
    assert "Traceback" not in err


@pytest.mark.parametrize("number", list(CODES))
def test_waiting_for_a_lock(number, tmp_path):
    project(tmp_path, "POLARS")
    folder = tmp_path / ".laktory/pipelines/p"
    folder.mkdir(parents=True)
    with Locks.acquire((), owner="another", extra=str(folder / "lock")):
        process = start(tmp_path, "run", LAKTORY_LOCK_TIMEOUT="60")
        time.sleep(2)
        assert process.poll() is None
        code, err, seconds = stop(process, number)
    assert (code, seconds < SECONDS, statuses(tmp_path)) == (CODES[number], True, []), err
    assert not (tmp_path / "a.csv").exists()
    assert litter(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "number"),
    [(["run"], signal.SIGINT), (["validate"], signal.SIGTERM), (["show", "pipeline.yaml", "a"], signal.SIGINT)],
)
def test_while_the_command_is_starting(arguments, number, tmp_path):
    project(tmp_path, "POLARS")
    process = start(tmp_path, *arguments)
    maps = Path(f"/proc/{process.pid}/maps")
    # Python itself has started when it has loaded a library of its own
    wait_for(process, lambda: not maps.exists() or "lib-dynload" in maps.read_text() or "typer" in maps.read_text())
    time.sleep(0.1)
    code, err, seconds = stop(process, number)
    assert (code, seconds < SECONDS) == (CODES[number], True), (code, seconds, err)
    assert "Traceback" not in err


@pytest.mark.soak
def test_random_moments(tmp_path):
    """`LAKTORY_SOAK_SIGNALS` runs (120) on both engines, with one signal or two."""
    rng, count = random.Random(7), int(os.environ.get("LAKTORY_SOAK_SIGNALS", "120"))
    wrong, stopped, slowest = [], 0, 0.0
    for turn in range(count):
        folder, backend, endless = tmp_path / str(turn), rng.choice(list(ENGINES)), rng.random() < 0.5
        number, again = rng.choice(list(CODES)), rng.choice([None, None, 0.0, 0.05, 0.4])
        project(folder, backend, endless=endless)
        process = start(folder, "run")
        time.sleep(rng.uniform(0.2, 4 if endless else 2))
        code, err, seconds = stop(process, number, again_after=again)
        slowest = max(slowest, seconds)
        found = statuses(folder)
        begun = [run for run in (folder / ".laktory").rglob("runs/*") if (run / "ledger.jsonl").exists()]
        stopped += code == CODES[number]
        early = not (folder / ".laktory").exists() and code == -number  # while Python itself was starting
        fine = (code == CODES[number] or early or (code == 0 and not endless)) and seconds < SECONDS
        fine &= "Traceback" not in err or early
        fine &= code == 0 or found == ["interrupted"] * len(begun)
        project(folder, backend, endless=False)
        done = start(folder, "run", "-q", "--resume")
        out = done.communicate(timeout=60)
        rows = pl.read_csv(folder / "a.csv").height
        fine &= (done.returncode, rows, litter(folder)) == (0, 3000 if code else 6000, [])
        if not fine:
            wrong.append(
                (turn, backend, endless, number.name, again, code, round(seconds, 2), found, rows, out, err[-500:])
            )
            print("WRONG", wrong[-1])
    print(f"signals: {count} runs, {stopped} stopped, slowest {slowest:.2f} s, {len(wrong)} wrong")
    assert not wrong


@pytest.mark.parametrize("number", list(CODES))
def test_a_thread_that_a_reader_left_does_not_outlive_a_signal(tmp_path, number):
    """The run is over, Python waits for the thread, and must not do so for ever."""
    code = "import threading, time\ndef read():\n    threading.Thread(target=time.sleep, args=(60,)).start()\n"
    (tmp_path / "leaves.py").write_text(f"{code}    return {{'x': [1]}}\n")
    sink = {"path": "out.parquet", "format": "PARQUET"}
    node = {"name": "a", "source": {"custom_reader": "leaves.read"}, "sinks": [sink]}
    (tmp_path / "pipeline.yaml").write_text(json.dumps({"name": "p", "imports": ["leaves"], "nodes": [node]}))
    process = start(
        tmp_path, "run", PYTHONPATH=os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    )
    wait_for(process, lambda: statuses(tmp_path) == ["succeeded"])
    time.sleep(0.5)
    assert process.poll() is None
    code, err, seconds = stop(process, number)
    assert (code, seconds < SECONDS) == (CODES[number], True), (code, err, seconds)
