"""Methods of frames: the rows that their words promise, the same on every engine."""

from __future__ import annotations

import polars as pl
import pytest
from building import node, pipeline

from laktory.engines.capabilities import ENGINES
from laktory.errors import StepError

ROWS = pl.DataFrame(
    {"id": [1, 2, 3, 4, 5], "k": ["a", "a", "b", None, None], "i": [9, 1, 5, 2, 2], "d": [5, 4, 3, 2, 1]}
)


def method(name, *args, **kwargs):
    return {"func_name": name, "func_args": list(args), "func_kwargs": kwargs}


def computed(backend, left, *steps, right=None):
    left.write_parquet("left.parquet")
    (ROWS if right is None else right).write_parquet("right.parquet")
    made = [node("right", "right.parquet"), node("a", "left.parquet", "out.parquet", steps=list(steps))]
    pipeline(backend, *made).execute()
    found = pl.read_parquet("out.parquet")
    return found.sort(found.columns[0], nulls_last=True)


@pytest.mark.parametrize(
    ("keep", "order_by", "kept"),
    [
        # 'id' is a name, not the columns 'i' and 'd'
        ("first", "id", [1, 3, 4]),
        ("last", "id", [2, 3, 5]),
        ("first", ["i", "d"], [2, 3, 5]),
        ("last", ["i", "d"], [1, 3, 4]),
        ("none", "id", [3]),
        ("none", ["i", "id"], [3]),
        ("none", None, [3]),
    ],
)
def test_unique_keeps_the_row_that_the_order_says(backend, keep, order_by, kept):
    step = method("unique", ["k"], keep=keep, order_by=order_by)
    assert computed(backend, ROWS, step)["id"].to_list() == kept


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"on": "t"}, [30, 20, 10, None]),
        ({"on": "t", "by": "k"}, [30, 20, 10, None]),
        ({"on": "t", "by": ["k"], "strategy": "forward"}, [30, 10, 40, None]),
    ],
)
def test_rows_need_no_order_to_be_joined_as_of(backend, arguments, found):
    left = pl.DataFrame({"t": [5, 1, 3, None], "k": ["a", "b", "a", "a"]})
    right = pl.DataFrame({"t": [8, 4, 2, None, 1], "k": ["a", "a", "a", "a", "b"], "y": [40, 10, 20, 50, 30]})
    joined = computed(backend, left, method("join_asof", "{nodes.right}", **arguments), right=right)
    assert joined["t"].to_list() == [1, 3, 5, None]
    assert joined["y"].to_list() == found


@pytest.mark.parametrize("strategy", ["backward", "forward"])
@pytest.mark.parametrize("by", [None, "k"])
@pytest.mark.parametrize("descending", [False, True])
def test_of_equal_times_the_nearest_in_the_order_of_rows_is_found(backend, strategy, by, descending):
    """The last one at or before a time, the first one at or after it."""
    left = pl.DataFrame({"t": range(0, 1000, 7), "k": [i % 3 for i in range(143)]})
    right = pl.DataFrame({"t": [i * 7919 % 500 * 2 for i in range(5000)], "k": [i // 500 % 3 for i in range(5000)]})
    right = right.with_columns(y=pl.int_range(5000)).sample(fraction=1, shuffle=True, seed=1)
    ordered = [method("sort", "y", descending=descending)]
    step = method("join_asof", "{nodes.right}", on="t", by=by, strategy=strategy)
    right.write_parquet("r.parquet")
    left.write_parquet("l.parquet")
    nodes = [node("right", "r.parquet", steps=ordered), node("out", "l.parquet", "out.parquet", steps=[step])]
    pipeline(backend, *nodes).execute()
    last = (strategy == "backward") != descending
    one = right.group_by("t", *([by] if by else [])).agg(pl.col("y").max() if last else pl.col("y").min())
    wanted = left.sort("t").join_asof(one.sort("t"), on="t", by=by, strategy=strategy, check_sortedness=False)
    assert pl.read_parquet("out.parquet").sort("t")["y"].to_list() == wanted["y"].to_list()


def test_keys_without_a_partner(backend):
    left = pl.DataFrame({"t": [1], "k": [1]})
    step = method("join_asof", "{nodes.right}", on="t", by_left=["k"])
    with pytest.raises(StepError, match="'by_left' names 1 column.s. and 'by_right' 0; each needs its partner"):
        computed(backend, left, step, right=left)


def test_the_time_that_was_found_stays(backend):
    left = pl.DataFrame({"t": [5, 1], "k": ["a", "b"]})
    right = pl.DataFrame({"u": [4, 1], "key": ["a", "b"], "k": [7, 8]})
    step = method("join_asof", "{nodes.right}", left_on="t", right_on="u", by_left="k", by_right="key")
    joined = computed(backend, left, step, right=right)
    assert joined.rows(named=True) == [
        {"t": 1, "k": "b", "u": 1, "k_right": 8},
        {"t": 5, "k": "a", "u": 4, "k_right": 7},
    ]


@pytest.mark.parametrize("name", ["join", "join_asof"])
@pytest.mark.parametrize("other", [pl.String, pl.Float64, pl.Decimal(10, 2), pl.Boolean])
def test_keys_of_other_kinds_are_not_compared(backend, name, other):
    left = pl.DataFrame({"id": [0, 1]})
    right = pl.DataFrame({"id": [0, 1], "x": [1, 2]}).with_columns(pl.col("id").cast(other))
    with pytest.raises(StepError, match="id"):
        computed(backend, left, method(name, "{nodes.right}", on="id"), right=right)


def test_keys_of_one_kind_are_compared_whatever_their_width(backend):
    left = pl.DataFrame({"id": [1, 2]}, schema={"id": pl.Int16})
    right = pl.DataFrame({"id": [2, 2**40], "x": [1, 2]})
    joined = computed(backend, left, method("join", "{nodes.right}", on="id", how="left"), right=right)
    assert joined.rows() == [(1, None), (2, 1)]


def test_arithmetic_of_methods_is_the_engines(backend):
    """As the documents say; what differs here without standing there is a defect."""
    numbers = pl.DataFrame({"i": [2**31 - 1, 1], "f": [2.5, float("nan")]}, schema_overrides={"i": pl.Int32})
    step = method("select", s="nw.col('i').sum()", r="nw.col('f').round(0).min()", m="nw.col('f').max()")
    expected = {"POLARS": (2**31, 2.0, "2.5"), "DUCKDB": (2**31, 3.0, "nan"), "PYSPARK": (2**31, 3.0, "nan")}
    [(total, rounded, largest)] = computed(backend, numbers, step).rows()
    assert (total, rounded, str(largest)) == expected[backend]
    wrapping = method("select", w="(nw.col('i') + 1).min()")
    if backend == "POLARS" or ENGINES[backend].variant == "Sail":
        assert computed(backend, numbers, wrapping).rows() == [(-(2**31),)]
    else:
        with pytest.raises(StepError, match="Overflow|out of range"):
            computed(backend, numbers, wrapping)


def test_an_order_lasts_through_filters_and_plain_columns(backend):
    rows = pl.DataFrame({"id": [(i * 7919) % 50_000 for i in range(50_000)]})
    steps = [
        method("sort", "id", descending=True),
        method("with_columns", twice="nw.col('id') * 2"),
        {"expr": "SELECT id, twice FROM {df} WHERE id < 49000"},
        method("filter", "nw.col('twice') > 10"),
        method("head", 1000),
    ]
    found = computed(backend, rows, *steps)
    assert found["id"].to_list() == list(range(48_000, 49_000))
