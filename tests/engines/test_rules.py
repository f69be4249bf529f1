"""The law of rules: every row of the stage frame is in the output, in quarantine or dropped, on every engine.

Random frames and random rules, against what plain Python makes of them.
"""

import math
import tempfile
import warnings
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laktory.engines.capabilities import ENGINES
from laktory.errors import DataQualityCheckFailedError, DataQualityWarning
from laktory.models import Pipeline

KNOWN = ["x", "xy", "z"]


def _and(*values):
    return False if False in values else None if None in values else True


def _or(*values):
    return True if True in values else None if None in values else False


def _not(value):
    return None if value is None else not value


def _compared(value, other, *, greater):
    """NaN is greater than any number."""
    if value is None:
        return None
    if isinstance(value, float) and math.isnan(value):
        return greater
    return value > other if greater else value < other


class Rule(NamedTuple):
    """A rule, and what plain Python says of a row among all rows: True, False, or None for NULL."""

    definition: dict[str, Any]
    judge: Any


def _equal_rows(rows, row, keys):
    return [other for other in rows if all(other[key] == row[key] for key in keys)]


def _unique(*keys):
    def judge(row, rows):
        return any(row[key] is None for key in keys) or len(_equal_rows(rows, row, keys)) == 1

    return judge


def _first(key, order, choose):
    def judge(row, rows):
        return row[key] is None or choose(other[order] for other in _equal_rows(rows, row, [key])) == row[order]

    return judge


def _expr(text, judge):
    return Rule({"expr": text}, judge)


ROW_RULES = [
    _expr("a > 0", lambda row, _: _compared(row["a"], 0, greater=True)),
    _expr("a IS NOT NULL", lambda row, _: row["a"] is not None),
    _expr("a % 2 = 0", lambda row, _: None if row["a"] is None else row["a"] % 2 == 0),
    _expr("10 / a > 2", lambda row, _: None if not row["a"] else 10 / row["a"] > 2),
    _expr("a BETWEEN -1 AND 2", lambda row, _: None if row["a"] is None else -1 <= row["a"] <= 2),
    _expr("NOT (a > 0)", lambda row, _: _not(_compared(row["a"], 0, greater=True))),
    _expr("x > 1", lambda row, _: _compared(row["x"], 1, greater=True)),
    _expr("x < 1", lambda row, _: _compared(row["x"], 1, greater=False)),
    _expr("s IN ('x', 'z')", lambda row, _: None if row["s"] is None else row["s"] in ("x", "z")),
    _expr("s LIKE 'x%'", lambda row, _: None if row["s"] is None else row["s"].startswith("x")),
    _expr(
        "a > 0 OR s = 'x'",
        lambda row, _: _or(
            _compared(row["a"], 0, greater=True), None if row["s"] is None else row["s"] == "x"
        ),
    ),
    _expr(
        "a > 0 AND s = 'x'",
        lambda row, _: _and(
            _compared(row["a"], 0, greater=True), None if row["s"] is None else row["s"] == "x"
        ),
    ),
    _expr(
        "CASE WHEN a > 0 THEN s = 'x' ELSE TRUE END",
        lambda row, _: (None if row["s"] is None else row["s"] == "x") if (row["a"] or 0) > 0 else True,
    ),
    _expr("COALESCE(a, 1) > 0", lambda row, _: (1 if row["a"] is None else row["a"]) > 0),
    _expr("NULL", lambda _, __: None),
    _expr("TRUE", lambda _, __: True),
    _expr("l[1] > 1", lambda row, _: _compared(row["l"][0] if row["l"] else None, 1, greater=True)),
    _expr("COUNT(*) OVER (PARTITION BY s) < 3", lambda row, rows: len(_equal_rows(rows, row, ["s"])) < 3),
    Rule({"expr": "nw.col('a') > 0"}, lambda row, _: _compared(row["a"], 0, greater=True)),
    Rule(
        {"expr": {"expr": "nw.col('s').str.starts_with('x')", "type": "DF"}},
        lambda row, _: None if row["s"] is None else row["s"].startswith("x"),
    ),
    Rule({"not_null": "s"}, lambda row, _: row["s"] is not None),
    Rule({"not_null": ["a", "s"]}, lambda row, _: None not in (row["a"], row["s"])),
    Rule({"unique": "s"}, _unique("s")),
    Rule({"unique": ["a", "s"]}, _unique("a", "s")),
    Rule(
        {"accepted_values": {"column": "s", "values": ["x", "z"]}},
        lambda row, _: row["s"] is None or row["s"] in ("x", "z"),
    ),
    Rule(
        {"accepted_values": {"column": "a", "values": [0, 1]}}, lambda row, _: row["a"] is None or row["a"] in (0, 1)
    ),
    Rule(
        {"references": {"column": "s", "node": "known", "to": "k"}},
        lambda row, _: row["s"] is None or row["s"] in KNOWN,
    ),
]  # fmt: skip
ORDERED_RULES = [
    Rule({"unique": {"columns": ["s"], "order_by": "n"}}, _first("s", "n", min)),
    Rule({"unique": {"columns": "s", "order_by": "n", "keep": "last"}}, _first("s", "n", max)),
]
TOTALS = [
    Rule({"expr": "COUNT(*) > 2"}, lambda rows: len(rows) > 2),
    Rule({"expr": "COUNT(a) >= 2"}, lambda rows: sum(row["a"] is not None for row in rows) >= 2),
    Rule({"expr": "SUM(a) > 0"}, lambda rows: _compared(_sum([row["a"] for row in rows]), 0, greater=True)),
    Rule({"expr": "COUNT(DISTINCT s) > 1"}, lambda rows: len({row["s"] for row in rows} - {None}) > 1),
]


