"""What is easily got wrong about rules: what they may see, when they are computed, what is said of them."""

import random
import shutil
import warnings
from pathlib import Path

import polars as pl
import pytest
from building import node, pipeline, small_files

from laktory.diagnostics.secrets import register
from laktory.errors import (
    DataQualityCheckFailedError,
    DataQualityWarning,
    DefinitionError,
    RunError,
    SinkError,
    StepError,
)
from laktory.models import Pipeline, PipelineNode
from laktory.models.dataquality import DataQualityExpectation, ExpectationTolerance
from laktory.runtime.sessions import standing

REJECTED = {"path": "q.parquet", "format": "PARQUET", "is_quarantine": True}
MOVES = {"name": "p", "expr": "x > 0", "action": "QUARANTINE"}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        yield


def judged(backend, frame, *rules, **kwargs):
    frame.write_parquet("in.parquet")
    return pipeline(backend, node("a", "in.parquet", "out.parquet", REJECTED, expectations=list(rules), **kwargs))


def frame():
    return pl.DataFrame({"id": [1, 2, 3, 4], "x": [1, -1, None, 4]})


def ids(path):
    return pl.read_parquet(path)["id"].sort().to_list()


def test_a_share_of_rows_is_exact():
    assert all(ExpectationTolerance(rel=n / 100).allows(n, 100) for n in range(101))
    assert not any(ExpectationTolerance(rel=n / 100).allows(n + 1, 100) for n in range(100))
    assert ExpectationTolerance(rel=0).allows(0, 0)
    shown = [str(ExpectationTolerance(rel=share)) for share in (0.05, 0.00001, 0.12345, 1, 0)]
    assert shown == ["5.00%", "0.001%", "12.345%", "100.00%", "0.00%"]


def test_a_rule_does_not_see_the_columns_of_other_rules(backend):
    last = {"name": "last", "expr": "nw.nth(-1) > 0", "action": "QUARANTINE"}
    every = {"name": "every", "expr": "nw.sum_horizontal(nw.all()) > 5", "action": "WARN"}
    total = {"name": "total", "expr": "nw.nth(-1).max() > 3", "type": "AGGREGATE"}
    p = judged(backend, frame(), {"unique": "id"}, last, every, total)
    p.execute()
    assert ids("q.parquet") == [2, 3]
    assert [check.fails_count for check in p.nodes[0].checks] == [0, 2, 3, None]
    assert p.nodes[0].checks[-1].status == "PASS"


def test_sql_inside_code_is_judged_like_sql(backend):
    several = {"name": "w", "expr": "nw.sql_expr('COUNT(*) OVER (PARTITION BY x) > 1')", "action": "QUARANTINE"}
    p = judged(backend, frame().with_columns(x=pl.Series([1, 1, None, 4])), several)
    p.execute()
    assert ids("q.parquet") == [3, 4]
    total = {"name": "t", "expr": "sql_expr('MAX(x) > 3')", "type": "AGGREGATE"}
    p = judged(backend, frame(), MOVES, total)
    p.execute()
    assert p.nodes[0].checks[1].status == "PASS"
    with pytest.raises(DefinitionError, match="a rule of type ROW judges each row"):
        judged(backend, frame(), several | {"expr": "nw.sql_expr('MAX(x) > 3')"}).execute()


@pytest.mark.parametrize("text", ["nw.lit('col(') == 'x'", "nw.lit('a') == 'x'", "FALSE", "sql_expr('1 = 2')"])
def test_a_constant_is_a_rule(text, backend):
    judged(backend, frame(), MOVES | {"expr": text}).execute()
    assert (ids("out.parquet"), ids("q.parquet")) == ([], [1, 2, 3, 4])


@pytest.mark.parametrize("rows", [0, 1, 4])
@pytest.mark.parametrize(
    "text",
    ["nw.col('x') > nw.col('x').mean()", "nw.col('x').sum().over('id') > nw.col('x').mean()", "sql_expr('x > MAX(x)')"],
)
def test_one_value_of_all_rows_is_one_value(rows, text, backend):
    p = judged(backend, frame().head(rows), MOVES, {"name": "t", "expr": text, "type": "AGGREGATE"})
    with pytest.raises(DefinitionError, match="one value of all rows, and this differs from row to row"):
        p.execute()
    rule = DataQualityExpectation(name="t", expr=text, type="AGGREGATE")
    with pytest.raises(StepError, match="one value of all rows, and this differs from row to row"):
        rule.run_check(frame().head(rows))


def test_a_rule_of_several_columns_says_which(backend):
    with pytest.raises(StepError, match="one value for each row, found several: id, x; combine them"):
        judged(backend, frame(), MOVES | {"expr": "nw.col('id', 'x') > 0"}).execute()


