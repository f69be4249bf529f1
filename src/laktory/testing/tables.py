"""Tables and views by name."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from laktory.engines.capabilities import MODES
from laktory.errors import RunError, SinkError
from laktory.testing.features import feature, node
from laktory.testing.outputs import FIRST, KEPT, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laktory.engines.capabilities import Capabilities
    from laktory.testing.features import Bench

_SAYS = "tables by name are not supported"


def _no_tables(engine: Capabilities) -> str | None:
    return None if engine.tables else "it knows no tables by name"


@contextmanager
def _named(bench: Bench, *kinds: str) -> Iterator[list[str]]:
    """Names that are not taken, in the session's own schema; views go before the tables that they read."""
    from laktory import models

    names = [f"laktory_{kind}_{uuid4().hex[:12]}" for kind in kinds]
    yield names
    for name in reversed(names) if bench.capabilities.tables else ():
        models.UnityCatalogDataSink.model_validate({"table_name": name, "dataframe_backend": bench.backend}).purge()


def _ids(bench: Bench, name: str, **more: Any) -> list[int]:
    return [int(value) for value in bench.frame({"table_name": name, **more})["id"]]


@feature("Tables", "read", _no_tables, _SAYS)
def _read(bench: Bench) -> None:
    with _named(bench, "t") as [name]:
        bench.run(node("a", FIRST, {"table_name": name}))
        assert bench.frame({"table_name": name}).select("id", "s").rows() == FIRST.rows()
        assert _ids(bench, name, filter="id > 1") == [2]


def _mode(bench: Bench, mode: str) -> None:
    """With each format of tables that the engine has."""
    for format_ in sorted(bench.capabilities.table_formats) or ["DELTA"]:
        with _named(bench, "t") as [name]:
            sink = {"table_name": name, "format": format_, "mode": mode}
            bench.run(node("a", FIRST, sink))
            if mode == "ERROR":
                with pytest.raises(SinkError, match="exists and the mode is ERROR"):
                    bench.run(node("a", SECOND, sink))
            else:
                bench.run(node("a", SECOND, sink))
            assert _ids(bench, name) == KEPT[mode]


for _each in MODES:
    feature("Tables", f"mode {_each}", _no_tables, _SAYS)(partial(_mode, mode=_each))


@feature("Tables", "full refresh", _no_tables, _SAYS)
def _refresh(bench: Bench) -> None:
    with _named(bench, "t") as [name]:
        made = bench.run(node("a", FIRST, {"table_name": name, "mode": "APPEND"}))
        made.execute()
        assert _ids(bench, name) == [1, 1, 2, 2]
        made.execute(full_refresh=True)
        assert _ids(bench, name) == [1, 2]


@feature("Tables", "view", _no_tables, _SAYS)
def _view(bench: Bench) -> None:
    with _named(bench, "t", "v") as [name, view]:
        made = bench.run(
            node("a", FIRST, {"table_name": name}),
            node("b", "a", {"table_name": view, "table_type": "VIEW"}, steps=["SELECT id FROM {df} WHERE id > 1"]),
        )
        assert _ids(bench, view) == [2]
        bench.run(node("a", SECOND, {"table_name": name, "mode": "APPEND"}))
        assert _ids(bench, view) == [2, 3]
        assert bench.output(made, "b")["id"].to_list() == [2, 3]


@feature("Tables", "quarantine to a table", _no_tables, _SAYS)
def _quarantine(bench: Bench) -> None:
    rules = [{"name": "named", "expr": "s IS NOT NULL", "action": "QUARANTINE"}]
    with _named(bench, "t", "q") as [name, bad]:
        sinks = ({"table_name": name}, {"table_name": bad, "is_quarantine": True})
        bench.run(node("a", FIRST, *sinks, expectations=rules))
        assert (_ids(bench, name), _ids(bench, bad)) == ([1], [2])


@feature("Tables", "a failed run leaves what was there", _no_tables, _SAYS)
def _failed(bench: Bench) -> None:
    with _named(bench, "t") as [name]:
        bench.run(node("a", FIRST, {"table_name": name}))
        with pytest.raises(RunError):
            bench.run(node("a", FIRST, {"table_name": name}, steps=["SELECT CAST(s AS INTEGER) AS id FROM {df}"]))
        assert _ids(bench, name) == [1, 2]


def _no_streams(engine: Capabilities) -> str | None:
    return None if engine.tables and engine.streams else "sources are not read as streams"


_REFUSED = "streaming reads are not supported|tables by name are not supported"


@feature("Streams", "new rows of a table", _no_streams, _REFUSED)
def _followed(bench: Bench) -> None:
    with _named(bench, "t", "u") as [name, other]:
        following = node("b", {"table_name": name, "as_stream": True}, {"table_name": other})
        if not bench.capabilities.tables:
            bench.pipeline(following)
        for rows, kept in ((FIRST, [1, 2]), (SECOND, [1, 2, 3])):
            bench.run(node("a", rows, {"table_name": name, "mode": "APPEND"}))
            bench.run(following)
            assert _ids(bench, other) == kept


@feature("Streams", "batches added to a table", _no_streams, _REFUSED)
def _added(bench: Bench) -> None:
    rules = [{"name": "small", "expr": "id < 3", "action": "QUARANTINE"}]
    with _named(bench, "t", "q") as [name, bad]:
        sinks = ({"table_name": name}, {"table_name": bad, "is_quarantine": True})
        made = bench.pipeline(
            node("a", {"path": "in/", "format": "JSONL", "as_stream": True}, *sinks, expectations=rules)
        )
        for number, rows in enumerate((FIRST, SECOND)):
            Path("in").mkdir(exist_ok=True)
            rows.write_ndjson(f"in/{number}.jsonl")
            made.execute()
        assert (_ids(bench, name), _ids(bench, bad)) == ([1, 2], [3])
        made.execute(full_refresh=True)
        assert (_ids(bench, name), _ids(bench, bad)) == ([1, 2], [3])
