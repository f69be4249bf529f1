"""Plans of Polars as tables of DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PolarsStream"]

_ROWS = 100_000


class PolarsStream:
    """What a Polars plan gives, batch by batch: each query of DuckDB runs the plan again, and holds few batches.

    A plan that DuckDB takes as it is would be held in memory as a whole.
    """

    def __init__(self, plan: pl.LazyFrame) -> None:
        schema = plan.collect_schema()
        held = {name: _held(dtype) for name, dtype in schema.items()}
        casts = [pl.col(name).cast(dtype) for name, dtype in held.items() if dtype != schema[name]]
        self.plan = plan.with_columns(casts) if casts else plan
        self._schema = pl.DataFrame(schema=self.plan.collect_schema()).to_arrow().schema

    def __arrow_c_schema__(self) -> Any:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        batches: Iterable[pl.DataFrame] = self.plan.collect_batches(chunk_size=_ROWS)
        return batches.__arrow_c_stream__(requested_schema)  # type: ignore[attr-defined]


def _held(dtype: Any) -> Any:
    """Arrow has no integers of 128 bits; DuckDB takes no columns without a type."""
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _held(field.dtype) for field in dtype.fields})
    if isinstance(dtype, pl.List):
        return pl.List(_held(dtype.inner))
    if dtype == pl.Null:
        return pl.String()
    return pl.Decimal(38, 0) if dtype in {pl.Int128, pl.UInt128} else dtype
