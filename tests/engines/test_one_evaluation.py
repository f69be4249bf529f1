"""A frame that is named twice is computed once: other random numbers would be drawn each time."""

import polars as pl
import pytest
from building import node, numbers, pipeline

from laktory import models

DRAWN = "SELECT id, random() AS r FROM {df}"
PAIRS = "SELECT a.id, a.r AS r1, b.r AS r2 FROM {left} a JOIN {right} b ON a.id = b.id"


def pairs(left, right):
    return PAIRS.replace("{left}", left).replace("{right}", right)


def drawing(backend):
    if backend != "POLARS":
        return DRAWN
    return {"func_name": "with_columns", "func_kwargs": {"r": "pl.col('id').shuffle()"}, "dataframe_api": "NATIVE"}


def drawn_once(path="out.parquet", n=500):
    frame = pl.read_parquet(path)
    assert frame["r1"].to_list() == frame["r2"].to_list()
    assert frame["r1"].n_unique() == n


@pytest.mark.parametrize(
    "steps",
    [
        [pairs("{df}", "{df}")],
        [pairs("{df}", "{nodes.a}")],
        ["SELECT id, r FROM {df}", pairs("{df}", "{nodes.a}")],
        ["SELECT id, r AS r1 FROM {df}", "SELECT d.id, d.r1, a.r AS r2 FROM {df} d JOIN {nodes.a} a ON d.id = a.id"],
        [{"func_name": "join", "func_args": ["{df}"], "func_kwargs": {"on": "id", "suffix": "2"}}],
        [{"func_name": "join", "func_args": ["{nodes.a}"], "func_kwargs": {"on": "id", "suffix": "2"}}],
    ],
)
def test_a_node_without_sink_that_its_consumer_reads_twice(steps, backend):
    numbers(n=500)
    if isinstance(steps[0], dict):
        steps = [*steps, "SELECT id, r AS r1, r2 FROM {df}"]
    p = pipeline(backend, node("a", "in.parquet", steps=[drawing(backend)]), node("b", "a", "out.parquet", steps=steps))
    p.execute()
    drawn_once()


def test_options_of_a_source_do_not_hide_that_a_node_is_read_twice(backend):
    numbers(n=500)
    source = {"node_name": "a", "filter": "id >= 2"}
    b = node("b", source, "out.parquet", steps=[pairs("{df}", "{nodes.a}")])
    p = pipeline(backend, node("a", "in.parquet", steps=[drawing(backend)]), b)
    assert p.plan().by_name["a"].how == "materialised"
    assert p.plan().by_name["a"].why == "b reads it several times: computed once"
    p.execute()
    drawn_once(n=498)


def test_steps_of_one_node(backend):
    numbers(n=500)
    pipeline(backend, node("a", "in.parquet", "out.parquet", steps=[drawing(backend), pairs("{df}", "{df}")])).execute()
    drawn_once()
    union = {"func_name": "laktory.union", "func_args": ["{df}"]}
    pipeline(backend, node("a", "in.parquet", "two.parquet", steps=[drawing(backend), union])).execute()
    assert pl.read_parquet("two.parquet").height == 1000
    assert pl.read_parquet("two.parquet")["r"].n_unique() == 500


def test_a_frame_given_by_the_caller_in_two_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers()
    import duckdb

    drawn = duckdb.sql("SELECT id, random() AS r FROM 'in.parquet'")
    first = "SELECT id, r AS r1 FROM {drawn}"
    second = "SELECT d.id, d.r1, o.r AS r2 FROM {df} d JOIN {drawn} o ON d.id = o.id"
    made = models.DataFrameTransformer(nodes=[{"expr": first}, {"expr": second}], dataframe_backend="DUCKDB")
    frame = made.execute(pl.DataFrame({"id": [1]}), named_dfs={"drawn": drawn}).collect("polars").to_native()
    assert frame["r1"].to_list() == frame["r2"].to_list()


def test_a_file_read_twice_is_not_copied(backend):
    numbers()
    made = node("b", "a", "out.parquet", steps=["SELECT l.id FROM {df} l JOIN {df} r ON l.id = r.id"])
    p = pipeline(backend, node("a", "in.parquet"), made)
    assert p.plan().by_name["a"].how == "fused"
    p.execute()
    assert pl.read_parquet("out.parquet").height == 6
