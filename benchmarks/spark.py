"""The pipeline of the README on Spark, against PySpark by hand in the same session.

At most 1.05 times the time. Both write bronze and silver as directories of Parquet files; by hand
Spark infers the types of the events, as Laktory does, and silver reads what bronze wrote. A small run comes first.
Runs take turns; what starting the session costs is not in them.

    python benchmarks/spark.py [--events 2000000] [--rounds 5] [--sail]
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

from measure import DATA, ratio, table

import laktory as lk
from laktory import models
from seed import BRONZE, COLUMNS, PIPELINE, SILVER, SOURCE, generate


def laktory() -> None:
    """The pipeline as it is, with Spark as its engine."""
    text = PIPELINE.read_text(encoding="utf-8").replace("dataframe_backend: POLARS", "dataframe_backend: PYSPARK")
    models.Pipeline.model_validate_yaml(text).execute()


def hand(spark: Any) -> None:
    """The same with PySpark alone."""
    here = Path.cwd()
    spark.read.json(f"{here}/{SOURCE}/").write.mode("overwrite").parquet(f"{here}/{BRONZE}")
    bronze = spark.read.parquet(f"{here}/{BRONZE}")
    silver = spark.sql(f"SELECT {COLUMNS} FROM {{df}}", df=bronze).dropDuplicates(["symbol", "created_at"])
    silver.write.mode("overwrite").parquet(f"{here}/{SILVER}")


def timed(work: Any) -> float:
    """Seconds of one run into an empty folder."""
    for place in (BRONZE, SILVER):
        shutil.rmtree(place, ignore_errors=True)
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sail", action="store_true")
    options = parser.parse_args()
    lk.settings.log_level = "ERROR"
    lk.settings.spark_remote = "sail" if options.sail else None
    spark = lk.get_spark_session()
    works = {"Laktory": laktory, "by hand": lambda: hand(spark)}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    rows = {}
    for events, rounds in ((1_000, 1), (options.events, options.rounds)):
        folder = DATA / f"spark-{events}"
        generate(folder, events)
        os.chdir(folder)
        for _ in range(rounds):
            for name, work in works.items():
                took = timed(work)
                if events == options.events:
                    seconds[name].append(took)
                    rows[name] = spark.read.parquet(f"{folder}/{SILVER}").count()
    assert len(set(rows.values())) == 1, rows
    lines = [[name, f"{median(many):.2f} s"] for name, many in seconds.items()]
    title = (
        f"Seed pipeline on {'Sail' if options.sail else 'Spark'}, {options.events:,} events, {options.rounds} rounds"
    )
    table(f"{title}: {ratio(seconds['Laktory'], seconds['by hand']):.2f} of by hand", ["", "median"], lines)


if __name__ == "__main__":
    main()
