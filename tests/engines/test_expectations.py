"""Expectations in a run: what is written, what is told, what stops a node."""

import json
import warnings
from pathlib import Path

import narwhals as nw
import polars as pl
import pytest
from building import bytes_at, node, pipeline

from laktory import models
from laktory.engines.capabilities import ENGINES
from laktory.errors import (
    DataQualityCheckFailedError,
    DataQualityWarning,
    DefinitionError,
    MissingColumnError,
    RunError,
    SinkError,
    StepError,
)

POSITIVE = {"name": "p", "expr": "x > 0", "action": "QUARANTINE"}
REJECTED = {"path": "q.parquet", "format": "PARQUET", "is_quarantine": True}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        yield


def prices(path="in.parquet", x=(1, -1, None, 4)):
    pl.DataFrame(
        {"id": range(len(x)), "x": x, "s": ["a", "b", "a", None][: len(x)]},
        schema={"id": pl.Int64, "x": pl.Int64, "s": pl.String},
    ).write_parquet(path)


def ids(path):
    return pl.read_parquet(path)["id"].sort().to_list()


def judged(backend, *rules, sinks=("out.parquet", REJECTED), **kwargs):
    return pipeline(backend, node("a", "in.parquet", *sinks, expectations=list(rules), **kwargs))


# ---- which rows go where -------------------------------------------------------------------------


def test_a_row_for_which_the_rule_is_null_is_in_quarantine_not_lost(backend):
    prices()
    p = judged(backend, POSITIVE)
    p.execute()
    assert (ids("out.parquet"), ids("q.parquet")) == ([0, 3], [1, 2])


def test_a_row_that_fails_one_of_two_rules_is_in_quarantine(backend):
    prices()
    p = judged(backend, POSITIVE, {"not_null": "s", "action": "QUARANTINE"})
    p.execute()
    assert (ids("out.parquet"), ids("q.parquet")) == ([0], [1, 2, 3])
    assert [check.fails_count for check in p.nodes[0].checks] == [2, 1]


def test_quarantine_goes_before_drop_and_rules_that_warn_remove_nothing(backend):
    prices()
    drop = {"name": "d", "expr": "id < 2", "action": "DROP"}
    p = judged(backend, POSITIVE, drop, {"name": "w", "expr": "FALSE"})
    p.execute()
    assert (ids("out.parquet"), ids("q.parquet")) == ([0], [1, 2])
    entry = p.last_run["nodes"][0]
    assert [entry[f"rows_{what}"] for what in ("stage", "out", "quarantined", "dropped")] == [4, 1, 2, 1]


def test_rules_without_quarantine_give_an_empty_one(backend):
    prices()
    p = judged(backend, {"name": "d", "expr": "x > 0", "action": "DROP"}, sinks=("out.parquet",))
    p.execute()
    assert p.nodes[0].quarantine_df.collect("polars").to_native().equals(pl.read_parquet("in.parquet").clear())
    assert ids("out.parquet") == [0, 3]


def test_no_rules_no_quarantine(backend):
    prices()
    p = judged(backend, sinks=("out.parquet",))
    assert p.nodes[0].quarantine_df is None
    p.execute()
    assert p.nodes[0].quarantine_df is None
    assert p.nodes[0].checks == []


def test_consumers_and_nodes_without_sinks_get_the_rows_that_stay(backend):
    prices()
    rule = {"expectations": [POSITIVE]}
    p = pipeline(
        backend,
        node("a", "in.parquet", **rule),
        node("b", "a", steps=["SELECT id, x * 2 AS x FROM {df}"]),
        node("c", "b", "c.parquet", expectations=[{"name": "small", "expr": "x < 5", "action": "DROP"}]),
        node("d", "in.parquet", {"path": "d.csv", "format": "CSV"}, **rule),
        node("e", "d", "e.parquet"),
    )
    assert p.plan().by_name["a"].how == "materialised"
    p.execute()
    assert ids("c.parquet") == [0]
    assert ids("e.parquet") == [0, 3]
    assert p.nodes[0].output_df.collect("polars")["id"].to_list() == [0, 3]
    assert p.nodes[0].quarantine_df.collect("polars")["id"].to_list() == [1, 2]
    assert p.nodes[0].stage_df.collect("polars")["id"].to_list() == [0, 1, 2, 3]


