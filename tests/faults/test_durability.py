"""What is on disk before what, and what a failed full refresh leaves: docs/durability.md, 'How a node is written'."""

import json
import re
import shutil
import subprocess
import sys

import polars as pl
import pytest
import room
from inside import own_process

from laktory.engines.capabilities import ENGINES

FILE, FOLDER = {"path": "o.csv", "format": "CSV"}, {"path": "o/", "format": "PARQUET"}
PARTS = {"path": "parts/", "format": "PARQUET", "writer_kwargs": {"partition_by": ["k"]}}
TABLE = {"path": "table", "format": "DELTA"}
KINDS = {
    "file": [FILE],
    "appended file": [FILE | {"mode": "APPEND"}],
    "folder": [FOLDER],
    "appended folder": [FOLDER | {"mode": "APPEND"}],
    "partitions": [PARTS],
    "table": [TABLE],
    "appended table": [TABLE | {"mode": "APPEND"}],
    "two files": [FILE, {"path": "o.parquet", "format": "PARQUET"}],
    "all kinds": [
        FILE,
        FOLDER,
        PARTS,
        TABLE,
        {"path": "o.xlsx", "format": "EXCEL"},
        {"path": "o.arrow", "format": "IPC"},
    ],
}


def first(events, *wanted):
    """Where the first event stands that is one of these kinds and ends so."""
    kinds, end = wanted[:-1], wanted[-1]
    return next(at for at, event in enumerate(events) if event[0] in kinds and (event[2] or event[1]).endswith(end))


@pytest.mark.parametrize("backend", list(ENGINES))
def test_nothing_is_moved_before_it_is_on_disk(backend):
    """Staged data (also of native writers), pointers, intent, changes, ledger line; and the folders they lie in."""
    found = own_process("order", "watched", backend, KINDS)
    assert {name: kind["faults"] for name, kind in found.items() if kind["faults"]} == {}
    for name, kind in found.items():
        events = kind["events"]
        ledger = [at for at, event in enumerate(events) if event[0] == "sync" and event[1].endswith("/ledger.jsonl")]
        targets = {sink["path"].rstrip("/") for sink in KINDS[name]}
        changes = [
            at
            for at, (kind_, _, target) in enumerate(events)
            if kind_ != "sync" and any(target == path or target.startswith(f"{path}/") for path in targets)
        ]
        assert changes, name
        if len(targets) == 1 and "file" in name and "CSV" not in ENGINES[backend].folders:
            # the rename is the commit: the ledger's line knows the file by its number
            assert ledger[0] < changes[0] and len(changes) == 1, name
            continue
        pointer, intent = first(events, "sync", "/intent"), first(events, "replace", "/intents/a.json")
        assert pointer < intent < min(changes) <= max(changes) < ledger[0], (name, events)


@pytest.mark.parametrize("backend", list(ENGINES))
def test_a_failed_full_refresh_keeps_what_was_there(backend):
    """Appended to where that can be: a source, a step, a second sink, no space."""
    check_refreshes(backend, ["CSV file", "PARQUET file", "JSONL folder", "EXCEL file", "DELTA"])


@pytest.mark.soak
@pytest.mark.parametrize("backend", list(ENGINES))
def test_a_failed_full_refresh_of_every_format(backend):
    check_refreshes(backend, list(room.targets()))
    print(f"full refresh: {backend}: {len(room.targets())} kinds of sinks, 5 faults each, all kept")


def check_refreshes(backend, names):
    for found in own_process("order", "refused_refreshes", backend, names):
        if found["fault"]:
            assert (found["code"] in (1, 2), found["same"], found["litter"]) == (True, True, []), found
        else:
            assert (found["code"], found["err"], found["after"]) == (0, "", 3), found


# ---- what the system saw -------------------------------------------------------------------------

STEPS = {
    "data": r"fsync\(\d+<.*/\.laktory-(?:one|two)\.parquet/[^/]*\.parquet>",
    "pointer": r"fsync\(\d+<.*/\.laktory-two\.parquet/intent>",
    "record": r'rename(?:at2?)?\(.*/intents/b\.json"',
    "folder of records": r"fsync\(\d+<.*/intents>",
    "version": r"fsync\(\d+<.*/_delta_log>",
    "change": r'rename(?:at2?)?\(.*"[^"]*/(?:one|two)\.parquet"',
    "folder": r"fsync\(\d+<[^>]*/out>",
    "ledger": r"fsync\(\d+<.*/ledger\.jsonl>",
    "end": r'rename(?:at2?)?\(.*/record\.json"',
}
ORDERS = {
    "a": ["data", "ledger", "change", "folder"],
    "b": ["data", "pointer", "record", "folder of records", "version", "change", "folder", "ledger"],
}


@pytest.mark.soak
@pytest.mark.parametrize("backend", list(ENGINES))
def test_the_order_that_the_system_saw(backend, tmp_path):
    """Of native libraries, too: the calls of one run as strace tells them."""
    assert shutil.which("strace"), "this one needs strace"
    pl.DataFrame({"id": [1]}).write_parquet(tmp_path / "in.parquet")
    sinks = {"a": ["one.parquet"], "b": ["two.parquet", "t"]}
    nodes = [
        {
            "name": name,
            "source": {"path": "in.parquet", "format": "PARQUET"} if name == "a" else {"node_name": "a"},
            "sinks": [{"path": f"out/{p}", "format": "PARQUET" if "." in p else "DELTA"} for p in paths],
        }
        for name, paths in sinks.items()
    ]
    definition = {"name": "p", "dataframe_backend": backend, "nodes": nodes}
    (tmp_path / "pipeline.json").write_text(json.dumps(definition))
    calls = ["strace", "-f", "-y", "-o", "calls", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2,link"]
    subprocess.run([*calls, sys.executable, "-m", "laktory", "run", "-q", "pipeline.json"], cwd=tmp_path, check=True)
    seen = [
        next((step for step, pattern in STEPS.items() if re.search(pattern, line)), None)
        for line in (tmp_path / "calls").read_text().splitlines()
    ]
    rest = iter(seen)
    for node, order in ORDERS.items():
        for step in order:
            assert step in rest, f"node {node}: {step} is missing, or too early, in {[s for s in seen if s]}"
    assert "end" in rest