def _sum(values):
    found = [value for value in values if value is not None]
    return sum(found) if found else None


limits = st.one_of(
    st.builds(lambda count: {"abs": count}, st.integers(0, 4)),
    st.builds(lambda share: {"rel": share}, st.sampled_from([0, 0.25, 0.5, 1])),
)


@st.composite
def rows(draw):
    numbers = st.one_of(st.none(), st.integers(-3, 3))
    row = st.fixed_dictionaries(
        {
            "a": numbers,
            "x": st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.5, math.nan])),
            "s": st.one_of(st.none(), st.sampled_from(["x", "xy", "z", "w"])),
            "l": st.one_of(st.none(), st.lists(st.integers(0, 3), max_size=2)),
        }
    )
    found = draw(st.lists(row, max_size=9))
    if draw(st.booleans()):
        return [row | {"n": number} for number, row in enumerate(found)]
    return found + draw(st.sampled_from([[], found]))  # twice, as duplicates


@st.composite
def rules(draw, *, ordered):
    found = []
    chosen = draw(
        st.lists(st.sampled_from([*ROW_RULES, *(ORDERED_RULES if ordered else ()), *TOTALS]), min_size=1, max_size=6)
    )
    for number, rule in enumerate(chosen):
        definition = {"name": f"rule {number}", **rule.definition}
        if rule in TOTALS:
            definition |= {"type": "AGGREGATE", "action": draw(st.sampled_from(["WARN", "WARN", "WARN", "FAIL"]))}
        else:
            actions = ["WARN", "DROP", "QUARANTINE"] * 4 + ["FAIL"]
            definition["action"] = draw(st.sampled_from(actions))
            if draw(st.booleans()):
                definition["tolerance"] = draw(limits)
            if definition["action"] != "FAIL" and draw(st.integers(0, 9)) == 0:
                definition["fail_above"] = draw(limits)
        found.append((rule, definition))
    return found


def _allowed(limit, fails, count):
    return fails <= limit["abs"] if "abs" in limit else fails <= limit["rel"] * count


class Expected(NamedTuple):
    output: list[dict[str, Any]]
    moved: list[tuple[dict[str, Any], list[str]]]
    dropped: int
    checks: list[tuple[str, int | None]]
    stopped: bool