def test_a_node_that_only_checks_is_checked(backend):
    prices()
    p = pipeline(backend, node("a", "in.parquet", expectations=[{"name": "f", "expr": "x > 0", "action": "FAIL"}]))
    with pytest.raises(DataQualityCheckFailedError):
        p.execute()


def test_a_run_that_writes_nothing_checks_all_the_same(backend):
    prices()
    p = judged(backend, POSITIVE)
    p.execute(write_sinks=False)
    assert not Path("out.parquet").exists()
    assert p.nodes[0].output_df.collect("polars")["id"].sort().to_list() == [0, 3]
    assert p.nodes[0].quarantine_df.collect("polars")["id"].sort().to_list() == [1, 2]
    assert p.nodes[0].checks[0].fails_count == 2


WRITABLE = sorted({name for found in ENGINES.values() for name, support in found.formats.items() if support.modes})


@pytest.mark.parametrize(
    ("format_", "mode"),
    [*((name, mode) for name in WRITABLE for mode in ("APPEND", "OVERWRITE")), ("CSV", "IGNORE"), ("DELTA", "IGNORE")],
)
def test_quarantine_in_any_format_and_mode(format_, mode, backend):
    support = ENGINES[backend].formats.get(format_)
    if support is None or mode not in support.modes:
        words = f"format '{format_}' cannot be" if support is None else f"mode '{mode}' is not possible for the format"
        with pytest.raises(DefinitionError, match=words):
            judged(backend, POSITIVE, sinks=({"path": "q", "format": format_, "mode": mode},)).plan()
        return
    prices()
    path = "q" if format_ == "DELTA" else "q.xlsx" if format_ == "EXCEL" else f"q.{format_.lower()}"
    sink = {"path": path, "format": format_, "mode": mode, "is_quarantine": True, "details": True}
    p = judged(backend, POSITIVE, {"not_null": "s"}, sinks=("out.parquet", sink))
    runs = []
    for _ in range(2):
        p.execute()
        runs.append(p.last_run["run_id"])
    source = models.FileDataSource(path=path, format=format_, dataframe_backend=backend)
    found = source.read().collect("polars").to_native()
    kept = {"APPEND": runs, "OVERWRITE": runs[1:], "IGNORE": runs[:1]}[mode]
    assert sorted(found["_run_id"].to_list()) == sorted(kept * 2)
    reasons = found["_failed_expectations"].to_list()
    assert reasons[0] == ("p" if format_ in ("CSV", "EXCEL", "XML") else ["p"])
    assert sorted({int(number) for number in found["id"]}) == [1, 2]


def test_details_do_not_hide_a_column_of_that_name(backend):
    pl.DataFrame({"x": [-1], "_run_id": ["mine"]}).write_parquet("in.parquet")
    p = judged(backend, POSITIVE, sinks=("out.parquet", REJECTED | {"details": True}))
    with pytest.raises(SinkError, match="'details' adds the column '_run_id', which the rows have already"):
        p.execute()
    assert not Path("out.parquet").exists()


def test_several_sinks_of_each_kind_converge(backend):
    prices()
    sinks = ["out.parquet", {"path": "out.csv", "format": "CSV", "mode": "APPEND"}, REJECTED]
    sinks += [{"path": "q.jsonl", "format": "JSONL", "mode": "APPEND", "is_quarantine": True}]
    p = judged(backend, POSITIVE, sinks=sinks)
    p.execute()
    p.execute()
    assert (ids("out.parquet"), ids("q.parquet")) == ([0, 3], [1, 2])
    assert sorted(pl.read_csv("out.csv")["id"]) == [0, 0, 3, 3]
    assert sorted(pl.read_ndjson("q.jsonl")["id"]) == [1, 1, 2, 2]


