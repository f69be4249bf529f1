"""Cost per node of chains of 10 to 2,000 nodes over three rows: it should not grow with the chain.

By hand is the bare loop in the same engine: the same SQL over the file before, write, fsync, rename.

python benchmarks/chain.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from measure import did_step, own_process, process, table

Run = Callable[[str, str | None, str], None]
SIZES = (10, 100, 1000, 2000)
ENGINES = ("POLARS", "DUCKDB")


def query(index: int) -> str:
    """The columns of one node; no two nodes have the same text, so that nothing is remembered of the one before."""
    return f"SELECT id, x + 1 AS x /* {index} */"


def declaration(engine: str, size: int, *, sinks: bool) -> dict[str, object]:
    """A chain; only its last node has a sink, or all have."""
    nodes: list[dict[str, object]] = [{"name": "n0", "source": {"data": {"id": [1, 2, 3], "x": [0, 0, 0]}}}]
    for index in range(1, size):
        step = {"expr": f"{query(index)} FROM {{df}}"}
        nodes.append({"name": f"n{index}", "source": {"node_name": f"n{index - 1}"}, "transformer": {"nodes": [step]}})
    for index, node in enumerate(nodes):
        if sinks or index == size - 1:
            node["sinks"] = [{"path": f"out/n{index}.parquet", "format": "PARQUET"}]
    return {"name": "chain", "dataframe_backend": engine, "nodes": nodes}


def work(engine: str, size: int, *, sinks: bool) -> None:
    """In a process of its own: declare, plan, run; print the milliseconds per node of each."""
    from laktory import models

    models.Pipeline.model_validate(declaration(engine, 3, sinks=True)).execute()  # imports, first query
    value = declaration(engine, size, sinks=sinks)
    times = [time.perf_counter()]
    pipeline = models.Pipeline.model_validate(value)
    times.append(time.perf_counter())
    pipeline.plan()
    times.append(time.perf_counter())
    pipeline.execute()
    times.append(time.perf_counter())
    result = pipeline.nodes_dict[f"n{size - 1}"].output_df.collect("polars")
    if result["x"].to_list() != [size - 1] * 3:
        sys.exit(f"wrong result: {result}")
    print(json.dumps([(end - begin) * 1000 / size for begin, end in pairwise(times)]))


def by_hand(engine: str, size: int) -> None:
    """In a process of its own: the loop that somebody writes who needs no more than whole files; prints the same."""
    run = _polars() if engine == "POLARS" else _duckdb()
    Path("out").mkdir()
    run("SELECT unnest([1, 2, 3]) AS id, 0 AS x", None, "out/n0.parquet")
    begin = time.perf_counter()
    for index in range(1, size):
        target = f"out/n{index}.parquet"
        run(query(index), f"out/n{index - 1}.parquet", f"{target}.new")
        descriptor = os.open(f"{target}.new", os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        Path(f"{target}.new").rename(target)
    print(json.dumps([(time.perf_counter() - begin) * 1000 / size]))


def _polars() -> Run:
    import polars as pl

    def run(select: str, source: str | None, target: str) -> None:
        frames = {"df": pl.scan_parquet(source)} if source else {}
        text = f"{select} FROM df" if source else select
        pl.SQLContext(frames).execute(text).sink_parquet(target)

    return run


def _duckdb() -> Run:
    import duckdb

    connection = duckdb.connect()

    def run(select: str, source: str | None, target: str) -> None:
        text = f"{select} FROM '{source}'" if source else select
        connection.execute(f"COPY ({text}) TO '{target}' (FORMAT parquet)")

    return run


def main() -> None:
    """Measure and print."""
    steps = {
        "work": lambda engine, size, kind: work(engine, int(size), sinks=kind == "all"),
        "by_hand": lambda engine, size: by_hand(engine, int(size)),
    }
    if did_step(steps):
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    lines = []
    for engine in ENGINES:
        for kind, label in {"last": "last node writes", "all": "all nodes write"}.items():
            first = None
            for size in SIZES:
                declare, plan, run = best(options.rounds, "work", engine, size, kind)
                first = first or declare + plan + run
                [hand] = best(options.rounds, "by_hand", engine, size) if kind == "all" else [None]
                growth = f"{(declare + plan + run) / first:.2f}"
                above = [f"{hand:.2f}", f"{run - hand:+.2f}"] if hand is not None else ["", ""]
                figures = [f"{value:.2f}" for value in (declare, plan, run)]
                lines.append([f"{engine}, {label}", f"{size:,}", *figures, *above, growth])
    table(
        "Chains, milliseconds per node",
        ["", "nodes", "declare", "plan", "run", "by hand", "above", f"all ÷ that of {SIZES[0]} nodes"],
        lines,
    )


def best(rounds: int, name: str, *arguments: object) -> list[float]:
    """The least of each figure over several processes."""
    runs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(json.loads(process(own_process(name, *arguments), cwd=folder).last_line))
    return [min(column) for column in zip(*runs, strict=True)]


if __name__ == "__main__":
    main()
