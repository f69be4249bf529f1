"""Between engines, between runs, and TPC-H."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError
from laktory.optional import is_installed
from laktory.testing import tpch
from laktory.testing.features import feature, node

if TYPE_CHECKING:
    from typing import Any

    from laktory.engines.capabilities import Capabilities
    from laktory.testing.features import Bench

ROWS = pl.DataFrame(
    {
        "id": [1, 2],
        "s": ["ü", None],
        "l": [[1, None], None],
        "r": [{"a": 1, "b": "x"}, {"a": None, "b": None}],
        "d": [None, 1.5],
    }
)


# ---- hand-over -----------------------------------------------------------------------------------


def _there_and_back(bench: Bench, other: str) -> None:
    """Through memory where no node between has a sink, and through a file."""
    nodes: list[dict[str, Any]] = [
        node("a", ROWS, steps=["SELECT * FROM {df}"]),
        node("b", "a", steps=["SELECT * FROM {df} WHERE id > 0"], dataframe_backend=other),
        node("c", "b", "c.parquet", steps=["SELECT * FROM {df}"]),
        node("d", "c", "d.parquet", dataframe_backend=other),
        node("e", "d", steps=["SELECT * FROM {df}"]),
    ]
    module = ENGINES[other].module
    if module is not None and not is_installed(module):
        with pytest.raises(DefinitionError, match=f"needs the package '{module}'"):
            bench.run(*nodes)
        return
    made = bench.run(*nodes)
    for name in "abcde":
        found = bench.output(made, name)
        assert found.rows() == ROWS.rows()
        assert found.schema == ROWS.schema


for _other in ENGINES:
    feature("Hand-over", f"to {_other} and back")(partial(_there_and_back, other=_other))


# ---- streams -------------------------------------------------------------------------------------

STREAM = {"path": "in/", "format": "JSONL", "as_stream": True}


def _no_streams(engine: Capabilities) -> str | None:
    return None if engine.streams else "sources are not read as streams"


def _put(number: int, *ids: int) -> None:
    Path("in").mkdir(exist_ok=True)
    pl.DataFrame({"id": ids}).write_ndjson(f"in/{number}.jsonl")


@feature("Streams", "new files", _no_streams, "streaming reads are not supported")
def _files(bench: Bench) -> None:
    made = bench.pipeline(node("a", STREAM, "out/"))
    for number, ids in enumerate(([1, 2], [3])):
        _put(number, *ids)
        made.execute()
    made.execute()
    assert sorted(pl.read_parquet("out/*.parquet")["id"]) == [1, 2, 3]
    assert made.last_run["nodes"][0]["rows_out"] == 0


@feature("Streams", "new rows of a node", _no_streams, "streaming reads are not supported")
def _nodes(bench: Bench) -> None:
    first = node("a", STREAM, {"path": "t", "format": "DELTA"}, steps=["SELECT id * 10 AS id FROM {df}"])
    made = bench.pipeline(first, node("b", {"node_name": "a", "as_stream": True}, "out/"))
    for number, ids in enumerate(([1], [2, 3])):
        _put(number, *ids)
        made.execute()
    assert sorted(pl.read_parquet("out/*.parquet")["id"]) == [10, 20, 30]


@feature("Streams", "full refresh", _no_streams, "streaming reads are not supported")
def _refresh(bench: Bench) -> None:
    _put(0, 1)
    made = bench.run(node("a", STREAM, "out/"))
    _put(1, 2)
    made.execute(full_refresh=True)
    assert sorted(pl.read_parquet("out/*.parquet")["id"]) == [1, 2]


# ---- TPC-H ---------------------------------------------------------------------------------------


@feature("TPC-H", "22 queries at the scale 0.01")
def _tpch(bench: Bench) -> None:
    folder = bench.shared / "tpch"
    if not folder.exists():
        tpch.generate(folder, 0.01)
    made = bench.run(*tpch.sources(folder), *tpch.queries())
    expected = tpch.answers(0.01, folder)
    assert len(expected) == 22
    said = {name: tpch.difference(bench.output(made, name, by=()), answer) for name, answer in expected.items()}
    assert {name: text for name, text in said.items() if text is not None} == {}