def test_a_quarantine_sink_may_stand_first_and_is_never_what_consumers_read(backend):
    prices()
    p = pipeline(
        backend, node("a", "in.parquet", REJECTED, "out.parquet", expectations=[POSITIVE]), node("b", "a", "b.parquet")
    )
    assert p.nodes[0].primary_sink.path == "out.parquet"
    assert [sink.path for sink in p.nodes[0].all_sinks] == ["out.parquet", "q.parquet"]
    p.execute()
    assert ids("b.parquet") == [0, 3]
    p.execute(selects=["b"])
    assert ids("b.parquet") == [0, 3]


def test_a_node_with_a_quarantine_sink_only(backend):
    prices()
    p = pipeline(backend, node("a", "in.parquet", REJECTED, expectations=[POSITIVE]), node("b", "a", "b.parquet"))
    p.execute()
    assert (ids("q.parquet"), ids("b.parquet")) == ([1, 2], [0, 3])


def test_the_writer_of_a_quarantine_gets_its_rows(backend, tmp_path, monkeypatch):
    prices()
    monkeypatch.syspath_prepend(tmp_path)
    Path("rejects.py").write_text(
        "def write(frame):\n    frame.collect('polars').to_native().write_csv('rejected.csv')\n", encoding="utf-8"
    )
    sink = {"custom_writer": {"func_name": "rejects.write"}, "is_quarantine": True, "details": True}
    p = pipeline(backend, node("a", "in.parquet", "out.parquet", sink, expectations=[POSITIVE]), imports=["rejects"])
    for row in p.nodes:
        assert row.quarantine_sinks
    p.nodes[0].sinks[1].details = False
    p.execute()
    assert sorted(pl.read_csv("rejected.csv")["id"]) == [1, 2]


def test_a_sink_by_itself_writes_the_quarantine(backend):
    prices()
    p = judged(backend, POSITIVE)
    p.execute(write_sinks=False)
    p.nodes[0].quarantine_sinks[0].write()
    assert ids("q.parquet") == [1, 2]


# ---- short forms ---------------------------------------------------------------------------------


def test_unique_keeps_the_row_that_is_asked_for(backend):
    prices(x=(5, 7, 6, None))
    for keep, kept in {"first": [0, 1, 3], "last": [1, 2, 3]}.items():
        rule = {"unique": {"columns": ["s"], "order_by": "x", "keep": keep}, "action": "QUARANTINE"}
        judged(backend, rule).execute()
        assert ids("out.parquet") == kept
    judged(backend, {"unique": "s", "action": "DROP"}, sinks=("out.parquet",)).execute()
    assert ids("out.parquet") == [1, 3]  # NULL is compared with nothing


def test_references_of_another_node(backend):
    prices()
    known = {"name": "known", "source": {"df": pl.DataFrame({"k": ["a", "a", None]})}}
    rule = {"references": {"column": "s", "node": "known", "to": "k"}, "action": "QUARANTINE"}
    p = pipeline(backend, node("a", "in.parquet", "out.parquet", REJECTED, expectations=[rule]), known)
    assert p.nodes[0].upstream_node_names == ["known"]
    assert p.plan().node_names == ["known", "a"]
    p.execute()
    assert (ids("out.parquet"), ids("q.parquet")) == ([0, 2, 3], [1])
    p.execute(selects=["a"])
    assert (ids("out.parquet"), ids("q.parquet")) == ([0, 2, 3], [1])


def test_references_between_types(backend):
    prices()
    rule = {"references": {"column": "x", "node": "known", "to": "k"}, "action": "QUARANTINE"}
    for values, error in ((pl.Series([1, -1], dtype=pl.Int32), None), (["1"], "column 'x' is Int64, and 'k'")):
        known = {"name": "known", "source": {"df": pl.DataFrame({"k": values})}}
        p = pipeline(backend, node("a", "in.parquet", "out.parquet", REJECTED, expectations=[rule]), known)
        if error:
            with pytest.raises(StepError, match=error):
                p.execute()
        else:
            p.execute()
        assert (ids("out.parquet"), ids("q.parquet")) == ([0, 1, 2], [3])


