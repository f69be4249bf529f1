"""Plans of Polars as tables of DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from laktory.engines.batches import batches
from laktory.optional import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from laktory.engines.protocol import FileRead

__all__ = ["PolarsStream", "Source"]

_ROWS = 100_000


class PolarsStream:
    """What a Polars plan gives, batch by batch: each query of DuckDB runs the plan again, and holds few batches.

    A plan that DuckDB takes as it is would be held in memory as a whole.

    Attributes
    ----------
    failure : what ended the plan early. DuckDB gets it as text, of which it keeps a part
    """

    def __init__(self, plan: pl.LazyFrame) -> None:
        schema = plan.collect_schema()
        held = {name: _held(dtype) for name, dtype in schema.items()}
        casts = [pl.col(name).cast(dtype) for name, dtype in held.items() if dtype != schema[name]]
        self.plan = plan.with_columns(casts) if casts else plan
        self.failure: BaseException | None = None
        self._schema = _arrow(pl.DataFrame(schema=self.plan.collect_schema())).schema

    def __arrow_c_schema__(self) -> Any:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        readers = require("pyarrow", "reading through Polars").RecordBatchReader
        return readers.from_batches(self._schema, self._batches()).__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[Any]:
        try:
            for frame in batches(self.plan, _ROWS):
                yield from _arrow(frame).to_batches()
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            # a panic is none that Arrow takes from Python
            msg = "the plan failed"
            raise ValueError(msg) from error


@dataclass(frozen=True, slots=True)
class Source:
    """Files behind a table, and the plan that reads them where DuckDB does not do that itself."""

    read: FileRead
    files: Sequence[str]
    stream: PolarsStream | None = None

    @property
    def pair(self) -> tuple[FileRead, Sequence[str]]:
        """What is read, and its files."""
        return self.read, self.files


def _arrow(frame: pl.DataFrame) -> Any:
    return frame.to_arrow(compat_level=pl.CompatLevel.newest())


def _held(dtype: Any) -> Any:
    """Arrow has no integers of 128 bits; DuckDB takes no columns without a type."""
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _held(field.dtype) for field in dtype.fields})
    if isinstance(dtype, pl.List):
        return pl.List(_held(dtype.inner))
    if dtype == pl.Null:
        return pl.String()
    return pl.Decimal(38, 0) if dtype in {pl.Int128, pl.UInt128} else dtype
