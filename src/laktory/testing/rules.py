"""SQL expressions, each with the one value that every engine gives, and rules for rows."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import polars as pl
import pytest
import yaml
from hypothesis import strategies as st

from laktory.errors import DataQualityCheckFailedError
from laktory.testing.features import feature, node

if TYPE_CHECKING:
    from laktory.testing.features import Bench

CONSTRUCTS = Path(__file__).parent / "data" / "sql_constructs.yaml"
FRAME, GROUPS = yaml.safe_load(CONSTRUCTS.read_text(encoding="utf-8")).values()


# ---- expressions ---------------------------------------------------------------------------------


def _wanted(value: Any, dtype: str) -> Any:
    """YAML has no decimals."""
    if isinstance(value, list):
        return [_wanted(item, dtype) for item in value]
    return Decimal(value) if dtype.startswith("Decimal") and value is not None else value


def _expressions(bench: Bench, constructs: list[list[Any]]) -> None:
    """Values of all constructs, compared to the last digit."""
    per_row = isinstance(constructs[0][1], list)
    texts = [text if re.search(r" AS \w+$", text) else f"{text} AS r{n}" for n, (text, *_) in enumerate(constructs)]
    selects = ["id AS row_id", *texts] if per_row else texts
    by = ["row_id"] if per_row else []
    found = bench.frame({"df": pl.DataFrame(FRAME), "selects": selects}, by=by)
    columns = found.drop(by).get_columns()
    assert len(columns) == len(constructs)
    for column, (text, value, dtype, *_) in zip(columns, constructs, strict=True):
        values = column.to_list() if per_row else column.item()
        assert (text, repr(values)) == (text, repr(_wanted(value, dtype)))


for _group in GROUPS:
    feature("SQL expressions", _group["group"])(partial(_expressions, constructs=_group["constructs"]))


# ---- rules ---------------------------------------------------------------------------------------

ROWS = pl.DataFrame({"id": [1, 2, 3, 4], "x": [1, -1, None, 4], "s": ["a", "b", "a", None]})
REJECTED = {"path": "bad.parquet", "format": "PARQUET", "is_quarantine": True}


def _ids(path: str) -> list[int]:
    return pl.scan_parquet(path).collect()["id"].sort().to_list()


def _judged(bench: Bench, *rules: dict[str, Any], rejected: Any = REJECTED) -> list[int]:
    """Rows that stay."""
    sinks = ["out.parquet", *([rejected] if any(rule.get("action") == "QUARANTINE" for rule in rules) else [])]
    bench.run(node("a", ROWS, *sinks, expectations=list(rules)))
    return _ids("out.parquet")


@feature("Rules", "WARN")
def _warn(bench: Bench) -> None:
    assert _judged(bench, {"name": "r", "expr": "x > 0"}) == [1, 2, 3, 4]


@feature("Rules", "DROP")
def _drop(bench: Bench) -> None:
    assert _judged(bench, {"name": "r", "expr": "x > 0", "action": "DROP"}) == [1, 4]


@feature("Rules", "QUARANTINE")
def _quarantine(bench: Bench) -> None:
    assert _judged(bench, {"name": "r", "expr": "x > 0", "action": "QUARANTINE"}) == [1, 4]
    assert _ids("bad.parquet") == [2, 3]


@feature("Rules", "FAIL")
def _fail(bench: Bench) -> None:
    with pytest.raises(DataQualityCheckFailedError, match="'r' failed on node 'a'"):
        _judged(bench, {"name": "r", "expr": "x > 0", "action": "FAIL"})
    assert not Path("out.parquet").exists()


@feature("Rules", "fail_above")
def _tolerance(bench: Bench) -> None:
    rule = {"name": "r", "expr": "x > 0", "action": "DROP"}
    assert _judged(bench, {**rule, "fail_above": {"rel": 0.5}}) == [1, 4]
    with pytest.raises(DataQualityCheckFailedError):
        _judged(bench, {**rule, "fail_above": {"rel": 0.25}})


@feature("Rules", "AGGREGATE")
def _aggregate(bench: Bench) -> None:
    rule = {"name": "r", "type": "AGGREGATE", "action": "FAIL"}
    assert _judged(bench, {**rule, "expr": "COUNT(*) = 4 AND SUM(x) = 4"}) == [1, 2, 3, 4]
    with pytest.raises(DataQualityCheckFailedError):
        _judged(bench, {**rule, "expr": "MIN(x) > 0"})


@feature("Rules", "not_null")
def _not_null(bench: Bench) -> None:
    assert _judged(bench, {"not_null": ["x", "s"], "action": "QUARANTINE"}) == [1, 2]


@feature("Rules", "unique")
def _unique(bench: Bench) -> None:
    assert _judged(bench, {"unique": ["s"], "action": "QUARANTINE"}) == [2, 4]
    assert _ids("bad.parquet") == [1, 3]


@feature("Rules", "accepted_values")
def _accepted(bench: Bench) -> None:
    assert _judged(bench, {"accepted_values": {"column": "s", "values": ["a"]}, "action": "DROP"}) == [1, 3, 4]


@feature("Rules", "references")
def _references(bench: Bench) -> None:
    rule = {"references": {"column": "s", "node": "known", "to": "key"}, "action": "DROP"}
    bench.run(node("known", pl.DataFrame({"key": ["b"]})), node("a", ROWS, "out.parquet", expectations=[rule]))
    assert _ids("out.parquet") == [2, 4]


@feature("Rules", "reasons")
def _reasons(bench: Bench) -> None:
    rules = ({"name": "r", "expr": "x > 0", "action": "QUARANTINE"}, {"name": "t", "expr": "s = 'a'"})
    _judged(bench, *rules, rejected={**REJECTED, "details": True})
    found = pl.scan_parquet("bad.parquet").collect().sort("id")
    assert [sorted(names) for names in found["_failed_expectations"].to_list()] == [["r", "t"], ["r"]]


_VALUES = st.none() | st.integers(-3, 3)
_RULES = st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.sampled_from(["WARN", "DROP", "QUARANTINE"])), max_size=3)


@feature("Rules", "every row is in one place")
def _law(bench: Bench) -> None:
    """The frame is the output, the quarantine and what was dropped, with random rows and rules."""

    # the first case that fails will do: to look for a smaller one takes minutes on a slow engine
    phases = [hypothesis.Phase.generate]

    @hypothesis.settings(max_examples=5, deadline=None, database=None, derandomize=True, phases=phases)
    @hypothesis.given(st.lists(_VALUES, max_size=6), _RULES)
    def holds(values: list[int | None], limits: list[tuple[int, str]]) -> None:
        frame = pl.DataFrame({"id": range(len(values)), "x": values}, schema={"id": pl.Int64, "x": pl.Int64})
        rules = [
            {"name": f"r{index}", "expr": f"x > {limit}", "action": action}
            for index, (limit, action) in enumerate(limits)
        ]
        quarantined = any(action == "QUARANTINE" for _, action in limits)
        made = bench.run(node("a", frame, "out.parquet", *[REJECTED] * quarantined, expectations=rules))
        failed = [{action for limit, action in limits if x is None or x <= limit} for x in values]
        rejected = [row for row, actions in enumerate(failed) if "QUARANTINE" in actions]
        dropped = [row for row, actions in enumerate(failed) if "DROP" in actions and row not in rejected]
        kept = [row for row in range(len(values)) if row not in rejected and row not in dropped]
        assert _ids("out.parquet") == kept
        assert not quarantined or _ids("bad.parquet") == rejected
        counted = made.last_run["nodes"][0] if rules else {}
        told = [counted.get(f"rows_{what}") for what in ("stage", "out", "quarantined", "dropped")]
        assert not rules or told == [len(values), len(kept), len(rejected), len(dropped)]

    holds()