def test_a_rule_for_a_column_of_the_name_of_ours(backend):
    pl.DataFrame({"_laktory_rule_0": [1, -1], "_laktory_rule_1": [1, 1]}).write_parquet("in.parquet")
    rules = [{"name": "p", "expr": "_laktory_rule_0 > 0", "action": "DROP"}, {"unique": "_laktory_rule_1"}]
    judged(backend, *rules, sinks=("out.parquet",)).execute()
    assert pl.read_parquet("out.parquet").rows() == [(1, 1)]


# ---- what stops a node ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"name": "f", "expr": "x > 0", "action": "FAIL"}, "expr: x > 0 | status: FAIL | fails count: 2 / 4 (50.00 %)"),
        (
            POSITIVE | {"fail_above": {"rel": 0.25}},
            "expr: x > 0 | status: FAIL | fails count: 2 / 4 (50.00 %) | fail_above: 25.00%",
        ),
        (
            {"name": "n", "expr": "COUNT(*) > 4", "type": "AGGREGATE", "action": "FAIL"},
            "expr: COUNT(*) > 4 | status: FAIL",
        ),
    ],
)
def test_a_rule_that_stops_the_node_leaves_all_as_it_was(rule, told, backend):
    prices(x=(1, 2, 3, 4))
    rules = [rule, POSITIVE | {"name": "moves"}]
    fine = [rule | {"expr": "TRUE"} if rule["name"] == "n" and rule.get("type") != "AGGREGATE" else rule, rules[1]]
    if rule.get("type") == "AGGREGATE":
        fine[0] = rule | {"expr": "COUNT(*) > 0"}
    judged(backend, *fine).execute()
    before = {path: bytes_at(path) for path in ("out.parquet", "q.parquet")}
    prices()
    p = judged(backend, *rules)
    with pytest.raises(DataQualityCheckFailedError) as failed:
        p.execute()
    assert f"Expectation '{rule['name']}' failed on node 'a' | {told}" in str(failed.value)
    assert {path: bytes_at(path) for path in before} == before
    entry = p.last_run["nodes"][0]
    assert entry["status"] == "failed"
    assert entry["checks"][0]["status"] == "FAIL"


def test_tolerance_says_when_the_status_is_fail_and_rows_go_all_the_same(backend):
    prices()
    for tolerance, status in (
        ({"abs": 2}, "PASS"),
        ({"abs": 1}, "FAIL"),
        ({"rel": 0.5}, "PASS"),
        ({"rel": 0.4}, "FAIL"),
    ):
        p = judged(backend, POSITIVE | {"tolerance": tolerance})
        p.execute()
        assert p.nodes[0].checks[0].status == status
        assert ids("q.parquet") == [1, 2]
    p = judged(
        backend, {"name": "f", "expr": "x > 0", "action": "FAIL", "tolerance": {"abs": 2}}, sinks=("out.parquet",)
    )
    p.execute()
    assert ids("out.parquet") == [0, 1, 2, 3]


def test_a_rule_that_cannot_be_computed_commits_nothing(backend):
    prices()
    judged(backend, POSITIVE).execute()
    before = bytes_at("out.parquet")
    for rule, error, told in (
        (
            {"name": "c", "expr": "CAST(s AS INTEGER) > 0"},
            StepError,
            "rule 'c' cannot be computed: 'a' is not a whole number",
        ),
        ({"name": "m", "expr": "y > 0"}, MissingColumnError, "rule 'm' names the column 'y', which is not there"),
        ({"name": "n", "expr": "x"}, StepError, "a rule is true or false, found values of type Int64"),
        ({"name": "t", "expr": "s > 0"}, DefinitionError, "CAST"),
    ):
        p = judged(backend, POSITIVE, rule)
        with pytest.raises((error, RunError)) as failed:
            p.execute()
        assert told in str(failed.value)
        assert bytes_at("out.parquet") == before


