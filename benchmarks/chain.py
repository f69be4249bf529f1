"""Cost per node of chains of 10, 100 and 1,000 nodes over three rows: it should not grow with the chain.

python benchmarks/chain.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from measure import process, table

SIZES = (10, 100, 1000)
ENGINES = ("POLARS", "DUCKDB")


def declaration(engine: str, size: int, *, sinks: bool) -> dict[str, object]:
    """A chain; only its last node has a sink, or all have."""
    nodes: list[dict[str, object]] = [{"name": "n0", "source": {"data": {"id": [1, 2, 3], "x": [0, 0, 0]}}}]
    for index in range(1, size):
        step = {"expr": "SELECT id, x + 1 AS x FROM {df}"}
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        engine, size, sinks = options.work
        work(engine, int(size), sinks=sinks == "all")
        return
    script = str(Path(__file__).absolute())
    lines = []
    for engine in ENGINES:
        for sinks in ("last", "all"):
            first = None
            for size in SIZES:
                runs = []
                for _ in range(options.rounds):
                    with tempfile.TemporaryDirectory() as folder:
                        runs.append(process([sys.executable, script, "--work", engine, str(size), sinks], cwd=folder))
                best = [min(column) for column in zip(*(json.loads(run.last_line) for run in runs), strict=True)]
                first = first or sum(best)
                label = f"{engine}, {sinks} node{'s write' if sinks == 'all' else ' writes'}"
                lines.append([label, f"{size:,}", *(f"{value:.2f}" for value in best), f"{sum(best) / first:.2f}"])
    table(
        "Chains, milliseconds per node",
        ["", "nodes", "declare", "plan", "run", f"all ÷ that of {SIZES[0]} nodes"],
        lines,
    )


if __name__ == "__main__":
    main()
