"""Each kind of step, source and sink over data several times larger than the memory allowed, on both engines.

Each case is a pipeline in a process of its own, in a control group of the kernel with so much memory (Linux, as root,
and best without swap): not a limit of the address space, of which an idle engine maps a gigabyte. What a process reads
of files may stay in memory and counts as long as nobody wants the place. A case that needs more is killed.

    python benchmarks/memory.py [--limit 512] [--times 4] [--engine DUCKDB] [--only sort unique …]

`limit` are megabytes; the rows take `times` as much in memory. Text files hold a half of the rows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import DATA, Measured, did_step, own_process, process, table

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGINES = ("POLARS", "DUCKDB")
ROW = 75  # bytes in memory
STEP = 500_000
GROUPS = Path("/sys/fs/cgroup")
KILLED = {-9, 137}

SOURCES = {name: f"facts.{name.lower()}" for name in ("PARQUET", "IPC", "CSV", "JSONL", "JSON", "DELTA")}
TEXTS = ("CSV", "JSONL", "JSON")
SMALL = "small.parquet"


def source(form: str, **options: object) -> dict[str, object]:
    """A source of one of the formats."""
    return {"path": f"{DATA_FROM}/{SOURCES[form]}", "format": form, **options}


DATA_FROM = os.environ.get("MEMORY_DATA", "")


def one(*steps: object, reads: str = "PARQUET", sinks: tuple[str, ...] = ("PARQUET",), **options: Any) -> list[Any]:
    """One node: source, steps, sinks."""
    made = [{"path": f"out.{form.lower()}", "format": form} for form in sinks]
    node: dict[str, Any] = {"name": "a", "source": source(reads, **options), "sinks": made}
    if steps:
        node["transformer"] = {"nodes": [{"expr": step} if isinstance(step, str) else step for step in steps]}
    return [node]


def appended(form: str) -> list[Any]:
    """Write, then append the same again; with Parquet, to a directory of files and to a single file."""
    [node] = one()
    node["sinks"] = [{"path": f"out.{form.lower()}", "format": form, "mode": "APPEND"}]
    return [node]


def other(expr: str, *, path: str) -> list[Any]:
    """A step over two nodes."""
    nodes = one(expr)
    return [{"name": "other", "source": {"path": f"{DATA_FROM}/{path}", "format": "PARQUET"}}, *nodes]


def fan_out() -> list[Any]:
    """One node without a sink, three that read it."""
    [shared] = one("SELECT *, x * 2 AS y FROM {df}", sinks=())
    consumers = [
        {
            "name": f"c{number}",
            "source": {"node_name": "a"},
            "transformer": {"nodes": [{"expr": f"SELECT * FROM {{df}} WHERE k % 3 = {number}"}]},
            "sinks": [{"path": f"out{number or ''}.parquet", "format": "PARQUET"}],
        }
        for number in range(3)
    ]
    return [shared, *consumers]


UNIQUE = {"func_name": "unique", "func_kwargs": {"subset": ["g"], "keep": "any"}}
FIRST = "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY g ORDER BY id) AS n FROM {df}) WHERE n = 1"
SCHEMA = {"columns": {"id": "int64", "k": "int64", "g": "int64", "x": "float64", "t": "string"}}


def cases() -> dict[str, list[Any]]:
    """Name → nodes."""
    return {
        "read PARQUET, write PARQUET": one(),
        **{f"read {form}": one(reads=form) for form in ("IPC", "DELTA")},
        "read CSV, all text": one(reads="CSV"),
        "read CSV, types inferred": one(reads="CSV", infer_schema=True),
        "read CSV, declared": one(reads="CSV", schema=SCHEMA),
        "read JSONL, types inferred": one(reads="JSONL"),
        "read JSONL, declared": one(reads="JSONL", schema=SCHEMA),
        "read JSON": one(reads="JSON"),
        **{f"write {form}": one(sinks=(form,)) for form in ("IPC", "CSV", "JSONL", "JSON", "DELTA")},
        "write PARQUET and CSV": one(sinks=("PARQUET", "CSV")),
        "write CSV and JSONL": one(sinks=("CSV", "JSONL")),
        **{f"append to {form}": appended(form) for form in ("PARQUET", "CSV", "JSONL", "DELTA")},
        "filter": one("SELECT * FROM {df} WHERE x > 0.5"),
        "projection": one("SELECT id, x * 2 AS y, UPPER(t) AS t FROM {df}"),
        "group by, few groups": one("SELECT k, COUNT(*) AS n, SUM(x) AS x FROM {df} GROUP BY k"),
        "group by, many groups": one("SELECT g, COUNT(*) AS n, SUM(x) AS x FROM {df} GROUP BY g"),
        "group by, a text per row": one("SELECT t, COUNT(*) AS n, SUM(x) AS x FROM {df} GROUP BY t"),
        "join with a small table": other("SELECT a.*, b.s FROM {df} a JOIN {nodes.other} b ON a.k = b.k", path=SMALL),
        "join with a large table": other(
            "SELECT a.*, b.x AS y FROM {df} a JOIN {nodes.other} b ON a.id = b.id", path=SOURCES["PARQUET"]
        ),
        "sort": one("SELECT * FROM {df} ORDER BY x"),
        "sort, text": one("SELECT * FROM {df} ORDER BY t"),
        "unique, some columns": one(UNIQUE),
        "unique, all columns": one({"func_name": "unique"}),
        "SELECT DISTINCT": one("SELECT DISTINCT g, k FROM {df}"),
        "window, rank": one("SELECT *, RANK() OVER (PARTITION BY g ORDER BY x) AS r FROM {df}"),
        "window, first row per key": one(FIRST),
        "union": other("SELECT * FROM {df} UNION ALL SELECT * FROM {nodes.other}", path=SOURCES["PARQUET"]),
        "three consumers": fan_out(),
    }


def generate(folder: Path, rows: int) -> None:
    """Write the same rows in all formats; random, so that they cannot be packed away."""
    import polars as pl

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts = folder / "parts"
    parts.mkdir()
    index = pl.col("i")
    for begin in range(0, rows, STEP):
        numbers = pl.DataFrame({"i": pl.int_range(begin, min(begin + STEP, rows), eager=True)})
        numbers.select(
            id=index * 2_654_435_761 % 2**32,
            k=(index.hash(1) % 100).cast(pl.Int64),
            g=(index.hash(2) % (rows // 4)).cast(pl.Int64),
            x=(index.hash(3) % 1_000_003) / 1_000_003,
            t=pl.format("{}{}", index.hash(4), index.hash(5)).str.slice(0, 24),
        ).write_parquet(parts / f"{begin:012}.parquet")
    every = pl.scan_parquet(parts)
    every.sink_parquet(folder / SOURCES["PARQUET"])
    every.sink_ipc(folder / SOURCES["IPC"])
    half = every.head(rows // 2)
    half.sink_csv(folder / SOURCES["CSV"])
    half.sink_ndjson(folder / SOURCES["JSONL"])
    half.sink_ndjson(folder / "lines")
    with (folder / "lines").open("rb") as lines, (folder / SOURCES["JSON"]).open("wb") as document:
        for number, line in enumerate(lines):
            document.write((b",\n" if number else b"[\n") + line.rstrip())
        document.write(b"\n]\n")
    (folder / "lines").unlink()
    every.sink_delta(str(folder / SOURCES["DELTA"]))
    pl.DataFrame({"k": range(100), "s": [f"s{number}" for number in range(100)]}).write_parquet(folder / SMALL)
    shutil.rmtree(parts)
    (folder / "complete").touch()


def work(engine: str, name: str) -> None:
    """In the process that is measured: run one case, print the rows written; what the engine refuses, too."""
    from laktory import models
    from laktory.errors import LaktoryError

    try:
        pipeline = models.Pipeline(name="memory", dataframe_backend=engine, nodes=cases()[name])
        for _ in range(2 if name.startswith("append") else 1):
            pipeline.execute()
    except LaktoryError as error:
        print(json.dumps({"error": str(error).splitlines()[0]}))
        sys.exit(1)
    print(json.dumps({"rows": rows_in(Path("out.parquet"))}))


def rows_in(path: Path) -> int | None:
    """Rows of a Parquet file that was written, known without reading it."""
    import polars as pl

    return pl.scan_parquet(path).select(pl.len()).collect().item() if path.exists() else None


@contextmanager
def allowance(megabytes: int) -> Iterator[Path]:
    """A control group whose processes may use so much memory; its file of processes.

    Ends the benchmark if the system lets none be made.
    """
    name = f"laktory-{uuid.uuid4().hex}"
    one_version, other_version = GROUPS / "memory" / name, GROUPS / name
    old = (GROUPS / "memory" / "memory.limit_in_bytes").exists()
    group = one_version if old else other_version
    try:
        group.mkdir()
        limit = group / ("memory.limit_in_bytes" if old else "memory.max")
        limit.write_text(str(megabytes * 2**20))
        if not old and (group / "memory.swap.max").exists():
            (group / "memory.swap.max").write_text("0")
    except OSError as error:
        if group.exists():
            group.rmdir()
        sys.exit(
            f"{group}: no control group with a limit of memory can be made here ({error.strerror}). That takes Linux, "
            "root, and the controller 'memory': version 1 mounted at /sys/fs/cgroup/memory, or version 2 with it in "
            "/sys/fs/cgroup/cgroup.subtree_control"
        )
    try:
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def measured(limit: int, engine: str, name: str, data: Path) -> Measured:
    """Run one case in a control group of its own."""
    os.environ["MEMORY_DATA"] = str(data)
    with tempfile.TemporaryDirectory(dir=data) as folder, allowance(limit) as processes:
        inside = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(processes), *own_process("work", engine, name)]
        return process(inside, cwd=folder, may_fail=True)


def outcome(run: Measured) -> str:
    """What came of it, in a word."""
    if run.code in KILLED:
        return "killed"
    try:
        said = json.loads(run.last_line)
    except ValueError:
        return f"exit code {run.code}"
    return str(said["error"])[:60] if "error" in said else "passes"


def main() -> None:
    """Run the cases and print a table."""
    if did_step({"work": work, "generate": lambda folder, rows: generate(Path(folder), int(rows))}):
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=512)
    parser.add_argument("--times", type=float, default=4)
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--only", nargs="+", default=[""])
    options = parser.parse_args()
    with allowance(options.limit):
        pass
    rows = int(options.limit * options.times * 2**20 / ROW)
    data = DATA / f"memory-{rows}"
    if not (data / "complete").exists():
        process(own_process("generate", data, rows))
    lines = []
    for name in cases():
        if not any(wanted in name for wanted in options.only):
            continue
        cells, counts = [], set()
        for engine in (options.engine,) if options.engine else ENGINES:
            run = measured(options.limit, engine, name, data)
            how = outcome(run)
            print(f"{name}, {engine}: {how}, {run.seconds:.0f} s", file=sys.stderr)
            counts |= {json.loads(run.last_line)["rows"]} if how == "passes" else set()
            cells += [how, *([f"{run.processor:.1f} s", f"{run.peak / 1e6:.0f} MB"] if how == "passes" else ["", ""])]
        if len(counts) > 1:
            sys.exit(f"{name}: the engines do not agree on the rows: {counts}")
        lines.append([name, *cells])
    headers = [""]
    for engine in (options.engine,) if options.engine else ENGINES:
        headers += [engine, "processor", "peak"]
    table(f"{rows:,} rows, {options.times:g} times the {options.limit} MB allowed", headers, lines)


if __name__ == "__main__":
    main()
