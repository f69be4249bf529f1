"""Selections of nodes on random graphs, against a plain oracle."""

from __future__ import annotations

from typing import Any

from fuzzing import budget, example
from hypothesis import given
from hypothesis import strategies as st

from laktory.errors import DefinitionError
from laktory.models import Pipeline

LABELS = ["daily", "weekly", "é x", "a-b"]


@st.composite
def graphs(draw: Any) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Upstream nodes of each node, and its tags."""
    count = draw(st.integers(1, 8))
    names = draw(st.permutations([f"n{number}" for number in range(count)]))
    upstream = {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=3)) if place else []
        for place, name in enumerate(names)
    }
    return upstream, {name: draw(st.lists(st.sampled_from(LABELS), unique=True, max_size=2)) for name in names}


ITEMS = st.lists(
    st.tuples(
        st.sampled_from(["", "*", " *", ""]),
        st.sampled_from([*(f"n{number}" for number in range(8)), *LABELS, "node-n1", "nope", "", "N0", "n"]),
        st.sampled_from(["", "*", "* ", ""]),
    ),
    min_size=1,
    max_size=3,
)


def reached(edges: dict[str, set[str]], start: set[str]) -> set[str]:
    found: set[str] = set()
    while start:
        start = {other for name in start for other in edges[name]} - found
        found |= start
    return found


@budget(30)
@given(graphs(), ITEMS, st.booleans())
def test_selections(
    graph: tuple[dict[str, list[str]], dict[str, list[str]]], items: list[tuple[str, str, str]], joined: bool
) -> None:
    upstream, tags = graph
    texts = ["".join(item) for item in items]
    selects = [",".join(texts)] if joined else texts
    down = {name: {other for other in upstream if name in upstream[other]} for name in upstream}
    up = {name: set(others) for name, others in upstream.items()}
    wanted: set[str] | None = set()
    for before, key, after in items:
        names = {key} & set(upstream) or {name for name in upstream if key in (*tags[name], f"node-{name}")}
        if not names or wanted is None:
            wanted = None
            continue
        wanted |= names | (reached(up, names) if before else set()) | (reached(down, names) if after else set())
    nodes = [
        {
            "name": name,
            "tags": tags[name],
            "sources": [{"node_name": other} for other in upstream[name]] or [{"data": [{"x": 1}]}],
            "sinks": [{"path": f"{name}.parquet", "format": "PARQUET"}],
        }
        for name in reversed(upstream)
    ]
    pipeline = Pipeline.model_validate({"name": "p", "nodes": nodes})
    with example(upstream, tags, selects):
        try:
            tasks = pipeline.get_execution_plan(selects).tasks
        except DefinitionError as error:
            assert wanted is None, error
            for _, key, _ in items:
                if key in {"nope", ""}:
                    assert "is not a node, execution_task_name or tag" in str(error)
            raise
        names = [name for task in tasks for name in task.nodes]
        assert sorted(names) == sorted(wanted or ())
        places = {name: place for place, name in enumerate(names)}
        assert all(places[name] < places[other] for name in names for other in down[name] if other in places)


@budget(30)
@given(st.lists(st.text("n0*,+: é\x00'\"\n{}@", max_size=12) | st.text(max_size=8), max_size=4))
def test_any_selection(selects: list[str]) -> None:
    pipeline = Pipeline.model_validate({"name": "p", "nodes": [{"name": "n0", "source": {"data": [{"x": 1}]}}]})
    from laktory.planning import plan

    with example(selects):
        plan(pipeline, selects)
