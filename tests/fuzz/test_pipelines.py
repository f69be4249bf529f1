"""Whole pipelines: random graphs, steps, sinks and rows, run twice on every engine, against plain Python."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from fuzzing import budget, example
from hypothesis import given
from hypothesis import strategies as st

from laktory.engines.capabilities import ENGINES
from laktory.errors import LaktoryError
from laktory.models import Pipeline

Rows = list[dict[str, Any]]
SCHEMA = {"id": pl.Int64, "k": pl.Int64, "x": pl.Float64, "s": pl.String, "b": pl.Boolean}
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 9),
            "k": st.none() | st.integers(-2, 3),
            "x": st.none() | st.integers(-8, 8).map(lambda number: number / 4) | st.just(math.nan),
            "s": st.none() | st.sampled_from(["a", "b", "x y", "é,;\"'", "1", "null"]),
            "b": st.none() | st.booleans(),
        }
    ),
    max_size=6,
)


@dataclass
class Step:
    """A transformer step, or an option of a source, and what it does to rows."""

    definition: dict[str, Any]
    apply: Callable[[Rows, Rows], Rows]
    reads_other: bool = False


def sql(text: str, apply: Callable[[Rows, Rows], Rows]) -> Step:
    return Step({"expr": text}, apply, "{nodes." in text)


def method(name: str, apply: Callable[[Rows], Rows], *args: Any, **kwargs: Any) -> Step:
    return Step({"func_name": name, "func_args": list(args), "func_kwargs": kwargs}, lambda rows, _: apply(rows))


def changed(rows: Rows, **functions: Callable[[dict[str, Any]], Any]) -> Rows:
    return [{**row, **{name: function(row) for name, function in functions.items()}} for row in rows]


def distinct(rows: Rows) -> Rows:
    return list({key(row): row for row in rows}.values())


def joined(left: Rows, right: Rows, *, outer: bool) -> Rows:
    found = []
    for row in left:
        others = [other for other in right if row["k"] is not None and other["k"] == row["k"]]
        found += [{**row, "x": other["x"], "b": other["b"]} for other in others]
        if outer and not others:
            found.append({**row, "x": None, "b": None})
    return found


def grouped(rows: Rows) -> Rows:
    groups: dict[Any, Rows] = {}
    for row in rows:
        groups.setdefault(row["k"], []).append(row)
    return [
        {
            "id": max(row["id"] for row in members),
            "k": value,
            "x": float(sum(row["x"] is not None for row in members)),
            "s": min((row["s"] for row in members if row["s"] is not None), default=None),
            "b": None,
        }
        for value, members in groups.items()
    ]


def plus_one(row: dict[str, Any]) -> Any:
    return None if row["k"] is None else row["k"] + 1


JOIN = "SELECT l.id, l.k, r.x AS x, l.s, r.b AS b FROM {{df}} AS l {} JOIN {{nodes.OTHER}} AS r ON l.k = r.k"
STEPS = [
    sql("SELECT * FROM {df}", lambda rows, _: rows),
    sql("SELECT * FROM {df} WHERE k > 0 -- {nodes.x}", lambda rows, _: [row for row in rows if (row["k"] or 0) > 0]),
    sql(
        "SELECT * FROM {df} WHERE s IS NULL OR b", lambda rows, _: [row for row in rows if row["s"] is None or row["b"]]
    ),
    sql("SELECT id, k + 1 AS k, x, s, b FROM {df}", lambda rows, _: changed(rows, k=plus_one)),
    sql(
        "SELECT id, COALESCE(k, id) AS k, x, s, b FROM {df}",
        lambda rows, _: changed(rows, k=lambda row: row["id"] if row["k"] is None else row["k"]),
    ),
    sql(
        "SELECT id, k, x, CASE WHEN b THEN '{df}' ELSE s END AS s, b FROM {df}",
        lambda rows, _: changed(rows, s=lambda row: "{df}" if row["b"] else row["s"]),
    ),
    sql("SELECT DISTINCT * FROM {df}", lambda rows, _: distinct(rows)),
    sql("SELECT * FROM {df} UNION ALL SELECT * FROM {df}", lambda rows, _: rows + rows),
    sql(
        "SELECT id, k, x, s, b FROM {df} UNION ALL SELECT id, k, x, s, b FROM {nodes.OTHER}",
        lambda rows, other: rows + other,
    ),
    sql(JOIN.format("INNER"), lambda rows, other: joined(rows, other, outer=False)),
    sql(JOIN.format("LEFT"), lambda rows, other: joined(rows, other, outer=True)),
    sql(
        "SELECT MAX(id) AS id, k, CAST(COUNT(x) AS DOUBLE) AS x, MIN(s) AS s, CAST(NULL AS BOOLEAN) AS b "
        "FROM {df} GROUP BY k",
        lambda rows, _: grouped(rows),
    ),
    method("filter", lambda rows: [row for row in rows if row["k"] is not None and row["k"] < 2], "nw.col('k') < 2"),
    method(
        "filter", lambda rows: [row for row in rows if row["s"] in ("a", "b")], "nw.sql_expr(\"s IN ('a', 'b', NULL)\")"
    ),
    method("with_columns", lambda rows: changed(rows, k=plus_one), k="nw.col('k') + 1"),
    method("with_columns", lambda rows: changed(rows, s=lambda row: row["s"] or "z"), s="nw.col('s').fill_null('z')"),
    method("select", lambda rows: rows, ["b", "s", "x", "k", "id"]),
    method("drop_nulls", lambda rows: [row for row in rows if row["k"] is not None], subset=["k"]),
    method("unique", distinct),
    method("sort", lambda rows: rows, "id", "k"),
    method("rename", lambda rows: rows, {"k": "y"}),
]
RENAMED_BACK = {"func_name": "rename", "func_args": [{"y": "k"}]}
OPTIONS: list[Step] = [
    Step({}, lambda rows, _: rows),
    Step(
        {"filter": "k > 0 OR s LIKE 'x%'"},
        lambda rows, _: [row for row in rows if (row["k"] or 0) > 0 or (row["s"] or "").startswith("x")],
    ),
    Step({"selects": ["s", "b", "id", "x", "k"]}, lambda rows, _: rows),
    Step({"selects": ["id", "k + 1 AS k", "x", "s", "b"]}, lambda rows, _: changed(rows, k=plus_one)),
    Step({"drop_duplicates": ["id", "k", "x", "s", "b"]}, lambda rows, _: distinct(rows)),
]
FORMATS = ["PARQUET", "PARQUET", "IPC", "CSV", "JSONL", "JSON", "AVRO", "DELTA", "DIRECTORY"]
WITHOUT_APPEND = {"AVRO"}
TEXTS = {"CSV", "JSON", "JSONL"}


@dataclass
class Node:
    name: str
    upstream: str | None
    other: str | None
    option: Step
    steps: list[Step]
    sinks: list[tuple[str, str | None]] = field(default_factory=list)
    backend: str | None = None

    def definition(self) -> dict[str, Any]:
        source = (
            {"node_name": self.upstream} if self.upstream else {"path": f"{self.name}-in.parquet", "format": "PARQUET"}
        )
        steps: list[dict[str, Any]] = []
        for step in self.steps:
            steps.append(json.loads(json.dumps(step.definition).replace("OTHER", self.other or "")))
            if step.definition.get("func_name") == "rename":
                steps.append(RENAMED_BACK)
        sinks = [
            {
                "path": f"out/{self.name}-{number}{'/' if name == 'DIRECTORY' else ''}",
                "format": "PARQUET" if name == "DIRECTORY" else name,
                **({"mode": mode} if mode else {}),
            }
            for number, (name, mode) in enumerate(self.sinks)
        ]
        made: dict[str, Any] = {"name": self.name, "source": {**source, **self.option.definition}, "sinks": sinks}
        if steps:
            made["transformer"] = {"nodes": steps}
        return made | ({"dataframe_backend": self.backend} if self.backend else {})

    @property
    def writes_json(self) -> bool:
        return any(name in {"JSON", "JSONL"} for name, _ in self.sinks)

    def rows(self, upstream: Rows, other: Rows) -> Rows:
        rows = self.option.apply(upstream, [])
        for step in self.steps:
            rows = step.apply(rows, other)
        return rows


@st.composite
def pipelines(draw: Any) -> list[tuple[Node, Rows]]:
    nodes: list[tuple[Node, Rows]] = []
    count = draw(st.integers(1, 5))
    for number in range(count):
        names = [node.name for node, _ in nodes]
        upstream = draw(st.none() | st.sampled_from(names)) if names else None
        other = draw(st.sampled_from(names)) if names else None
        steps = draw(st.lists(st.sampled_from([step for step in STEPS if other or not step.reads_other]), max_size=3))
        if not any(step.reads_other for step in steps):
            other = None
        sinks = draw(
            st.lists(st.tuples(st.sampled_from(FORMATS), st.sampled_from([None, "OVERWRITE", "APPEND"])), max_size=2)
        )
        sinks = [(name, None if name in WITHOUT_APPEND else mode) for name, mode in sinks]
        backend = draw(st.sampled_from([None, None, None, *ENGINES]))
        node = Node(f"n{number}", upstream, other, draw(st.sampled_from(OPTIONS)), steps, sinks, backend)
        nodes.append((node, draw(ROWS) if upstream is None else []))
    if any(node.writes_json for node, _ in nodes):
        # a text of JSON has no NaN: it becomes null
        nodes = [
            (node, changed(rows, x=lambda row: 0.5 if math.isnan(row["x"] or 0) else row["x"])) for node, rows in nodes
        ]
    return nodes


# ---- what has to come out ------------------------------------------------------------------------


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple("nan" if isinstance(row[name], float) and math.isnan(row[name]) else row[name] for name in SCHEMA)


def bag(rows: Rows) -> Counter[tuple[Any, ...]]:
    return Counter(key(row) for row in rows)


def computed(nodes: list[tuple[Node, Rows]]) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for node, given_rows in nodes:
        upstream = found[node.upstream] if node.upstream else given_rows
        found[node.name] = node.rows(upstream, found[node.other] if node.other else [])
    return found


def collected(frame: Any) -> Rows:
    return frame.collect("polars").to_native().rows(named=True)


def check(found: Rows, wanted: Rows, what: str) -> None:
    assert bag(found) == bag(wanted), f"{what}: {found} instead of {wanted}"
    for row, name in itertools.product(found, SCHEMA):
        kinds = {"id": int, "k": int, "x": float, "s": str, "b": bool}
        assert row[name] is None or type(row[name]) is kinds[name], f"{what}: {name} is {row[name]!r}"


def check_text(text: str, name: str, rows: Rows, what: str) -> None:
    """What other programs read in a text file; CSV writes an absent value as nothing."""
    if name == "CSV":
        found = [tuple(row[key] for key in ("id", "k", "s")) for row in csv.DictReader(io.StringIO(text, newline=""))]
        wanted = [tuple("" if row[key] is None else str(row[key]) for key in ("id", "k", "s")) for row in rows]
        assert Counter(found) == Counter(wanted), f"{what}: {text}"
    else:
        values = json.loads(text) if name == "JSON" else [json.loads(line) for line in text.splitlines()]
        check(values, rows, what)


@budget(12)
@given(pipelines(), st.sampled_from(list(ENGINES)), st.integers(0, 4))
def test_pipelines(tmp_path: Path, nodes: list[tuple[Node, Rows]], engine: str, picked: int) -> None:
    for path in tmp_path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for node, rows in nodes:
        if node.upstream is None:
            pl.DataFrame(rows, schema=SCHEMA).write_parquet(f"{node.name}-in.parquet")
    definition = {"name": "p", "dataframe_backend": engine, "nodes": [node.definition() for node, _ in reversed(nodes)]}
    wanted = computed(nodes)
    with example(json.dumps(definition), *(rows for _, rows in nodes)):
        for run in (1, 2):
            pipeline = Pipeline.model_validate(definition)
            try:
                pipeline.execute(threads=2)
            except (LaktoryError, ExceptionGroup) as error:
                msg = f"run {run} is refused: {error}"
                raise AssertionError(msg) from error
            for node, _ in nodes:
                made = pipeline.nodes_dict[node.name]
                check(collected(made.output_df), wanted[node.name], f"output of {node.name} in run {run}")
                for sink, (name, mode) in zip(made.sinks, node.sinks, strict=True):
                    if name in {"CSV", "JSON", "JSONL"}:
                        continue
                    times = run if mode == "APPEND" else 1
                    check(
                        collected(sink.read()), wanted[node.name] * times, f"{name} {mode} of {node.name} in run {run}"
                    )
        select(pipeline, nodes, wanted, nodes[picked % len(nodes)][0])


def select(pipeline: Pipeline, nodes: list[tuple[Node, Rows]], wanted: dict[str, Rows], node: Node) -> None:
    """One node alone reads all that others hold in their first sink."""
    held = {
        other.name: wanted[other.name] * (2 if other.sinks and other.sinks[0][1] == "APPEND" else 1)
        for other, _ in nodes
    }
    by_name = {other.name: (other, rows) for other, rows in nodes}

    def rows_of(name: str, *, alone: bool) -> Rows:
        other, given_rows = by_name[name]
        if other.sinks and not alone:
            return held[name]
        upstream = rows_of(other.upstream, alone=False) if other.upstream else given_rows
        return other.rows(upstream, rows_of(other.other, alone=False) if other.other else [])

    pipeline.execute(selects=[node.name])
    check(collected(pipeline.nodes_dict[node.name].output_df), rows_of(node.name, alone=True), f"{node.name} alone")
