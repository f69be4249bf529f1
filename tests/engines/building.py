"""Small pipelines and data for the tests of this folder."""

import json
import os
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from laktory import models
from laktory.engines.capabilities import DUCKDB, POLARS
from laktory.expressions.statement import statement_problems
from laktory.expressions.translation import translated

TOO_WIDE = "is out of range of its type; CAST to a wider one, DOUBLE or DECIMAL"


def out_of_range(session):
    """What a run says that is stopped by a whole number which does not fit into 64 bits."""
    bits = "is out of range of 64 bits; CAST to DOUBLE or DECIMAL"
    # Spark does not say which type it was, unless the number is cast
    return f"{bits}|{TOO_WIDE}" if session.capabilities.name == "PYSPARK" else bits


def said(sql, engine):
    """A statement in words that POLARS and DUCKDB share, in those of the engine."""
    if engine.dialect in {POLARS.dialect, DUCKDB.dialect}:
        return sql
    found = translated(sql, "duckdb", engine.dialect)
    assert isinstance(found, str), found.message
    return found


def is_refused(sql, engine, *keys):
    """Whether the record of the engine says that it cannot do what is in a statement."""
    return bool(statement_problems(sql, engine.dialect, keys, misreads=engine.misreads))


def events(folder="data/stock_prices", n=40):
    """Events in the seed's shape: n of them in two files, every fourth one repeated."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "name": "event",
            "data": {
                "created_at": f"2024-01-{1 + i // 2:02d}T09:30:00",
                "symbol": "AAPL" if i % 2 else "MSFT",
                "open": 100.0 + i,
                "close": 101.5 + i,
                "high": 102.0 + i,
                "low": 99.5 + i,
                "volume": 1000.0 * i,
            },
        }
        for i in range(n)
    ]
    rows += rows[::4]
    half = len(rows) // 2
    for name, part in (("a.json", rows[:half]), ("b.json", rows[half:])):
        Path(folder, name).write_text("".join(json.dumps(row) + "\n" for row in part))
    return n


def rows_of(frame, *by):
    return frame.collect("polars").to_native().sort(*by).rows(named=True)


def numbers(path="in.parquet", n=6):
    pl.DataFrame(
        {"id": list(range(n)), "x": [float(i) for i in range(n)], "s": [f"s{i}" for i in range(n)]}
    ).write_parquet(path)


def pipeline(backend, *nodes, **kwargs):
    return models.Pipeline(name="p", dataframe_backend=backend, nodes=list(nodes), **kwargs)


def node(name, source, *sinks, steps=None, **kwargs):
    source = {"node_name": source} if isinstance(source, str) and "." not in source else source
    source = {"path": source, "format": source.rpartition(".")[2].upper()} if isinstance(source, str) else source
    made = [s if isinstance(s, dict) else {"path": s, "format": s.rpartition(".")[2].upper()} for s in sinks]
    transformer = {"nodes": [{"expr": s} if isinstance(s, str) else s for s in steps]} if steps else None
    return {"name": name, "source": source, "sinks": made, "transformer": transformer, **kwargs}


def files_at(path):
    """Files of an output: itself, or those of the directory that an engine writes in its place."""
    path = Path(path)
    return [path] if path.is_file() else sorted(file for file in path.rglob("*.*") if file.is_file())


def bytes_at(path):
    return {file: file.read_bytes() for file in files_at(path)}


def csv_at(path):
    return pl.concat([pl.read_csv(file) for file in files_at(path)])


def lines_at(path):
    """Lines of CSV without the header of each file."""
    return [line for file in files_at(path) for line in file.read_text("utf-8").splitlines()[1:]]


def remove(path):
    shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()


@contextmanager
def small_files(most):
    """Files that this process writes, or one that it started, as Java, cannot grow beyond `most` bytes."""
    started = [path.parent.name for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == os.getpid()]
    before = {int(number): resource.prlimit(int(number), resource.RLIMIT_FSIZE) for number in [os.getpid(), *started]}
    try:
        for number, (_, hard) in before.items():
            resource.prlimit(number, resource.RLIMIT_FSIZE, (most, hard))
        yield
    finally:
        for number, limits in before.items():
            resource.prlimit(number, resource.RLIMIT_FSIZE, limits)


def _parent(stat):
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return None