def expected(rows, rules):
    """What plain Python makes of them."""
    failed = {
        definition["name"]: [rule.judge(row, rows) is not True for row in rows]
        for rule, definition in rules
        if "type" not in definition
    }
    checks, stopped = [], False
    for rule, definition in rules:
        if "type" in definition:
            value = rule.judge(rows)
            passed, fails = value is True or (value is None and not rows), None
        else:
            fails = sum(failed[definition["name"]])
            passed = _allowed(definition.get("tolerance", {"abs": 0}), fails, len(rows))
            stopped |= "fail_above" in definition and not _allowed(definition["fail_above"], fails, len(rows))
        stopped |= definition["action"] == "FAIL" and not passed
        checks.append(("PASS" if passed else "FAIL", fails))
    actions = {definition["name"]: definition["action"] for _, definition in rules}
    output, moved, dropped = [], [], 0
    for number, row in enumerate(rows):
        reasons = [name for name, flags in failed.items() if flags[number]]
        found = {actions[name] for name in reasons}
        if "QUARANTINE" in found:
            moved.append((row, reasons))
        elif "DROP" in found:
            dropped += 1
        else:
            output.append(row)
    return Expected(output, moved, dropped, checks, stopped)


def bag(rows):
    """Rows without their order; NaN equals NaN."""
    return Counter(repr(sorted(row.items())) for row in rows)


SCHEMA = {"a": pl.Int64, "x": pl.Float64, "s": pl.String, "l": pl.List(pl.Int64)}


def pipeline(backend, frame, definitions, *, as_file):
    source = {"df": frame}
    if as_file:
        frame.write_parquet("in.parquet")
        source = {"path": "in.parquet", "format": "PARQUET"}
    quarantine = [{"path": "q.parquet", "format": "PARQUET", "is_quarantine": True, "details": True}]
    moves = any(definition["action"] == "QUARANTINE" for definition in definitions)
    known = {"name": "known", "source": {"df": pl.DataFrame({"k": [*KNOWN, None, "x"]})}}
    node = {
        "name": "judged",
        "source": source,
        "expectations": definitions,
        "sinks": [{"path": "out.parquet", "format": "PARQUET"}, *(quarantine if moves else [])],
    }
    return Pipeline(name="p", dataframe_backend=backend, nodes=[known, node])


@pytest.mark.parametrize("backend", list(ENGINES))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_row_is_accounted_for_as_plain_python_says(backend, data, monkeypatch):
    found = data.draw(rows())
    ordered = bool(found) and "n" in found[0]
    chosen = data.draw(rules(ordered=ordered))
    frame = pl.DataFrame(found, schema=SCHEMA | ({"n": pl.Int64} if ordered else {}))
    want = expected(found, chosen)
    with tempfile.TemporaryDirectory() as folder, monkeypatch.context() as patch:
        patch.chdir(folder)
        made = pipeline(backend, frame, [definition for _, definition in chosen], as_file=data.draw(st.booleans()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataQualityWarning)
            if want.stopped:
                with pytest.raises(DataQualityCheckFailedError):
                    made.execute()
                assert not Path("out.parquet").exists()
                assert not Path("q.parquet").exists()
                entry = made.last_run["nodes"][1]
                assert [(check["status"], check["fails"]) for check in entry["checks"]] == want.checks
                return
            made.execute()
        node = made.nodes_dict["judged"]
        assert [(check.status, check.fails_count) for check in node.checks] == want.checks
        assert bag(pl.read_parquet("out.parquet").to_dicts()) == bag(want.output)
        assert bag(node.output_df.collect("polars").to_native().to_dicts()) == bag(want.output)
        moved = node.quarantine_df.collect("polars").to_native()
        assert dict(moved.schema) == dict(frame.schema)
        assert bag(moved.to_dicts()) == bag([row for row, _ in want.moved])
        entry = made.last_run["nodes"][1]
        assert entry["rows_stage"] == len(found)
        assert (entry["rows_out"], entry["rows_quarantined"], entry["rows_dropped"]) == (
            len(want.output), len(want.moved), want.dropped,
        )  # fmt: skip
        if Path("q.parquet").exists():
            kept = pl.read_parquet("q.parquet")
            assert set(kept["_run_id"]) <= {made.last_run["run_id"]}
            assert all(when <= datetime.now(UTC).replace(tzinfo=None) for when in kept["_quarantined_at"])
            assert bag(kept.drop("_run_id", "_quarantined_at").to_dicts()) == bag(
                [row | {"_failed_expectations": reasons} for row, reasons in want.moved]
            )
