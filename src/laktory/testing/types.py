"""Types: what a Parquet file holds goes through the engine and comes out as it was."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from laktory.testing.features import feature, node

if TYPE_CHECKING:
    from laktory.engines.capabilities import Capabilities
    from laktory.testing.features import Bench

LEAP = dt.date(2024, 2, 29)
NOON = dt.datetime(2024, 2, 29, 12, 30, 1, 250)  # noqa: DTZ001 - without a zone on purpose
_SIGNED = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)
_UNSIGNED = (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)

EXACT: dict[str, dict[str, pl.Series]] = {
    "integers of 8 to 64 bits": {
        str(kind): pl.Series([2 ** (bits - 1) - 1, -(2 ** (bits - 1))], dtype=kind)
        for kind, bits in zip(_SIGNED, (8, 16, 32, 64), strict=True)
    },
    "fractions": {
        "a": pl.Series([1.5, None], dtype=pl.Float32),
        "b": pl.Series([1e300, None]),
        "c": pl.Series([float("inf"), float("-inf")]),
    },
    "decimals": {
        "a": pl.Series([Decimal("12.50"), None], dtype=pl.Decimal(10, 2)),
        "b": pl.Series([Decimal(10) ** 37, None], dtype=pl.Decimal(38, 0)),
    },
    "texts": {"a": pl.Series(["", None]), "b": pl.Series(["çé漢😀\n", "'\"\\"])},
    "booleans": {"a": pl.Series([True, None]), "b": pl.Series([False, True])},
    "dates": {"a": pl.Series([LEAP, None]), "b": pl.Series([dt.date(1, 1, 1), dt.date(9999, 12, 31)])},
    "timestamps": {"a": pl.Series([NOON, None], dtype=pl.Datetime("us"))},
    "timestamps with a zone": {"a": pl.Series([NOON, None], dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")},
    "bytes": {"a": pl.Series([b"\x00\xff", None]), "b": pl.Series([b"", b"x"])},
    "lists": {"a": pl.Series([[1, None], None]), "b": pl.Series([[["x"], []], []])},
    "structs": {"a": pl.Series([{"x": 1, "y": {"z": "t"}}, {"x": None, "y": {"z": None}}])},
    "lists of structs": {"a": pl.Series([[{"x": 1, "y": "t"}, {"x": None, "y": None}], []])},
    "maps": {
        "a": pl.Series([{"x": 1, "y": None}, None], dtype=pl.Map(pl.String, pl.Int64)),
        "b": pl.Series([[{2: {"z": "t"}}], [{}]], dtype=pl.List(pl.Map(pl.Int32, pl.Map(pl.String, pl.String)))),
    },
    "columns of NULL": {"a": pl.Series([None, None], dtype=pl.Int64), "b": pl.Series([None, None], dtype=pl.String)},
}
VALUES: dict[str, dict[str, pl.Series]] = {
    "unsigned integers": {
        str(kind): pl.Series([2**bits - 1, None], dtype=kind)
        for kind, bits in zip(_UNSIGNED, (8, 16, 32, 64), strict=True)
    },
    "timestamps in milliseconds": {"a": pl.Series([NOON.replace(microsecond=0), None], dtype=pl.Datetime("ms"))},
    "categories": {"a": pl.Series(["x", None], dtype=pl.Categorical)},
}
"""Types for which an engine may have a wider one; the values are the same."""


def _holds(bench: Bench, columns: dict[str, pl.Series], *, exactly: bool) -> None:
    frame = pl.DataFrame({"id": [1, 2], **columns})
    frame.write_parquet("in.parquet")
    made = bench.run(node("a", "in.parquet", "out.parquet"))
    for found in (pl.scan_parquet("out.parquet").collect().sort("id"), bench.output(made, "a")):
        assert found.rows() == frame.rows()
        if exactly:
            assert found.schema == frame.schema


for _name, _columns in EXACT.items():
    feature("Types", _name)(partial(_holds, columns=_columns, exactly=True))
for _name, _columns in VALUES.items():
    feature("Types", _name)(partial(_holds, columns=_columns, exactly=False))


def _lacks(kind: str, engine: Capabilities) -> str | None:
    return f"there is no type for {kind}" if kind in engine.unheld else None


for _kind, _series in {"Time": pl.Series([dt.time(1, 2, 3), None])}.items():
    feature("Types", f"type {_kind}", partial(_lacks, _kind), f"has the type {_kind}")(
        partial(_holds, columns={"a": _series}, exactly=True)
    )


@feature("Types", "no rows")
def _no_rows(bench: Bench) -> None:
    frame = pl.DataFrame(schema={"id": pl.Int64, "s": pl.String, "l": pl.List(pl.Int64)})
    frame.write_parquet("in.parquet")
    bench.run(node("a", "in.parquet", "out.parquet"))
    assert pl.scan_parquet("out.parquet").collect().equals(frame)


@feature("Types", "NaN is no NULL")
def _nan(bench: Bench) -> None:
    pl.DataFrame({"id": [1, 2], "x": [float("nan"), None]}).write_parquet("in.parquet")
    bench.run(node("a", "in.parquet", "out.parquet"))
    assert str(pl.scan_parquet("out.parquet").collect().sort("id")["x"].to_list()) == "[nan, None]"
