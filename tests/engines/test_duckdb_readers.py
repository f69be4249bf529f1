"""What the DuckDB engine takes in of what Polars can hold."""

import polars as pl
from test_duckdb_session import refused, rows, session  # noqa: F401 - a fixture

from laktory.engines.protocol import FileRead
from laktory.errors import SourceError


def test_structs_without_fields(session):  # noqa: F811
    frame = pl.DataFrame({"a": [1], "s": [None]}, schema={"a": pl.Int64, "s": pl.Struct({})})
    assert "column 's'" in refused(SourceError, session.adopt, frame)
    frame.write_ipc("in.ipc")
    assert "column 's'" in refused(SourceError, session.scan, FileRead("in.ipc", "IPC"))


def test_wide_integers_polars_wrote(session):  # noqa: F811
    pl.DataFrame({"a": pl.Series([2**70, None], dtype=pl.Int128), "b": ["x", "y"]}).write_parquet("in.parquet")
    assert rows(session.scan(FileRead("in.parquet", "PARQUET"))) == [(2**70, "x"), (None, "y")]