def test_lost_rows_are_refused_before_anything_is_committed(backend, monkeypatch):
    prices()
    from laktory.checks import Rows

    for name, lost in {"output": lambda rows: rows.frame.filter(nw.col("id") < 3), "failed": None}.items():
        if lost is None:
            whole = Rows.failed.fget

            def lost(rows, whole=whole):
                return whole(rows).filter(nw.col("id") < 2)

        with monkeypatch.context() as patch:
            patch.setattr(Rows, name, property(lost))
            with pytest.raises(RunError, match="the node has 4 rows, and there would be"):
                judged(backend, POSITIVE).execute()
        assert not Path("out.parquet").exists()
        assert not Path("q.parquet").exists()


# ---- what is told --------------------------------------------------------------------------------


def test_warnings_and_checks(backend):
    prices()
    p = judged(
        backend, POSITIVE, {"name": "w", "expr": "id < 10"}, {"name": "n", "expr": "MAX(x) > 9", "type": "AGGREGATE"}
    )
    assert p.nodes[0].checks == [None, None, None]
    with pytest.warns(DataQualityWarning) as told:
        p.execute()
    assert [str(warning.message) for warning in told] == [
        "Expectation 'p' for node 'a' FAILED | expr: x > 0 | status: FAIL | fails count: 2 / 4 (50.00 %)",
        "Expectation 'n' for node 'a' FAILED | expr: MAX(x) > 9 | status: FAIL",
    ]
    first, second, third = p.nodes[0].checks
    assert (first.status, first.rows_count, first.fails_count, first.failure_rate) == ("FAIL", 4, 2, 0.5)
    assert (second.status, second.failure_rate) == ("PASS", 0.0)
    assert (third.status, third.fails_count, third.failure_rate) == ("FAIL", None, None)
    assert p.nodes[0].expectations[0].check == first


def test_an_empty_frame(backend):
    prices(x=())
    rules = [
        {"name": "f", "expr": "x > 0", "action": "FAIL"},
        {"name": "r", "expr": "x > 0", "tolerance": {"rel": 0}},
        {"name": "m", "expr": "MAX(x) > 0", "type": "AGGREGATE"},
        {"name": "c", "expr": "COUNT(*) > 0", "type": "AGGREGATE"},
    ]
    p = judged(backend, *rules, sinks=("out.parquet",))
    p.execute()
    assert [(check.status, check.rows_count) for check in p.nodes[0].checks] == [
        ("PASS", 0), ("PASS", 0), ("PASS", 0), ("FAIL", 0),
    ]  # fmt: skip
    assert p.nodes[0].checks[0].failure_rate == 0


def test_log_lines(backend, caplog):
    prices()
    with caplog.at_level("INFO", "laktory"):
        judged(backend, POSITIVE).execute()
    said = [record.getMessage() for record in caplog.records]
    for line in (
        "Checking Data Quality Expectations",
        "Checking expectation 'p' | x > 0 (type: ROW)",
        "Checking expectation 'p' | status : FAIL - failed rows : 2 (50.00%)",
        "Building quarantine DataFrame",
        "Dropping invalid rows",
    ):
        assert line in said


def test_rules_by_hand(backend):
    frame = pl.DataFrame({"x": [1, -1, None, 4]})
    rule = models.DataQualityExpectation(name="p", expr="x > 0", dataframe_backend=backend)
    check = rule.run_check(frame)
    assert (check.status, check.rows_count, check.fails_count) == ("FAIL", 4, 2)
    assert rule.check == check
    assert rule.log_msg == "expr: x > 0 | status: FAIL | fails count: 2 / 4 (50.00 %)"
    assert nw.from_native(frame).filter(rule.pass_filter)["x"].to_list() == [1, 4]
    assert nw.from_native(frame).filter(rule.fail_filter)["x"].to_list() == [-1, None]
    assert (rule.keep_filter, rule.quarantine_filter) == (None, None)
    with pytest.warns(DataQualityWarning, match="Expectation 'p' for node 'n' FAILED"):
        rule.run_check(frame, raise_or_warn=True, node="n")
    rule.action = "FAIL"
    with pytest.raises(DataQualityCheckFailedError, match="Expectation 'p' failed on node 'n'"):
        rule.run_check(frame, raise_or_warn=True, node="n")
    rule.action = "QUARANTINE"
    assert nw.from_native(frame).filter(rule.quarantine_filter)["x"].to_list() == [-1, None]