def test_a_step_that_cannot_be_computed_is_not_blamed_on_a_rule(backend):
    texts = pl.DataFrame({"id": [1, 2], "x": ["1", "?"]})
    p = judged(backend, texts, MOVES, steps=["SELECT id, CAST(x AS INTEGER) AS x FROM {df}"])
    with pytest.raises(StepError, match=r"\?") as failed:
        p.execute()
    assert "rule" not in str(failed.value)
    assert not Path("out.parquet").exists()


def test_an_aggregate_that_cannot_be_computed_is_named(backend):
    texts = pl.DataFrame({"id": [1, 2], "x": [1, 2], "s": ["1", "?"]})
    total = {"name": "total", "expr": "MAX(CAST(s AS INTEGER)) > 0", "type": "AGGREGATE"}
    for more in ([], [{"unique": "id"}]):
        with pytest.raises(StepError, match=r"rule 'total' cannot be computed: '\?' is not a whole number"):
            judged(backend, texts, MOVES, *more, total).execute()
    assert not Path("out.parquet").exists()


def test_a_frame_of_a_script_is_computed_once(backend):
    calls = []

    def other_rows_each_time(rows):
        calls.append(1)
        return rows.with_columns(x=pl.Series(random.choices([1, -1], k=rows.height)))

    rows = pl.DataFrame({"id": range(50), "x": [0] * 50})
    p = judged(backend, rows, MOVES)
    p.nodes[0].source._df = rows.lazy().map_batches(other_rows_each_time, schema=rows.schema)
    p.execute()
    assert len(calls) == 1
    assert sorted(ids("out.parquet") + ids("q.parquet")) == list(range(50))


def test_methods_of_a_reader_are_called_once(backend):
    from laktory.planning import plan

    p = judged(backend, frame(), MOVES)
    assert plan(p).nodes[0].again
    p.nodes[0].source.reader_methods = [{"name": "limit", "args": [2]}]
    assert not plan(p).nodes[0].again


def test_columns_named_like_those_of_rules_in_another_case(backend):
    rows = frame().with_columns(_LAKTORY_RULE_0=pl.lit(5), _laktory_rule_1_passed=pl.lit(6))
    judged(backend, rows, MOVES, {"unique": "id"}).execute()
    assert (ids("out.parquet"), ids("q.parquet")) == ([1, 4], [2, 3])
    assert pl.read_parquet("out.parquet").columns == rows.columns


def test_checks_are_those_of_the_last_run(backend):
    p = judged(backend, frame(), MOVES)
    p.execute()
    p.nodes[0].check_expectations()
    p.nodes[0].expectations[0].run_check(frame().head(1))
    assert p.nodes[0].checks[0].rows_count == 1
    frame().head(2).write_parquet("in.parquet")
    p.execute()
    assert p.nodes[0].checks[0].rows_count == 2


def test_secrets_in_rules_are_not_told(backend):
    secret = "hunter2-" + backend.lower()
    text = f"CAST(x AS VARCHAR) = '{secret}'"
    p = judged(backend, frame(), MOVES | {"expr": f"x > 0 OR {text}"}, {"name": f"is {secret}", "expr": text})
    register(secret)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        p.execute()
    assert len(told) == 2
    assert not any(secret in str(item.message) for item in told)
    files = [file for file in Path(".laktory").rglob("*.json*") if file.is_file()]
    assert len(files) >= 2
    rule = DataQualityExpectation(name=f"is {secret}", expr=text, action="FAIL")
    rule.run_check(frame())
    with pytest.raises(DataQualityCheckFailedError) as failed:
        rule.raise_or_warn()
    assert secret not in str(failed.value)
    assert not any(secret.encode() in file.read_bytes() for file in files)


def test_intermediate_results_that_do_not_fit_leave_nothing(backend):
    rows = pl.DataFrame({"id": range(100_000)}).with_columns(x=pl.col("id").shuffle(seed=1) - 50_000)
    standing().get(backend)  # Spark's jars are files, too
    for more in ([], [{"unique": "id"}]):
        p = judged(backend, rows, MOVES, *more)
        with small_files(50_000), pytest.raises(SinkError, match="cannot write"):
            p.execute()
        [run] = Path(".laktory/pipelines/p/runs").iterdir()
        assert {file.name for file in run.rglob("*") if file.is_file()} <= {"ledger.jsonl", "record.json", "in-use"}
        shutil.rmtree(".laktory")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (pl.Series([1, 2**53 + 1, -2]), pl.Series([1, 2**53, 2**64 - 2], dtype=pl.UInt64)),
        (pl.Series([1, 2**53 + 1, 2**64 - 1], dtype=pl.UInt64), pl.Series([1, 2**53, -1])),
        (pl.Series([1, 44, -1], dtype=pl.Int8), pl.Series([1, 300, 2**32 - 1])),
        (pl.Series([1, 300, -1]), pl.Series([1, 44, 255], dtype=pl.UInt8)),
    ],
)
def test_integers_of_other_widths_refer_by_value(ours, theirs, backend):
    pl.DataFrame({"key": theirs}).write_parquet("keys.parquet")
    pl.DataFrame({"id": [1, 2, 3], "x": ours}).write_parquet("in.parquet")
    rule = {"references": {"column": "x", "node": "keys", "to": "key"}, "action": "QUARANTINE"}
    rows = node("a", "in.parquet", "out.parquet", REJECTED, expectations=[rule])
    pipeline(backend, node("keys", "keys.parquet"), rows).execute()
    assert (ids("out.parquet"), ids("q.parquet")) == ([1], [2, 3])


