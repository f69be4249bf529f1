import pytest

from laktory.errors import DefinitionError
from laktory.graph import ancestors, descendants, find_cycle, group_tasks, select, sort

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
LABELS = {"a": ["node-a", "bronze"], "b": ["node-b"], "c": ["node-c", "silver"], "d": ["node-d", "gold", "daily"]}


def test_sort_puts_each_name_after_what_it_reads():
    order = sort({"d": ["b", "c"], "c": ["a"], "b": ["a"], "a": []})
    assert all(order.index(up) < order.index(name) for name, ups in DIAMOND.items() for up in ups)


def test_sort_keeps_the_given_order_where_it_may():
    assert sort({"x": [], "z": [], "y": []}) == ["x", "z", "y"]


def test_ten_thousand_nodes_in_a_chain_need_no_recursion():
    chain = {str(i): [str(i - 1)] if i else [] for i in range(10_000)}
    assert sort(chain) == [str(i) for i in range(10_000)]
    assert len(ancestors(chain, ["9999"])) == 9_999
    assert find_cycle({**chain, "0": ["9999"]}) is not None


def test_a_cycle_is_named_in_the_direction_rows_flow():
    cycle = find_cycle({"a": ["c"], "b": ["a"], "c": ["b"]})
    assert cycle is not None
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"a", "b", "c"}
    with pytest.raises(DefinitionError, match="circular dependency"):
        sort({"a": ["b"], "b": ["a"]})


def test_ancestors_and_descendants():
    assert ancestors(DIAMOND, ["d"]) == {"a", "b", "c"}
    assert descendants(DIAMOND, ["a"]) == {"b", "c", "d"}
    assert descendants(DIAMOND, ["d"]) == set()


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["b"], {"b"}),
        (["*b"], {"a", "b"}),
        (["b*"], {"b", "d"}),
        (["*b*"], {"a", "b", "d"}),
        (["silver"], {"c"}),
        (["node-c"], {"c"}),
        (["*gold"], {"a", "b", "c", "d"}),
        (["a,c"], {"a", "c"}),
        (["a", "d"], {"a", "d"}),
    ],
)
def test_selection(items, expected):
    assert select(DIAMOND, items, LABELS) == expected


@pytest.mark.parametrize("item", ["x", "", "*", "a b", "bronz"])
def test_unknown_selection_is_refused(item):
    with pytest.raises(DefinitionError, match="is not a node, execution_task_name or tag"):
        select(DIAMOND, [item], LABELS)


def test_tasks_skip_sinkless_nodes_and_keep_their_edges():
    upstream = {"brz": [], "slv": ["brz"], "gld1": ["slv"], "gld2": ["slv"]}
    tasks = group_tasks(upstream, {name: f"node-{name}" for name in upstream}, {"slv"})
    assert [(t.name, t.upstream) for t in tasks] == [
        ("node-brz", ()),
        ("node-gld1", ("node-brz",)),
        ("node-gld2", ("node-brz",)),
    ]


def test_grouped_tasks_come_after_what_any_of_their_nodes_reads():
    upstream = {"a": [], "b": ["a"], "c": [], "d": ["c"]}
    tasks = group_tasks(upstream, {"a": "A", "b": "g", "c": "C", "d": "g"}, set())
    assert [t.name for t in tasks][-1] == "g"
    assert next(t for t in tasks if t.name == "g").upstream == ("A", "C")


def test_grouping_into_a_circle_is_refused():
    with pytest.raises(DefinitionError, match="groups nodes in a circle"):
        group_tasks({"a": [], "b": ["a"], "c": ["b"]}, {"a": "A", "b": "B", "c": "A"}, set())
