"""Every kind of step, and the `laktory` namespace."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from laktory.testing.features import feature, node

if TYPE_CHECKING:
    from laktory.engines.capabilities import Capabilities
    from laktory.testing.features import Bench

ROWS = pl.DataFrame({"id": [1, 2, 3, 4], "k": ["a", "a", "b", None], "x": [1.0, 2.5, None, -2.5]})
OTHER = pl.DataFrame({"id": [2, 9], "w": [20, 90]})


def _joined(bench: Bench, *steps: Any, **more: Any) -> list[tuple[Any, ...]]:
    nodes = (node("a", ROWS, steps=steps, **more), node("other", OTHER))
    return bench.output(bench.run(*nodes), "a").rows()


# ---- SQL -----------------------------------------------------------------------------------------


@feature("Steps", "SQL on {df}")
def _sql(bench: Bench) -> None:
    text = "SELECT k, COUNT(*) AS id, SUM(x) AS x FROM {df} WHERE k IS NOT NULL GROUP BY k"
    assert bench.frame(ROWS, text).select("id", "k", "x").rows() == [(1, "b", None), (2, "a", 3.5)]


@feature("Steps", "SQL on {nodes.x}")
def _sql_nodes(bench: Bench) -> None:
    text = "SELECT d.id, o.w FROM {df} AS d LEFT JOIN {nodes.other} AS o ON d.id = o.id WHERE d.id < 3"
    assert _joined(bench, text) == [(1, None), (2, 20)]


@feature("Steps", "SQL on {sources.x}")
def _sql_sources(bench: Bench) -> None:
    made = node("a", ROWS, steps=["SELECT d.id, o.w FROM {df} AS d JOIN {sources.o} AS o ON d.id = o.id"])
    made["sources"] = [made.pop("source"), {"df": OTHER, "name": "o"}]
    assert bench.output(bench.run(made), "a").rows() == [(2, 20)]


@feature("Steps", "SQL, WITH and UNION ALL")
def _sql_with(bench: Bench) -> None:
    text = "WITH t AS (SELECT id FROM {df} WHERE x > 0) SELECT id FROM t UNION ALL SELECT id + 10 AS id FROM t"
    assert bench.frame(ROWS, text)["id"].to_list() == [1, 2, 11, 12]


@feature("Steps", "SQL, windows")
def _sql_windows(bench: Bench) -> None:
    text = "SELECT id, ROW_NUMBER() OVER (PARTITION BY k ORDER BY id DESC) AS n FROM {df} WHERE k IS NOT NULL"
    assert bench.frame(ROWS, text).rows() == [(1, 2), (2, 1), (3, 1)]


@feature("Steps", "dialect of a step")
def _dialect(bench: Bench) -> None:
    step = {"expr": "SELECT `id`, nvl(x, 0) AS x FROM {df} WHERE id % 2 = 0", "dialect": "spark"}
    assert bench.frame(ROWS, step).rows() == [(2, 2.5), (4, -2.5)]


@feature("Steps", "dialect of a pipeline")
def _pipeline_dialect(bench: Bench) -> None:
    text = 'SELECT "id", COALESCE(x, 0)::INT AS x FROM {df} WHERE k ILIKE \'A\' ORDER BY "id" LIMIT 1'
    assert bench.frame(ROWS, text, dialect="postgres").rows() == [(1, 1)]


MISREAD = {
    "DISTINCT FROM": ("SELECT id FROM {df} WHERE k IS DISTINCT FROM 'a' AND x IS NOT NULL", [(4,)]),
    "IS TRUE": ("SELECT id, (x > 0) IS TRUE AS t FROM {df} WHERE id > 1", [(2, True), (3, False), (4, False)]),
    "OUTER USING": ("SELECT id, w FROM {df} AS d RIGHT JOIN {nodes.other} AS o USING (id)", [(2, 20), (9, 90)]),
    "TABLE COLUMNS": ("SELECT id FROM {df} AS t(id, a, b)", [(1,), (2,), (3,), (4,)]),
}


def _understood(bench: Bench, name: str) -> None:
    text, rows = MISREAD[name]
    assert _joined(bench, text) == rows


def _misreads(name: str, engine: Capabilities) -> str | None:
    return "its SQL takes this for something else" if name in engine.misreads else None


for _name in MISREAD:
    feature("Steps", f"SQL, {_name}", partial(_misreads, _name), "this engine")(partial(_understood, name=_name))


# ---- methods -------------------------------------------------------------------------------------


@feature("Steps", "methods of Narwhals")
def _methods(bench: Bench) -> None:
    steps = [
        {"func_name": "filter", "func_args": ["nw.col('id') > 1"]},
        {"func_name": "with_columns", "func_kwargs": {"y": "nw.col('x').abs()"}},
        {"func_name": "sort", "func_args": ["y"], "func_kwargs": {"descending": True}},
        {"func_name": "unique", "func_kwargs": {"subset": ["y"], "keep": "any"}},
        {"func_name": "select", "func_args": ["y"]},
    ]
    assert bench.frame(ROWS, *steps, by=["y"]).rows() == [(2.5,), (None,)]


@feature("Steps", "methods with {nodes.x}")
def _methods_nodes(bench: Bench) -> None:
    step = {"func_name": "join", "func_kwargs": {"other": "{nodes.other}", "on": "id", "how": "inner"}}
    assert _joined(bench, step) == [(2, "a", 2.5, 20)]


@feature("Steps", "methods of the engine")
def _native(bench: Bench) -> None:
    found = bench.frame(ROWS[:2], {**bench.native, "dataframe_api": "NATIVE"})
    assert found.rows() == ROWS[:2].rows()


@feature("Steps", "SQL and methods in turn")
def _mixed(bench: Bench) -> None:
    steps = [
        "SELECT id, x FROM {df} WHERE x IS NOT NULL",
        {"func_name": "with_columns", "func_kwargs": {"y": "nw.col('x') * 2"}},
        "SELECT id, y FROM {df} WHERE y > 2",
    ]
    assert bench.frame(ROWS, *steps).rows() == [(2, 5.0)]


def _lacks(name: str, engine: Capabilities) -> str | None:
    return f"its frames have no `{name}`" if name in engine.lacks else None


for _method, _arguments, _ids in (("tail", [1], [4]), ("gather_every", [3], [1, 4])):
    _step = {"func_name": _method, "func_args": _arguments}

    @feature("Steps", f"method {_method}", partial(_lacks, _method), "backend has no method")
    def _(bench: Bench, step: dict[str, Any] = _step, ids: list[int] = _ids) -> None:
        assert bench.frame(ROWS, step)["id"].to_list() == ids


# ---- the namespace -------------------------------------------------------------------------------


@feature("Namespace", "union")
def _union(bench: Bench) -> None:
    other = "SELECT k, id + 10 AS id FROM {nodes.b} WHERE id = 1"
    step = {"func_name": "laktory.union", "func_kwargs": {"others": "{nodes.c}"}}
    nodes = (node("b", ROWS), node("c", "b", steps=[other]), node("a", "b", steps=["SELECT id, k FROM {df}", step]))
    assert bench.output(bench.run(*nodes), "a").rows() == [*ROWS.select("id", "k").rows(), (11, "a")]


@feature("Namespace", "groupby_and_agg")
def _group(bench: Bench) -> None:
    arguments = {"groupby_columns": ["k"], "agg_expressions": ["max(x) AS high", "nw.len().alias('id')"]}
    found = bench.frame(ROWS, {"func_name": "laktory.groupby_and_agg", "func_kwargs": arguments}, by=["k"])
    assert found.select("k", "high", "id").rows() == [("a", 2.5, 2), ("b", None, 1), (None, -2.5, 1)]


@feature("Namespace", "with_row_index")
def _index(bench: Bench) -> None:
    arguments = {"name": "n", "order_by": "x", "partition_by": "k"}
    found = bench.frame(ROWS, {"func_name": "laktory.with_row_index", "func_kwargs": arguments})
    assert found.select("id", "n").rows() == [(1, 0), (2, 1), (3, 0), (4, 0)]


@feature("Namespace", "window_filter")
def _window(bench: Bench) -> None:
    arguments = {"partition_by": ["k"], "order_by": ["id"]}
    assert bench.frame(ROWS, {"func_name": "laktory.window_filter", "func_kwargs": arguments})["id"].to_list() == [
        1,
        3,
        4,
    ]


def _computed(bench: Bench, expression: str) -> list[Any]:
    return bench.frame(ROWS, {"func_name": "with_columns", "func_kwargs": {"y": expression}})["y"].to_list()


@feature("Namespace", "roundp")
def _roundp(bench: Bench) -> None:
    assert _computed(bench, "nw.col('x').laktory.roundp(1.0)") == [1.0, 3.0, None, -3.0]


@feature("Namespace", "sql_expr")
def _sql_expr(bench: Bench) -> None:
    assert _computed(bench, "nw.laktory.sql_expr('x / 2 > 1')") == [False, True, None, False]


@feature("Namespace", "current_timestamp")
def _now(bench: Bench) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    found = set(_computed(bench, "nw.laktory.current_timestamp()"))
    assert len(found) == 1
    assert before < found.pop() <= dt.datetime.now(dt.UTC)
