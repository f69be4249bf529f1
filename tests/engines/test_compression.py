"""Text files that are compressed because their name says so."""

from pathlib import Path

import polars as pl
import pytest
from building import bytes_at, files_at, node, pipeline
from test_formats import read, write

from laktory.engines.capabilities import ENGINES
from laktory.errors import SinkError, SourceError

FRAME = pl.DataFrame({"a": [1, 2, 3], "s": ["x", None, "z"]})
MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}


def sink(path, kind, mode="OVERWRITE"):
    return {"path": path, "format": kind, "mode": mode}


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("kind", ["CSV", "JSONL", "JSON"])
def test_sinks_are_compressed_by_their_name(backend, kind, ending):
    FRAME.write_parquet("in.parquet")
    path = f"out.{kind.lower()}{ending}"
    made = pipeline(backend, node("a", "in.parquet", sink(path, kind)))
    if (kind, ending) == ("JSON", ".zst"):
        with pytest.raises(SinkError, match=r"\.gz only"):
            made.execute()
        return
    made.execute()
    for file in files_at(path):
        assert file.name.endswith(f".{kind.lower()}{ending}")
        assert file.read_bytes().startswith(MAGIC[ending])
    again = {"path": path, "format": kind, "infer_schema": kind == "CSV"}
    pipeline(backend, node("b", again, "back.parquet")).execute()
    assert pl.read_parquet("back.parquet").rows() == FRAME.rows()


@pytest.mark.parametrize("kind", ["CSV", "JSONL", "JSON"])
def test_compressed_files_are_not_appended_to(backend, kind):
    FRAME.write_parquet("in.parquet")
    path = f"out.{kind.lower()}.gz"
    made = pipeline(backend, node("a", "in.parquet", sink(path, kind, "APPEND")))
    made.execute()
    before = bytes_at(path)
    if kind in ENGINES[backend].folders:  # a file more in a directory
        made.execute()
        assert bytes_at(path).items() > before.items()
        again = {"path": path, "format": kind, "infer_schema": kind == "CSV"}
        pipeline(backend, node("b", again, "back.parquet")).execute()
        assert pl.read_parquet("back.parquet").sort("a").rows() == sorted(FRAME.rows() * 2, key=lambda row: row[0])
        return
    with pytest.raises(SinkError, match="compressed"):
        made.execute()
    assert bytes_at(path) == before


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("kind", ["CSV", "JSONL", "JSON"])
def test_directories_are_compressed_by_their_name(backend, kind, ending):
    FRAME.write_parquet("in.parquet")
    made = pipeline(backend, node("a", "in.parquet", sink(f"out{ending}/", kind)))
    if (kind, ending) == ("JSON", ".zst"):
        with pytest.raises(SinkError, match=r"\.gz only"):
            made.execute()
        return
    made.execute()
    assert all(file.read_bytes().startswith(MAGIC[ending]) for file in files_at(f"out{ending}"))
    again = {"path": f"out{ending}", "format": kind, "infer_schema": kind == "CSV"}
    pipeline(backend, node("b", again, "back.parquet")).execute()
    assert pl.read_parquet("back.parquet").rows() == FRAME.rows()


def test_a_broken_compressed_document(session):
    Path("in.json.gz").write_bytes(b"no gzip")
    with pytest.raises(SourceError, match=r"in\.json\.gz"):
        read(session, "in.json.gz", "JSON")


@pytest.mark.parametrize("kind", ["PARQUET", "CSV", "JSONL"])
def test_unknown_compressions(session, kind):
    with pytest.raises(SinkError, match="compression") as caught:
        write(session, FRAME, "out", kind, kwargs={"compression": "zip"})
    assert "'zip'" in str(caught.value)
