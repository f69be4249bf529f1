"""A Spark session on other machines: they do not see the files of this one, nor it theirs.

Rows go there and come here through Arrow; what is computed once stays there, as long as its frame is held.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from laktory.engines._spark.connection import is_own
from laktory.engines._spark.failures import is_failure, message_of
from laktory.engines._spark.types import spark_schema, with_one_nan
from laktory.errors import RunError
from laktory.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from laktory.engines._polars.session import PolarsSession
    from laktory.engines.protocol import Output, Staged

__all__ = ["brought", "handed_over", "keep", "sees_files", "stage_here"]

_log = get_logger(__name__)


@lru_cache(maxsize=8)
def sees_files(spark: SparkSession) -> bool:
    """Whether a session reads the files of this machine; asked once of each session that is not our own.

    Raises
    ------
    RunError
        The session does not answer.
    """
    if is_own(spark):
        return True
    sign = token_hex(16)
    with tempfile.TemporaryDirectory(prefix="laktory-") as folder:
        file = Path(folder) / f"{sign[:8]}.txt"
        file.write_text(sign, encoding="ascii")
        try:
            return [tuple(row) for row in spark.read.text(str(file)).collect()] == [(sign,)]
        except Exception as error:
            if not is_failure(error):
                raise
            _require_answer(spark)
            return False


def _require_answer(spark: SparkSession) -> None:
    """A session that is gone reads no file either."""
    try:
        spark.sql("SELECT 1").collect()
    except Exception as error:
        if not is_failure(error):
            raise
        msg = f"the Spark session does not answer: {message_of(error)}"
        raise RunError(msg) from error


def handed_over(rows: pl.DataFrame, spark: SparkSession) -> DataFrame:
    """Rows of types that Spark has, as a frame of Spark."""
    return with_one_nan(spark.createDataFrame(rows.to_arrow(), schema=spark_schema(rows.schema)))


def brought(native: DataFrame) -> pl.DataFrame:
    """The rows of a frame of Spark, computed now."""
    table = native.toArrow()
    found = pl.DataFrame(table)
    found.columns = table.column_names  # one without a name gets another
    return found


def keep(native: DataFrame, spark: SparkSession) -> DataFrame:
    """The frame, computed once: it stays where Spark computes until nobody holds the result.

    A checkpoint is asked for, as a cache computes anew, perhaps otherwise, what it has lost. Sessions that make none
    (Sail, serverless Databricks) get the rows by way of this machine.
    """
    if _keeps(spark):
        kept: DataFrame = native.localCheckpoint(eager=True)
        return kept
    return with_one_nan(spark.createDataFrame(native.toArrow(), schema=native.schema))


@lru_cache(maxsize=8)
def _keeps(spark: SparkSession) -> bool:
    try:
        return spark.range(1).localCheckpoint(eager=True).count() == 1
    except Exception as error:
        if not is_failure(error):
            raise
        _require_answer(spark)
        _log.warning(
            "This Spark session keeps nothing that it has computed: such rows go through this machine's memory"
        )
        return False


def stage_here(outputs: Sequence[Output], front: PolarsSession) -> list[Staged]:
    """Write outputs on this machine, each frame computed once; `front` is the session of Polars that writes."""
    rows: dict[int, Any] = {}
    for output in outputs:
        native = nw.to_native(output.frame)
        if id(native) not in rows:
            rows[id(native)] = nw.from_native(brought(native).lazy())
    return front.stage([replace(output, frame=rows[id(nw.to_native(output.frame))]) for output in outputs])
