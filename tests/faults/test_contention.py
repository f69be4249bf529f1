"""Readers beside a writer, and writers beside each other: old or new, all rows, or one refused with a clear error."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import deltalake
import polars as pl
import pytest
import readers
from inside import litter, own_process

from laktory.engines.capabilities import ENGINES

BUSY = re.compile(r"in use by run \S+ of pipeline 'p\d' \(process \d+\)")

# Sail gives no columns where the files of a folder went after it was planned, which PyArrow refuses to take
NO_COLUMNS = "|field names are not matching the table's field names: \\[\\], "


def read_while_overwritten(folder, backend, count):
    limit = 120 + 30 * count
    with ThreadPoolExecutor() as pool:
        writer = pool.submit(own_process, "readers", "overwrite", str(folder), backend, timeout=limit)
        try:
            found = own_process("readers", "read", str(folder), backend, count, timeout=limit)
        finally:
            (folder / "stop").touch()
        written = writer.result()
    assert (found["torn"], found["missing"]) == ([], {})
    # what a reader of a folder may meet stands in docs/durability.md: an error, never rows of two runs
    errors = "SourceError|No such file|No files found" + (NO_COLUMNS if backend == "PYSPARK" else "")
    for messages in found["folders"].values():
        assert all(re.search(errors, message) for message in messages), messages
    assert found["values"] > 2
    assert written["runs"] > 2
    assert written["distinct"] == written["names"], "a file name was used again"
    if readers.can_exchange(str(folder)):
        assert written["swaps"] == [True] * len(readers.folders(backend)) * (written["runs"] - 1)
    assert litter(folder) == []
    return found, written


@pytest.mark.parametrize("backend", list(ENGINES))
def test_reads_while_sinks_are_overwritten(backend, tmp_path):
    read_while_overwritten(tmp_path, backend, 6)


def test_file_names_are_never_used_again(tmp_path):
    """Appending and overwriting, by one process after the other, of either engine."""
    used, before = set(), set()
    for names in [names for _ in range(2) for names in own_process("readers", "names_after", str(tmp_path))]:
        assert not (set(names) - before) & used
        used |= set(names)
        before = set(names)


def together(folder, *calls):
    """What calls of `readers` give back that begin at the same moment."""
    with ThreadPoolExecutor(len(calls)) as pool:
        running = [pool.submit(own_process, "readers", *call, timeout=1800) for call in calls]
        deadline = time.monotonic() + 90
        while len(list(folder.glob("ready-*"))) < len(calls):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (folder / "go").touch()
        return [call.result() for call in running]


def ids(folder, path, name):
    if name == "DELTA":
        return sorted(pl.from_arrow(deltalake.DeltaTable(str(folder / path)).to_pyarrow_table())["id"].to_list())
    readers_ = {"CSV": pl.read_csv, "PARQUET": pl.read_parquet}
    files = sorted((folder / path).glob("*.*")) if path.endswith("/") else [folder / path]
    return sorted(value for file in files for value in readers_[name](file)["id"].to_list())


PATHS = {"o.csv": "CSV", "o.parquet": "PARQUET", "folder/": "PARQUET", "table": "DELTA"}


@pytest.mark.parametrize(
    ("backend", "timeout", "same"),
    [("POLARS", 0, True), ("DUCKDB", 0, False), ("DUCKDB", 60, True), ("POLARS", 60, False)],
)
def test_two_processes_append_to_the_same_targets(backend, timeout, same, tmp_path):
    """As one pipeline or two. Whoever does not wait is refused; each row is there once, in every target, or in none."""
    times = 4
    first, second = (1, 1) if same else (1, 2)
    calls = [("append", str(tmp_path), backend, writer, times, PATHS, timeout) for writer in (first, second)]
    refused = [line for lines in together(tmp_path, *calls) for line in lines]
    assert timeout == 0 or refused == []
    assert all(BUSY.search(line) for line in refused), refused
    tried = sorted(writer * 10_000 + turn for writer in (first, second) for turn in range(times))
    for line in refused:
        tried.remove(int(line.partition(":")[0]))
    assert {path: ids(tmp_path, path, name) for path, name in PATHS.items()} == dict.fromkeys(PATHS, tried)
    assert litter(tmp_path) == []


@pytest.mark.parametrize("backend", list(ENGINES))
def test_first_writers_of_a_delta_table(backend, tmp_path):
    """Two of ours and one of another library, on a table that is not there yet."""
    calls = [("append", str(tmp_path), backend, writer, 3, {"table": "DELTA"}, 60) for writer in (1, 2)]
    calls.append(("append_foreign", str(tmp_path), "table", 3, 3))
    refused = [line for lines in together(tmp_path, *calls) for line in lines]
    tried = sorted(writer * 10_000 + turn for writer in (1, 2, 3) for turn in range(3))
    for line in refused:
        tried.remove(int(line.partition(":")[0]))
    assert ids(tmp_path, "table", "DELTA") == tried
    assert all(line.startswith("3") for line in refused), refused
    assert litter(tmp_path) == []


@pytest.mark.soak
@pytest.mark.parametrize("backend", list(ENGINES))
def test_a_thousand_reads_of_each_kind(backend, tmp_path):
    count = int(os.environ.get("LAKTORY_SOAK_READS", "1000"))
    found, written = read_while_overwritten(tmp_path, backend, count)
    errors, runs = sum(map(len, found["folders"].values())), written["runs"]
    print(
        f"reads: {backend}: {found['reads']} of files and tables, {count * 2} of folders while {runs} runs overwrote "
        f"them: 0 torn, 0 missing; {errors} reads of folders ended with an error"
    )


@pytest.mark.soak
@pytest.mark.parametrize("backend", list(ENGINES))
def test_many_writers_of_one_delta_table(backend, tmp_path):
    ours = [("append", str(tmp_path), backend, writer, 20, {"table": "DELTA"}, 600) for writer in (1, 2, 3, 4)]
    foreign = [("append_foreign", str(tmp_path), "table", writer, 20) for writer in (5, 6)]
    refused = [line for lines in together(tmp_path, *ours, *foreign) for line in lines]
    tried = {writer * 10_000 + turn for writer in range(1, 7) for turn in range(20)}
    missing = {int(line.partition(":")[0]) for line in refused}
    assert ids(tmp_path, "table", "DELTA") == sorted(tried - missing)
    print(f"delta: {backend}: 6 writers, 120 appends, {len(refused)} refused, 0 rows lost or doubled")