def test_rules_of_a_node_by_hand(backend):
    prices()
    p = judged(backend, POSITIVE)
    with pytest.raises(DefinitionError, match="there is nothing to judge"):
        p.nodes[0].check_expectations()
    p.execute()
    assert [check.fails_count for check in p.nodes[0].check_expectations()] == [2]


# ---- computed once, resumed ----------------------------------------------------------------------


STEPS = """
import narwhals as nw
from laktory.api import register_lazyframe_namespace

@register_lazyframe_namespace("counting")
class Counting:
    def __init__(self, frame):
        self._frame = frame

    def draw(self):
        with open("calls.txt", "a") as file:
            file.write("x")
        return self._frame
"""


def drawing(backend):
    """A step that gives other rows each time it is computed."""
    if backend != "POLARS":
        return "SELECT id, x, s, random() AS r FROM {df}"
    return {"func_name": "with_columns", "func_kwargs": {"r": "pl.col('id').shuffle()"}, "dataframe_api": "NATIVE"}


def test_rows_that_differ_each_time_are_computed_once(backend):
    pl.DataFrame({"id": range(500), "x": range(500), "s": ["a"] * 500}).write_parquet("in.parquet")
    edge = "r < 250" if backend == "POLARS" else "r < 0.5"
    rules = [{"name": "r", "expr": edge, "action": "QUARANTINE"}]
    judged(backend, *rules, steps=[drawing(backend)]).execute()
    assert sorted(ids("out.parquet") + ids("q.parquet")) == list(range(500))


def test_which_frames_are_computed_again(backend):
    prices()
    cheap = ["SELECT id, x + 1 AS x FROM {df} WHERE s IS NOT NULL"]
    for steps, again in (
        (None, True),
        (cheap, True),
        (["SELECT DISTINCT x FROM {df}"], False),
        (["SELECT x, ROW_NUMBER() OVER (ORDER BY x) AS n FROM {df}"], False),
        (["SELECT x FROM {df} LIMIT 2"], False),
        ([{"func_name": "unique", "func_kwargs": {"subset": ["x"]}}], False),
    ):
        p = judged(backend, POSITIVE, steps=steps)
        assert p.plan().by_name["a"].again is again
        p.execute()


