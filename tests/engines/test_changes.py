"""Files that change under a run: rows of the old file or of the new one, or an error."""

import sys
from pathlib import Path

import polars as pl
import pytest
from building import lines_at, node, pipeline

from laktory.errors import SourceError

SWAPS = """
import os

def swap():
    os.replace("new.parquet", "in.parquet")
    return {"k": [1]}
"""


def prepare(monkeypatch, name):
    """Two files of one schema whose row groups lie elsewhere."""
    for file, first, n in (("in", 0, 1000), ("new", 10_000, 3000)):
        frame = pl.DataFrame({"x": [(first + i) * 2654435761 for i in range(n)]})
        frame.write_parquet(f"{file}.parquet", compression="uncompressed", row_group_size=1000, statistics=False)
    Path(f"{name}.py").write_text(SWAPS)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_file_replaced_between_two_looks_at_it_is_refused(backend, monkeypatch):
    prepare(monkeypatch, "swaps_a")
    sources = [{"path": "in.parquet", "format": "PARQUET"}, {"custom_reader": "swaps_a.swap", "name": "k"}]
    made = node("a", None, "out.parquet", steps=["SELECT x FROM {df}"])
    made = made | {"sources": sources}
    del made["source"]
    p = pipeline(backend, made, imports=["swaps_a"])
    with pytest.raises(SourceError, match=r"'.*in\.parquet' changed while it was read.*run again"):
        p.execute()
    assert not Path("out.parquet").exists()
    p.nodes[0].sources.pop()
    p.execute()
    assert pl.read_parquet("out.parquet")["x"].sum() == sum((10_000 + i) * 2654435761 for i in range(3000))


@pytest.mark.parametrize("format_", ["CSV", "JSONL", "PARQUET"])
def test_a_file_cut_short_under_a_run_has_changed(backend, monkeypatch, format_):
    """It looks damaged, which it was not when the run began."""
    path = f"in.{format_.lower()}"
    frame = pl.DataFrame({"x": range(100_000), "s": [f"{n:064}" for n in range(100_000)]})
    {"CSV": frame.write_csv, "JSONL": frame.write_ndjson, "PARQUET": frame.write_parquet}[format_](path)
    Path("cuts.py").write_text(f"import os\ndef cut():\n    os.truncate('{path}', 1_000)\n    return {{'k': [1]}}\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "cuts", raising=False)
    sources = [{"path": path, "format": format_}, {"custom_reader": "cuts.cut", "name": "k"}]
    made = node("a", None, "out.parquet", steps=["SELECT x FROM {df}"]) | {"sources": sources}
    del made["source"]
    with pytest.raises(SourceError, match=rf"'.*{path}' changed while it was read.*run again"):
        pipeline(backend, made, imports=["cuts"]).execute()
    assert not Path("out.parquet").exists()
    sys.modules.pop("cuts", None)


def test_a_file_replaced_before_the_consumer_of_a_scan_is_refused(backend, monkeypatch):
    prepare(monkeypatch, "swaps_b")
    p = pipeline(
        backend,
        node("a", "in.parquet"),
        node("k", {"custom_reader": "swaps_b.swap"}, "k.parquet", depends_on=["a"]),
        node("c", "a", "out.parquet", depends_on=["k"]),
        imports=["swaps_b"],
    )
    with pytest.raises(SourceError, match="changed while it was read"):
        p.execute()
    assert not Path("out.parquet").exists()
    assert Path("k.parquet").exists()


def test_a_new_file_in_a_directory_is_no_change_of_those_read(backend, monkeypatch):
    Path("in").mkdir()
    pl.DataFrame({"x": [1]}).write_parquet("in/a.parquet")
    Path("lands.py").write_text(
        "import shutil\ndef more():\n    shutil.copy('in/a.parquet', 'in/b.parquet')\n    return {'k': [1]}\n"
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    sources = [{"path": "in", "format": "PARQUET"}, {"custom_reader": "lands.more", "name": "k"}]
    made = node("a", None, "out.parquet", steps=["SELECT x FROM {df}"]) | {"sources": sources}
    del made["source"]
    pipeline(backend, made, imports=["lands"]).execute()
    assert pl.read_parquet("out.parquet")["x"].to_list() == [1]
    assert sorted(path.name for path in Path("in").iterdir()) == ["a.parquet", "b.parquet"]
    sys.modules.pop("lands", None)


@pytest.mark.parametrize(
    ("columns", "sink"),
    [
        ({"x": [1, 2], "n": [None, None]}, {"path": "out.json", "format": "JSON"}),
        ({"x": [1, 2], "n": [None, None]}, {"path": "out.jsonl", "format": "JSONL"}),
        ({"x": [1, 2], "n": [None, None]}, {"path": "out.csv", "format": "CSV"}),
        ({"x": []}, {"path": "out/", "format": "JSONL"}),
        ({"x": []}, {"path": "out/", "format": "JSON"}),
        ({"x": []}, {"path": "out/", "format": "CSV"}),
    ],
)
def test_text_files_are_read_back_with_the_columns_written(backend, columns, sink):
    frame = pl.DataFrame(columns, schema_overrides={"x": pl.Int64})
    p = pipeline(backend, node("a", {"df": frame}, sink))
    p.execute()
    back = p.nodes[0].output_df.collect("polars").to_native()
    assert back["x"].to_list() == columns["x"]
    assert back.schema["x"] == pl.Int64
    assert back.columns == list(columns)


def test_what_cannot_be_read_back_is_told_when_it_is_asked_for(backend):
    sink = {"path": "out.csv", "format": "CSV", "mode": "APPEND"}
    p = pipeline(backend, node("a", {"df": pl.DataFrame({"\ufeffa": [1]})}, sink))
    p.execute()
    assert p.last_run["status"] == "succeeded"
    assert lines_at("out.csv") == ["1"]
    with pytest.raises(SourceError, match=r"the rows were written, but '.*out\.csv' cannot be read back"):
        _ = p.nodes[0].output_df