def test_a_quarantine_sink_by_itself_writes_details(backend):
    p = judged(backend, frame(), MOVES)
    sink = p.nodes[0].sinks[1]
    sink.details = True
    p.execute()
    written = pl.read_parquet("q.parquet")
    sink.write(mode="APPEND")
    both = pl.read_parquet("q.parquet")
    assert both.columns[-3:] == ["_failed_expectations", "_run_id", "_quarantined_at"]
    assert both.drop("_quarantined_at").equals(pl.concat([written, written]).drop("_quarantined_at"))


def test_a_frame_of_a_node_alone_is_written_with_details(backend):
    frame().write_parquet("in.parquet")
    alone = node("a", "in.parquet", "out.parquet", REJECTED | {"details": True}, expectations=[MOVES])
    made = PipelineNode(**alone, dataframe_backend=backend)
    made.execute()
    made.sinks[1].write(mode="OVERWRITE")
    assert pl.read_parquet("q.parquet")["_failed_expectations"].to_list() == [["p"], ["p"]]


def test_checks_of_rules_that_hold_variables(backend):
    named, whole = MOVES | {"name": "p ${vars.n}"}, {"name": "z", "expr": "id > 1", "action": "WARN"}
    p = judged(backend, frame(), named, "${vars.whole}")
    p.variables = {"n": 1, "whole": whole}
    p.execute()
    assert [check.fails_count for check in p.nodes[0].checks] == [2, 1]
    assert p.nodes[0].expectations[0].check.fails_count == 2
    p.nodes[0].expectations = "${vars.all}"
    p.variables = {"all": [MOVES, whole]}
    p.execute()
    assert [check.fails_count for check in p.nodes[0].checks] == [2, 1]


def test_nodes_and_sources_that_are_variables(backend):
    frame().write_parquet("in.parquet")
    whole = node("b", "in.parquet", "b.parquet", expectations=[MOVES | {"action": "DROP"}])
    p = pipeline(backend, "${vars.whole}", node("a", "in.parquet", "out.parquet"))
    p.nodes[1].source = "${vars.source}"
    p.variables = {"whole": whole, "source": {"path": "in.parquet", "format": "PARQUET"}}
    p.execute()
    assert (ids("b.parquet"), ids("out.parquet")) == ([1, 4], [1, 2, 3, 4])
    assert p.nodes[1].output_df is not None


def test_a_frame_that_fails_is_not_computed_again_to_find_the_rule(backend):
    calls = []

    def failing(rows):
        calls.append(1)
        raise ValueError("not today")

    for more in ([], [{"unique": "id"}]):
        p = judged(backend, frame(), MOVES, *more)
        p.nodes[0].source._df = frame().lazy().map_batches(failing, schema=frame().schema)
        with pytest.raises(RunError):
            p.execute()
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("POLARS", {"reader_kwargs": {"row_index_name": "line"}}),
        ("POLARS", {"reader_methods": [{"name": "with_row_index", "args": ["line"]}]}),
        ("DUCKDB", {"reader_kwargs": {"filename": "line"}}),
    ],
)
def test_a_rule_may_name_what_a_reader_adds_to_the_schema(backend, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"x": [1]}).write_ndjson("in.jsonl")
    source = {
        "path": "in.jsonl",
        "format": "JSONL",
        "schema": {"columns": [{"name": "x", "dtype": "int64"}]},
        **options,
    }
    rules = [{"name": "l", "expr": "line IS NOT NULL"}]
    sinks = [{"path": "out.parquet", "format": "PARQUET"}]
    nodes = [{"name": "a", "source": source, "expectations": rules, "sinks": sinks}]
    Pipeline(name="p", dataframe_backend=backend, nodes=nodes).execute()
    assert "line" in pl.read_parquet("out.parquet").columns