def test_a_resumed_run_knows_what_was_found_and_writes_nothing_twice(backend):
    prices()
    sink = {"path": "q.jsonl", "format": "JSONL", "mode": "APPEND", "is_quarantine": True}
    bad = node("b", "a", "b.parquet", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    p = pipeline(backend, node("a", "in.parquet", "out.parquet", sink, expectations=[POSITIVE]), bad)
    with pytest.raises(RunError):
        p.execute()
    found = p.nodes[0].checks
    p.nodes[1].transformer.nodes[0].expr = "SELECT s AS i FROM {df}"
    p.execute(resume=True)
    entries = p.last_run["nodes"]
    assert [entry["status"] for entry in entries] == ["resumed", "succeeded"]
    assert entries[0]["checks"][0]["fails"] == 2
    assert p.nodes[0].checks == found
    assert p.nodes[0].quarantine_df.collect("polars")["id"].sort().to_list() == [1, 2]
    assert sorted(pl.read_ndjson("q.jsonl")["id"]) == [1, 2]


@pytest.mark.parametrize("resumed", [False, True])
def test_rules_of_the_whole_frame_keep_no_rows(backend, resumed):
    prices()
    rule = {"name": "n", "expr": "COUNT(*) > 9", "type": "AGGREGATE"}
    bad = node("b", "a", "b.parquet", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    p = pipeline(backend, node("a", "in.parquet", "out.parquet", expectations=[rule]), bad)
    with pytest.raises(RunError):
        p.execute()
    if resumed:
        p.nodes[1].transformer.nodes[0].expr = "SELECT s AS i FROM {df}"
        p.execute(resume=True)
        assert [entry["status"] for entry in p.last_run["nodes"]] == ["resumed", "succeeded"]
    assert [check.status for check in p.nodes[0].checks] == ["FAIL"]
    assert p.last_run["nodes"][0]["rows_stage"] == 4
    empty = p.nodes[0].quarantine_df.collect("polars")
    assert (empty.shape[0], empty.columns) == (0, ["id", "x", "s"])
    assert not list(Path(".laktory").rglob("quarantine/*"))


def test_other_rules_are_another_definition(backend):
    prices()
    bad = node("b", "a", "b.parquet", steps=["SELECT CAST(s AS INTEGER) AS i FROM {df}"])
    p = pipeline(backend, node("a", "in.parquet", "out.parquet", expectations=[POSITIVE]), bad)
    with pytest.raises(RunError):
        p.execute()
    p.nodes[0].expectations[0].expr = "x > 1"
    p.nodes[1].transformer.nodes[0].expr = "SELECT s AS i FROM {df}"
    p.execute(resume=True)
    assert [entry["status"] for entry in p.last_run["nodes"]] == ["succeeded", "succeeded"]
    assert ids("out.parquet") == [3]


def test_rows_that_failed_are_kept_until_a_later_run_has_some(backend):
    prices()
    for _ in range(3):
        judged(backend, POSITIVE)
        p = judged(backend, POSITIVE)
        p.execute()
        del p
    import gc

    gc.collect()
    other = pipeline(backend, node("z", "in.parquet", "z.parquet"))
    other.execute()
    kept = sorted(Path(".laktory/pipelines/p/runs").glob("*/quarantine/*"))
    assert [path.name for path in kept] == ["a.parquet"]
    assert kept[0].parents[1].name == sorted(path.name for path in Path(".laktory/pipelines/p/runs").iterdir())[2]


def test_the_record_holds_no_secret_of_a_rule(backend):
    prices()
    p = judged(backend, {"name": "k", "expr": "s <> '${vars.api_key}'"}, sinks=("out.parquet",))
    p.variables = {"api_key": "hunter2hunter2"}
    p.execute()
    assert "hunter2hunter2" not in json.dumps(p.last_run)


@pytest.mark.parametrize("where", ["step", "selects"])
@pytest.mark.parametrize("action", ["DROP", "WARN", "QUARANTINE"])
def test_a_bad_value_stops_the_run_though_a_rule_takes_its_row_out(action, where, backend):
    pl.DataFrame({"id": [1, 2, 3], "s": ["1", "x", "3"]}).write_parquet("in.parquet")
    rules = [{"name": "r", "expr": "s <> 'x'", "action": action}]
    columns = ["id", "s", "CAST(s AS INTEGER) AS n"]
    p = judged(backend, *rules, sinks=("out.parquet",))
    if where == "step":
        p = judged(backend, *rules, sinks=("out.parquet",), steps=[f"SELECT {', '.join(columns)} FROM {{df}}"])
    else:
        p.nodes[0].sources[0].selects = columns
    with pytest.raises(RunError, match="x"):
        p.execute()
    assert not Path("out.parquet").exists()


def test_columns_are_known_at_the_end_of_a_long_chain():
    steps = ["SELECT *, id + 1 AS next FROM {df}", "SELECT * EXCLUDE (next) FROM {df}"]
    nodes = [{"name": "n0", "source": {"data": {"id": [1], "x": [2]}}}]
    nodes += [node(f"n{number}", f"n{number - 1}", steps=steps) for number in range(1, 1500)]
    nodes[-1]["expectations"] = [{"name": "p", "expr": "next > 0"}, {"name": "q", "expr": "x > 0"}]
    with pytest.raises(DefinitionError) as told:
        models.Pipeline(name="p", nodes=nodes).plan()
    [problem] = told.value.problems
    assert problem.message == "rule 'p' names the column 'next', which the rows of the node do not have"
    assert list(problem.valid) == ["id", "x"]
