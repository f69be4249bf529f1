"""Closed lists of names."""

from __future__ import annotations

from enum import Enum
from typing import Any

from laktory.errors import UnsupportedError

__all__ = ["STREAMING_BACKENDS", "DataFrameBackends"]


class DataFrameBackends(str, Enum):
    """Dataframe engines of the vocabulary; `engines.capabilities.ENGINES` has those of this version."""

    POLARS = "POLARS"
    DUCKDB = "DUCKDB"
    PYSPARK = "PYSPARK"

    @classmethod
    def _missing_(cls, value: object) -> DataFrameBackends | None:
        """Accept a name in any case."""
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None

    @classmethod
    def from_nw_implementation(cls, implementation: Any) -> DataFrameBackends:
        """Backend of a narwhals implementation.

        Raises
        ------
        UnsupportedError
            If no backend works on such frames.
        """
        names = {"POLARS": cls.POLARS, "DUCKDB": cls.DUCKDB, "PYSPARK": cls.PYSPARK, "PYSPARK_CONNECT": cls.PYSPARK}
        if implementation.name not in names:
            msg = f"frames of {implementation.name!r} have no backend; use one of {sorted(set(names.values()))}"
            raise UnsupportedError(msg)
        return names[implementation.name]

    @classmethod
    def from_df(cls, df: Any) -> DataFrameBackends:
        """Backend of a narwhals or native frame."""
        import narwhals as nw

        return cls.from_nw_implementation(nw.from_native(df).implementation)


STREAMING_BACKENDS = (DataFrameBackends.PYSPARK,)
